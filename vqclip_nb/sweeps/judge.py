"""The judge: a perceptor that did not guide the pictures measures how well they fit their prompts."""

from collections.abc import Iterable, Sequence

import torch
from PIL import Image

from vqclip_nb import device, images, models, perceptor_names, perceptors, prompts
from vqclip_nb.errors import SettingsError
from vqclip_nb.objectives.distances import great_circle
from vqclip_nb.schedules import value_at
from vqclip_nb.sweeps.items import Item
from vqclip_nb.sweeps.results import Result


def available_judge(items: Iterable[Item]) -> str | None:
    """A perceptor on this disk that guides none of the items, or None. The demo perceptor is excluded: it knows few
    words.
    """
    guides = {name for item in items for name in perceptor_names.parse(item.settings.perceptor)}
    names = (entry.name for entry in models.entries("clip") if entry.on_disk and not entry.packaged)
    return next((name for name in names if name not in guides), None)


def check(items: Iterable[Item], name: str) -> None:
    """Raise SettingsError if this perceptor guides one of the items."""
    for item in items:
        if name in perceptor_names.parse(item.settings.perceptor):
            raise SettingsError(f"judge must be a perceptor that did not guide, got {name!r}, which guides")


@torch.no_grad()
def score(results: Sequence[Result], name: str) -> dict[str, float]:
    """The great-circle distance of each picture to its prompt, by the item's name; lower is nearer.

    The texts of a prompt count by their weights at the end of the run. Raises SettingsError if the perceptor guided
    one of the pictures, and models.UnknownModel.
    """
    check((result.item for result in results), name)
    networks = [network.to(device.choose("auto")) for network in perceptors.load(name)]
    scores = {}
    for result in results:
        settings = result.item.settings
        weighted = [
            (prompt.text, value_at(prompt.weight, settings.steps, 1.0)) for prompt in prompts.parse(settings.prompt)
        ]
        texts = [(text, weight) for text, weight in weighted if weight > 0]
        if not texts or not result.picture.is_file():
            continue
        pil = images.read(result.picture, field="result")
        distances = []
        for network in networks:
            square = pil.resize((network.cut_size, network.cut_size), Image.Resampling.LANCZOS)
            picture = network.encode_image(images.to_tensor(square).to(network.mean.device))  # (1, d)
            targets = network.encode_text([text for text, _ in texts])  # (texts, d)
            weights = torch.tensor([weight for _, weight in texts]).to(picture)
            distances.append((great_circle(picture, targets) * weights).sum() / weights.sum())
        scores[result.item.name] = float(torch.stack(distances).mean())
    return scores
