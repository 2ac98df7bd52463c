"""Build: makes the terms of a painting from its settings."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from vqclip_nb import drawn_things, extra_prompts, images, loss_names, prompts
from vqclip_nb.canvases import Canvas
from vqclip_nb.cutout_fields import parse_sizes
from vqclip_nb.cutouts import Cutouts
from vqclip_nb.errors import PaintWarning, SettingsError
from vqclip_nb.objectives.distances import DISTANCES, SigmoidLoss
from vqclip_nb.objectives.embeddings import Embeddings
from vqclip_nb.objectives.guide import AestheticHead, Guide, Target
from vqclip_nb.objectives.losses import Likeness, Smoothness
from vqclip_nb.objectives.terms import Term
from vqclip_nb.objectives.window import Window
from vqclip_nb.perceptors import Perceptor
from vqclip_nb.regions import Region
from vqclip_nb.rng import Draws
from vqclip_nb.schedules import Schedule, most, value_at, whole_at
from vqclip_nb.settings import Settings


class Builder:
    """Makes the terms for settings. Called again when settings change; embeddings are cached.

    perceptors: the networks of each perceptor, by its name in the settings. inputs: the folder with the pictures that
    are named by their sha256.
    """

    def __init__(
        self,
        canvas: Canvas,
        perceptors: Mapping[str, Sequence[Perceptor]],
        *,
        device: torch.device,
        inputs: Path | None = None,
    ) -> None:
        self.canvas, self.perceptors, self.device, self.inputs = canvas, perceptors, device, inputs
        self.embeddings = Embeddings()
        self._aesthetic_heads: dict[str, AestheticHead | None] = {}  # by the perceptor's name
        self._doubted = ""  # the last prompt checked for doubtful parts

    def __call__(self, settings: Settings) -> list[Term]:
        """One term for each network (with weight 0 it only reports), then one for each other loss with a weight.

        Raises PictureError when a picture prompt cannot be read.
        """
        names = drawn_things.perceptors(settings.perceptor, settings.prompt)
        self._check([network for name in names for network in self.perceptors[name]], settings)
        terms: list[Term] = []
        for name, weight in names.items():
            networks = self.perceptors[name]
            label = f"{name}: " if len(names) > 1 else ""
            for index, network in enumerate(networks):
                guides = self._guides(settings, network, label=label, share=_share(index, len(networks)))
                terms += [Term(guide, weight or 1.0, watches=not weight) for guide in guides]
        if settings.smoothness:
            terms.append(Term(Smoothness(), settings.smoothness))
        if settings.init_weight:
            terms.append(Term(Likeness(self.canvas), settings.init_weight))
        others = loss_names.parse(settings.losses)
        others.pop("aesthetic", None)  # computed by the guides
        self.canvas.keeps_uncut = "range" in others
        return terms + [Term(loss_names.make(name, self.canvas), weight) for name, weight in others.items()]

    def _check(self, networks: Sequence[Perceptor], settings: Settings) -> None:
        """Raise SettingsError if none of the networks fits the distance or the losses."""
        if settings.distance == "sigmoid" and not any(_sigmoid_parameters(network) for network in networks):
            problem = f"distance sigmoid needs a SigLIP as perceptor, got {settings.perceptor}"
            raise SettingsError(f"{problem}; such as open_clip/ViT-B-16-SigLIP2/webli")
        if "aesthetic" in loss_names.parse(settings.losses) and not any(map(self._aesthetic_head, networks)):
            problem = f"the loss aesthetic has no head for {settings.perceptor}"
            raise SettingsError(f"{problem}; there is one for --perceptor ViT-B/32, ViT-B/16 and ViT-L/14")

    def _aesthetic_head(self, perceptor: Perceptor) -> AestheticHead | None:
        """A perceptor's published aesthetic head, read once; None if it has none."""
        if perceptor.name not in self._aesthetic_heads:
            from vqclip_nb.models import load_aesthetic_head

            try:
                weight, bias = load_aesthetic_head(perceptor.name)
                self._aesthetic_heads[perceptor.name] = AestheticHead(weight.to(self.device), bias)
            except KeyError:
                self._aesthetic_heads[perceptor.name] = None
        return self._aesthetic_heads[perceptor.name]

    def _guides(
        self, settings: Settings, perceptor: Perceptor, *, label: str, share: Callable[[int], int]
    ) -> list[Guide]:
        """A perceptor's guide for the prompts of the whole picture, and one for each region of the prompt.

        They share the cutouts evenly. `share` gives this network's part of a number of cutouts.
        """
        texts = self._texts(settings, perceptor, label)
        regions = list(dict.fromkeys(region for region, _ in texts))
        if (settings.image_prompts or settings.noise_prompts or settings.textoff) and None not in regions:
            regions.insert(0, None)
        guides = []
        for index, region in enumerate(regions):
            targets = [target for target_region, target in texts if target_region == region]
            among = _share(index, len(regions))
            guides.append(self._guide(settings, perceptor, targets, label, region, partial(_within, share, among)))
            guides[-1].aesthetic_share = 1 / len(regions)
        return guides

    def _guide(
        self,
        settings: Settings,
        perceptor: Perceptor,
        targets: Sequence[Target],
        label: str,
        region: Region | None,
        share: Callable[[int], int],
    ) -> Guide:
        """The guide for these texts in a region, or in the whole picture, with image prompts and extra prompts."""
        cutn, aesthetic = settings.cutn, loss_names.parse(settings.losses).get("aesthetic")
        cutouts = Cutouts(
            settings.cutouts,
            perceptor.cut_size,
            share(round(most(cutn, settings.steps))),
            value_at(settings.cut_pow, 0),
            settings.augments,
            parse_sizes(settings.crop_sizes),
        )
        if region is None:
            targets = [*targets, *self._pictures(settings, perceptor, label, cutouts)]
            targets += self._extra(settings, perceptor, label)
        changing = isinstance(cutn, Schedule)
        return Guide(
            perceptor,
            cutouts,
            targets,
            cutn_at=(lambda step: share(whole_at(cutn, step, step / settings.steps))) if changing else None,
            distance=distance_of(perceptor, settings.distance),
            averaging_weight=settings.averaging_weight,
            cut_pow=settings.cut_pow if isinstance(settings.cut_pow, Schedule) else None,
            aesthetic=self._aesthetic_head(perceptor) if aesthetic else None,
            aesthetic_weight=aesthetic or 0.0,
            window=Window.of(region, settings, inputs=self.inputs) if region else None,
            stream=f"{perceptor.name} {region}" if region else perceptor.name,
        )

    def _texts(self, settings: Settings, perceptor: Perceptor, label: str) -> list[tuple[Region | None, Target]]:
        """Each text of the prompt as a target, with its region."""
        texts = prompts.parse(settings.prompt)
        if settings.prompt != self._doubted:  # once for each prompt, not for each network
            self._doubted = settings.prompt
            for doubt in prompts.doubts(settings.prompt):
                warnings.warn(doubt, PaintWarning, stacklevel=2)
        if not texts:  # there may be image prompts only
            return []
        embeddings = self._embedded(settings, perceptor, [prompt.text for prompt in texts])
        pairs = []
        for prompt, embedding in zip(texts, embeddings, strict=True):
            name = f"{label}{prompt.text} {prompt.region}" if prompt.region else f"{label}{prompt.text}"
            target = Target(name, embedding[None, None], prompt.weight, prompt.stop, prompt.span)
            pairs.append((prompt.region, target))
        return pairs

    def _embedded(self, settings: Settings, perceptor: Perceptor, texts: Sequence[str]) -> Tensor:
        """The embeddings of texts, averaged over the templates, (m, d), unit length."""
        templates = extra_prompts.parse_templates(settings.templates)
        each = [self.embeddings.of_texts(perceptor, texts, template=template) for template in templates]
        return each[0] if len(each) == 1 else normalize(torch.stack(each).mean(0), dim=-1)

    def _extra(self, settings: Settings, perceptor: Perceptor, label: str) -> list[Target]:
        """Targets of noise prompts (Crowson, 2021), and of words for writing, to push away from."""
        targets = []
        if noise := extra_prompts.parse_noise(settings.noise_prompts):
            with torch.no_grad():
                blank = torch.zeros(1, 3, perceptor.cut_size, perceptor.cut_size, device=self.device)
                length = perceptor.encode_image(blank).shape[-1]
        for seed, noise_weight in noise:
            direction = torch.randn(1, 1, length, generator=torch.Generator().manual_seed(seed))
            targets.append(Target(f"{label}noise {seed}", normalize(direction, dim=-1).to(self.device), noise_weight))
        if settings.textoff:
            words = self.embeddings.of_texts(perceptor, extra_prompts.WRITING)
            away = settings.textoff
            weight = away.below_zero() if isinstance(away, Schedule) else -away
            targets.append(Target(f"{label}writing", words[None], weight))
        return targets

    def _pictures(self, settings: Settings, perceptor: Perceptor, label: str, cutouts: Cutouts) -> list[Target]:
        """Targets of image prompts: each is embedded as the largest number of cutouts, with the first crop power."""
        targets = []
        for index, line in enumerate(settings.image_prompts, 1):
            prompt = prompts.parse_picture(line)
            path = images.locate(prompt.text, field="image_prompts", inputs=self.inputs)
            mtime = path.stat().st_mtime_ns

            def read(path: Path = path) -> Tensor:
                pil = shrink_to(images.read(path, field="image_prompts"), settings.size)
                return images.to_tensor(pil).to(self.device)

            draws = Draws(settings.seeds, device=self.device).of(f"{perceptor.name}/picture {index}")
            name = f"{path.absolute()} {mtime} {settings.size}"
            embeddings = self.embeddings.of_picture(perceptor, name, read, cutouts, draws)
            targets.append(Target(f"{label}picture {index}", embeddings, prompt.weight, prompt.stop))
        return targets


def distance_of(perceptor: Perceptor, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The distance of this name; `sigmoid` becomes the great circle for networks not trained with it."""
    if name != "sigmoid":
        return DISTANCES[name]
    parameters = _sigmoid_parameters(perceptor)
    return SigmoidLoss(*parameters) if parameters else DISTANCES["great-circle"]


def _sigmoid_parameters(perceptor: Perceptor) -> tuple[float, float] | None:
    """Scale and bias of SigLIP's loss, if the network was trained with it."""
    return getattr(perceptor, "sigmoid", None)


def shrink_to(pil: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Shrink a picture to at most as many pixels as `size` (width, height) has; keeps proportions (Crowson, 2021)."""
    shrink = min(1.0, (size[0] * size[1] / (pil.width * pil.height)) ** 0.5)
    fit = tuple(max(1, round(side * shrink)) for side in pil.size)
    return pil.resize((fit[0], fit[1]), Image.Resampling.LANCZOS)


def _share(index: int, count: int) -> Callable[[int], int]:
    """The part of a number of cutouts for the network `index` of `count`; the first ones get the remainder."""
    return lambda cutn: max(1, (cutn - 1 - index) // count + 1)


def _within(share: Callable[[int], int], part: Callable[[int], int], cutn: int) -> int:
    """A part of a share of the cutouts."""
    return part(share(cutn))
