"""Session: where settings become a painting. The only place that knows canvases, perceptors and objectives alike."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from vqclip_nb import canvases, device, images, perceptors, prompts
from vqclip_nb.chance import Draws
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.objectives import Guide, Likeness, Objective, Smoothness, Target
from vqclip_nb.painting import Frame, Painting, run
from vqclip_nb.perceptors import CLIPPerceptor
from vqclip_nb.settings import Settings


def paint(settings: Settings) -> Iterator[Frame]:
    """Paint, and give every step's frame as it comes; each `settings.every`-th one carries its picture.

    Nothing is written to disk. Raises ValueError, in one line, for a model, picture or device that is not there, and
    NotANumber when the losses run away.
    """
    yield from run(begin(settings))


def begin(settings: Settings, *, inputs: Path | None = None) -> Painting:
    """A painting before its first step. Pictures named by their sha256 are looked for in the folder `inputs`."""
    place = device.choose(settings.device)

    canvas = canvases.make(settings.canvas, size=settings.size, seeds=settings.seeds).to(place)
    if settings.init_image:
        pil = _given(settings.init_image, "init_image", inputs)
        covering = ImageOps.fit(pil, settings.size, Image.Resampling.LANCZOS)
        canvas.start_from(images.to_tensor(covering).to(place))
    judges = [perceptors.load(name.strip()).to(place) for name in settings.perceptor.split("+")]
    labels = [f"{judge.name}: " if len(judges) > 1 else "" for judge in judges]

    def objectives(settings: Settings) -> list[Objective]:
        pulls: list[Objective] = [
            _guide(settings, judge, label=label, inputs=inputs) for judge, label in zip(judges, labels, strict=True)
        ]
        if settings.smoothness:
            pulls.append(Smoothness(settings.smoothness))
        if settings.init_weight:
            pulls.append(Likeness(canvas, settings.init_weight))
        return pulls

    return Painting(settings, canvas, objectives)


def _guide(settings: Settings, judge: CLIPPerceptor, *, label: str, inputs: Path | None) -> Guide:
    """One perceptor's pull towards all the texts and pictures that were given."""
    cutouts = Cutouts(settings.cutouts, judge.cut_size, settings.cutn, settings.cut_pow)
    texts = prompts.parse(settings.prompt)
    targets = [
        Target(f"{label}{prompt.text}", embedding[None, None], prompt.weight, prompt.stop)
        for prompt, embedding in zip(texts, judge.encode_text([prompt.text for prompt in texts]), strict=True)
    ]
    for index, line in enumerate(settings.image_prompts, 1):
        given = prompts.parse_picture(line)
        pil = _given(given.text, "image_prompts", inputs)
        seen = _seen(_at_most(pil, settings.size), judge, cutouts, owner=f"picture {index}", settings=settings)
        targets.append(Target(f"{label}picture {index}", seen, given.weight, given.stop))
    return Guide(judge, cutouts, targets)


@torch.no_grad()
def _seen(pil: Image.Image, judge: CLIPPerceptor, cutouts: Cutouts, *, owner: str, settings: Settings) -> Tensor:
    """A given picture as the perceptor sees it, cut once for each picture to be painted: (n, cutn, d)."""
    place = judge.mean.device
    image = images.to_tensor(pil).to(place).expand(settings.variations, -1, -1, -1)
    views = cutouts(image, Draws(settings.seeds, device=place).of(f"{judge.name}/{owner}"))
    return judge.encode_image(views).unflatten(0, (settings.variations, -1))


def _given(name: str, field: str, inputs: Path | None) -> Image.Image:
    """A picture that the settings name in this field."""
    return images.read(images.locate(name, field=field, inputs=inputs), field=field)


def _at_most(pil: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture of its own shape, and of no more pixels than the canvas has (Crowson, 2021)."""
    shrink = min(1.0, (size[0] * size[1] / (pil.width * pil.height)) ** 0.5)
    fitted = tuple(max(1, round(side * shrink)) for side in pil.size)
    return pil.resize((fitted[0], fitted[1]), Image.Resampling.LANCZOS)
