"""Converters: options of other tools that become several settings here, or a setting in another form."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vqclip_nb.compat.texts import join_prompts, parse_phrases, story
from vqclip_nb.compat.vqgans import vqgan
from vqclip_nb.errors import SettingsError
from vqclip_nb.prompts import Prompt
from vqclip_nb.regions import split as region_of

MOST_SENTENCE = 500  # letters
CLIPS = {  # by the check boxes of pytti and Disco
    **{"ViTB32": "ViT-B/32", "ViTB16": "ViT-B/16", "ViTL14": "ViT-L/14", "ViTL14_336px": "ViT-L/14@336px"},
    **{name: name for name in ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64")},
}
_QUALITIES = {  # of pixray: iterations, scale, cuts, batches, perceptors
    "draft": (200, 1, 24, 1, "ViT-B/16"),
    "normal": (250, 2, 30, 1, "ViT-B/32 + ViT-B/16"),
    "better": (300, 3, 36, 1, "RN50 + ViT-B/32 + ViT-B/16"),
    "best": (350, 4, 12, 2, "RN50x4 + ViT-B/32 + ViT-B/16"),
    "supreme": (400, 5, 8, 4, "RN50x4 + RN101 + ViT-B/32 + ViT-B/16"),
}
_ASPECTS = {"square": (144, 144), "portrait": (128, 160), "widescreen": (192, 108)}
_EZSIZES = {"small": 1, "medium": 2, "large": 4}
_DRAWERS = {"vqgan": "", "fft": "fourier", "fast_pixel": "pixels", "pixel": "pixels"}
_LOSSES = {"saturation": "saturation", "symmetry": "symmetry", "aesthetic": "aesthetic", "edge": "edges"}
_HALVES = {"r": "[50% 0 100% 100%]", "l": "[0 0 50% 100%]", "u": "[0 0 100% 50%]", "d": "[0 50% 100% 100%]"}


@dataclass
class LostOptions:
    """Options that could not be converted. notes: sentences. reasons: the options, by reason."""

    notes: list[str] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, option: str, reason: str) -> None:
        self.reasons.setdefault(reason, []).append(option)

    def sentences(self) -> tuple[str, ...]:
        joined = (f"{', '.join(names)}: {reason}" for reason, names in self.reasons.items())
        return tuple(sentence[:MOST_SENTENCE] for sentence in (*self.notes, *joined))


Converted = tuple[dict[str, Any], set[str]]  # settings, and the options that they came from


def pixray(values: Mapping[str, Any], lost: LostOptions) -> Converted:
    """Options of pixray; quality, size and drawer become several settings."""
    steps, scale, cuts, batches, perceptor = _QUALITIES.get(str(values.get("quality", "normal")), _QUALITIES["normal"])
    steps = int(values["iterations"]) if str(values.get("iterations")).isdecimal() else steps
    changes = {"steps": steps, "cutn": cuts, "accumulate": batches, "perceptor": perceptor}
    changes |= {
        "prompt": join_prompts(parse_phrases(_line(values.get("prompts")))),
        "size": _pixray_size(values, scale),
    }
    if "textoff" in _line(values.get("vector_prompts", "textoff")):
        changes["textoff"] = 0.1
    if models := [name for name in _names(values.get("clip_models")) if "slip" not in name.lower()]:
        changes["perceptor"] = " + ".join(models)
    changes |= _canvas(values, lost) | _pictures(values.get("image_prompts"), lost)
    if drops := [float(each) for each in _names(values.get("learning_rate_drops", "75")) if _is_number(each)]:
        changes["lr"] = _drops(float(values.get("learning_rate") or 0.2), drops, steps)
    fields_read = {"prompts", "quality", "aspect", "ezsize", "scale", "size", "vector_prompts", "clip_models", "drawer"}
    fields_read |= {"vqgan_model", "image_prompts", "learning_rate", "learning_rate_drops", "auto_stop", "iterations"}
    fields_read |= {"losses", "custom_loss"}
    if "tiler" in _names(values.get("filters")):
        changes["seamless"] = True
        fields_read |= {"filters"} if _names(values.get("filters")) == ["tiler"] else set()
    changes |= _pixray_losses(_names(values.get("losses") or values.get("custom_loss")), lost)
    if values.get("auto_stop"):
        changes |= {"plateau": 12, "plateau_factor": 0.1, "early_stop": 12 * (len(drops) + 1)}
    return changes, fields_read


def _pixray_size(values: Mapping[str, Any], scale: float) -> tuple[int, int]:
    size = values.get("size")
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return (size[0], size[1])
    base = _ASPECTS.get(str(values.get("aspect")), _ASPECTS["widescreen"])
    scale = _EZSIZES.get(str(values.get("ezsize")), scale)
    own_scale = values.get("scale")
    scale = float(own_scale) if isinstance(own_scale, int | float) and 0 < own_scale <= 20 else scale
    return (round(base[0] * scale), round(base[1] * scale))


def _pixray_losses(names: Sequence[str], lost: LostOptions) -> dict[str, Any]:
    """Losses by name and weight. Edges have another name here, and smoothness is a separate setting."""
    losses, changes = [], dict[str, Any]()
    for text in names:
        name, _, weight = text.partition(":")
        number = float(weight) if _is_number(weight) else 1.0
        if name == "smoothness":
            changes["smoothness"] = number
        elif name in _LOSSES:
            losses.append(f"{_LOSSES[name]}:{number:g}")
        else:
            lost.add(f"the loss {name}", f"losses are {', '.join(sorted(_LOSSES.values()))} and palette(navy, white)")
    return changes | ({"losses": " | ".join(losses)} if losses else {})


def _drops(lr: float, drops: Sequence[float], steps: int) -> str | float:
    """A step size that falls to a tenth at each of these percentages of the run, as keyframes."""
    frames = {0: lr}
    for count, percent in enumerate(sorted(drops), 1):
        frames[max(1, math.floor(steps * percent / 100))] = lr / 10**count
    return ", ".join(f"{step}:({number:g})" for step, number in frames.items()) + " stepped"


def _canvas(values: Mapping[str, Any], lost: LostOptions) -> dict[str, Any]:
    drawer = str(values.get("drawer") or "vqgan")
    if drawer not in _DRAWERS:
        lost.add("drawer", f"{drawer} is not a canvas here; vqgan is used instead")
    if name := _DRAWERS.get(drawer):
        return {"canvas": name}
    return _vqgan(values, lost)


def _vqgan(values: Mapping[str, Any], lost: LostOptions, option: str = "vqgan_model") -> dict[str, Any]:
    name = values.get(option)
    if not isinstance(name, str) or not name:
        return {}
    try:
        return {"canvas": f"vqgan/{vqgan(name)}"}
    except SettingsError as error:
        lost.add(option, str(error))
        return {}


def rkhamilton(values: Mapping[str, Any], lost: LostOptions) -> Converted:
    """Options of rkhamilton; `^` separates the parts of a story, and noise prompts are as here."""
    steps = int(values["iterations"]) if str(values.get("iterations")).isdecimal() else 100
    scenes = [group for part in _line(values.get("text_prompts")).split("^") if (group := parse_phrases(part))]
    changes: dict[str, Any] = {"steps": steps, "cutn": 32, "size": (256, 256)}
    if len(scenes) > 1:
        changes |= story(scenes, -(-steps // len(scenes)), steps)
    else:
        changes["prompt"] = join_prompts(scenes[0]) if scenes else ""
    changes["cutouts"] = "updated" if values.get("cut_method", "kornia") == "kornia" else "original"
    noise = [part for part in re.split(r"[|^]", _line(values.get("noise_prompts"))) if part.strip()]
    changes |= {"noise_prompts": " | ".join(noise)} if noise else {}
    changes |= {"perceptor": values["clip_model"]} if isinstance(values.get("clip_model"), str) else {}
    changes |= {"plateau": 20} if values.get("adaptiveLR") else {}
    changes |= _vqgan(values, lost, "vqgan_model_name") | _pictures(values.get("image_prompts"), lost)
    fields_read = {"text_prompts", "noise_prompts", "image_prompts", "cut_method", "clip_model", "adaptiveLR"}
    return changes, fields_read | {"vqgan_model_name", "iterations"}


def pytti(values: Mapping[str, Any], lost: LostOptions) -> Converted:
    """Options of pytti; scenes, check boxes of CLIPs, and the image model become settings."""
    before, after = (str(values.get(name) or "") for name in ("scene_prefix", "scene_suffix"))
    scenes = [before + scene + after for scene in _line(values.get("scenes")).split("||") if scene.strip()]
    groups = [[prompt for part in scene.split("|") if (prompt := _pytti_prompt(part, lost))] for scene in scenes]
    groups = [group for group in groups if group]
    each = int(values["steps_per_scene"]) if str(values.get("steps_per_scene")).isdecimal() else 100
    changes: dict[str, Any] = {"steps": max(1, each * len(groups))}
    if len(groups) > 1:
        changes |= story(groups, each, each * len(groups))
    else:
        changes["prompt"] = join_prompts(groups[0]) if groups else ""
    sides = [values.get(name) for name in ("width", "height")]
    if all(isinstance(side, int) and side > 0 for side in sides):
        changes["size"] = tuple(sides)
    changes |= _check_boxes(values)
    kind = str(values.get("image_model") or "VQGAN").lower()
    if "palette" in kind:
        count = int(values.get("palette_size") or 5) * int(values.get("palettes") or 9)
        changes |= {"canvas": "pixels", "palette": min(64, count) if kind.startswith("limited") else 0, "lr": 0.02}
    else:
        changes |= _vqgan(values, lost)
    film, moves = _pytti_film(values)
    changes |= film
    fields_read = {
        "scenes",
        "scene_prefix",
        "scene_suffix",
        "steps_per_scene",
        "width",
        "height",
        "image_model",
    } | moves
    return changes, fields_read | {"vqgan_model", "palette_size", "palettes", "cutout_border", "border_mode", *CLIPS}


def _pytti_film(values: Mapping[str, Any]) -> Converted:
    """Settings of a film, if pytti painted one. Moves that are formulas are not used up, and so are listed as lost."""
    fields_read = {"animation_mode", "steps_per_frame", "pre_animation_steps", "frames_per_second"}
    if str(values.get("animation_mode") or "off").lower() == "off":
        return {}, fields_read
    names = {"steps_per_frame": "frame_steps", "pre_animation_steps": "first_steps", "frames_per_second": "fps"}
    names |= {"translate_x": "shift_x", "translate_y": "shift_y", "rotate_2d": "rotate"}
    names |= {"video_path": "video", "frame_stride": "video_nth"} if values.get("video_path") else {}
    plain = {name for name in names if name == "video_path" or _is_number(str(values.get(name)))}
    return {"frame_steps": 50} | {names[name]: values[name] for name in names if name in plain}, fields_read | plain


def _pytti_prompt(part: str, lost: LostOptions) -> Prompt | None:
    """Parse `text:weight_mask:stop`. A mask of a half becomes a region of the picture; other masks are lost."""
    text, *numbers = (piece.strip() for piece in part.strip().rsplit(":", 2)) if ":" in part else (part.strip(),)
    if not text:
        return None
    weight, _, mask = numbers[0].partition("_") if numbers else ("1", "", "")
    if mask and mask not in _HALVES:
        lost.add(f"the mask _{mask}", "a part of the picture is written behind a prompt: a castle [0 0 50% 100%]")
    if not _is_number(weight or "1"):
        lost.add(f"the weight {weight}", "a weight is a number, keyframes or a formula of t and s here")
    stop = float(numbers[1]) if len(numbers) > 1 and _is_number(numbers[1]) else -math.inf
    region = region_of(f"a {_HALVES[mask]}")[1] if mask in _HALVES else None
    return Prompt(text, float(weight or 1) if _is_number(weight or "1") else 1.0, stop, region)


def disco(values: Mapping[str, Any], lost: LostOptions) -> Converted:
    """Options of Disco Diffusion and DiscoArt; prompts by frame and cutout schedules become settings."""
    by_frame = values.get("text_prompts")
    frames = {str(name): texts for name, texts in by_frame.items()} if isinstance(by_frame, dict) else {"0": by_frame}
    first = min(frames, key=lambda name: int(name) if name.isdecimal() else 0) if frames else "0"
    if len(frames) > 1:
        lost.add("text_prompts of later frames", "a story is written `a house @ 0-50% | a castle @ 50-100%`")
    texts = frames.get(first)
    texts = texts if isinstance(texts, list) else [texts] if texts else []
    changes: dict[str, Any] = {"preset": "large", "cutouts": "overview"}
    changes["prompt"] = join_prompts(
        [prompt for text in texts for prompt in parse_phrases(str(text).replace("|", " "))]
    )
    size = values.get("width_height")
    sides = size if isinstance(size, list | tuple) else (values.get("width"), values.get("height"))
    if len(sides) == 2 and all(isinstance(side, int) for side in sides):
        changes["size"] = tuple(sides)
    if isinstance(steps := values.get("steps"), int):
        changes["steps"] = steps
    seed = values.get("seed", values.get("set_seed"))
    changes |= {"seed": int(seed)} if str(seed).isdecimal() else {}
    changes |= _check_boxes(values)
    if models := [_clip_of_discoart(name) for name in _names(values.get("clip_models"))]:
        changes["perceptor"] = " + ".join(models)
    fields_read = {
        "text_prompts",
        "width_height",
        "width",
        "height",
        "steps",
        "seed",
        "set_seed",
        "clip_models",
        *CLIPS,
    }
    return changes, fields_read


def _clip_of_discoart(name: str) -> str:
    """`ViT-B-32::openai` as ViT-B/32; weights that are not OpenAI's come from open_clip."""
    model, _, weights = name.partition("::")
    if weights in ("", "openai"):
        return re.sub(r"^(ViT-[BL])-(\d\d)(?:-336(?:px)?)?$", _with_slash, model)
    return f"open_clip/{model}/{weights}"


def _with_slash(match: re.Match[str]) -> str:
    return f"{match[1]}/{match[2]}" + ("@336px" if "336" in match[0] else "")


def aphantasia(values: Mapping[str, Any], lost: LostOptions) -> Converted:
    """Options of Aphantasia, whose texts have three roles."""
    roles = (("in_txt", 1.0), ("in_txt2", 0.5), ("in_txt0", -0.5))
    texts = [Prompt(str(values[name]).strip(), weight) for name, weight in roles if str(values.get(name) or "").strip()]
    changes: dict[str, Any] = {"prompt": join_prompts(texts)}
    if match := re.fullmatch(r"(\d+)[-x](\d+)", str(values.get("size"))):
        changes["size"] = (int(match[1]), int(match[2]))
    if values.get("dwt"):
        changes |= {"canvas": "wavelets", "wave": str(values.get("wave") or "coif2")}
    changes |= {"perceptor": values["model"]} if isinstance(values.get("model"), str) else {}
    if isinstance(optimizer := values.get("optimizer"), str):
        changes["optimizer"] = optimizer.replace("_", "-").replace("adamw-custom", "adamw")
    return changes, {"in_txt", "in_txt2", "in_txt0", "size", "model", "optimizer", "dwt", "wave"}


CONVERTERS: dict[str, Callable[[Mapping[str, Any], LostOptions], Converted]] = {
    "pixray": pixray,
    "rkhamilton": rkhamilton,
    "pytti": pytti,
    "disco": disco,
    "discoart": disco,
    "aphantasia": aphantasia,
}


def _pictures(value: Any, lost: LostOptions) -> dict[str, Any]:
    """Picture prompts, from a list or from a text with pipes."""
    names = tuple(part.strip() for part in _line(value).split("|") if part.strip())
    return {"image_prompts": names} if names else {}


def _check_boxes(values: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for box, name in CLIPS.items() if values.get(box) is True]
    return {"perceptor": " + ".join(names)} if names else {}


def _line(value: Any) -> str:
    """A text, or several as one joined by pipes."""
    return " | ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")


def _names(value: Any) -> list[str]:
    """Names, or numbers, in a list or a text with commas."""
    parts = value if isinstance(value, list | tuple) else str(value or "").split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
