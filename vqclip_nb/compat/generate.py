"""nerdyrodent's generate.py (VQGAN-CLIP): its options, and the plan of a command."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip_nb.compat.noise import KINDS
from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.plan import Outputs, Plan
from vqclip_nb.compat.texts import join_prompts, noise_prompts, parse_phrases, story
from vqclip_nb.compat.vqgans import vqgan
from vqclip_nb.errors import SettingsError
from vqclip_nb.schedules import MOST_KEYFRAMES

GIB = 2**30
MOST_STEPS = 100_000  # of Settings
_ZOOM = "with `--zoom_video`: "
_ALWAYS = "a seed always paints the same picture on one machine"
TOOL = Tool(
    "nerdyrodent's generate.py",
    "generate",
    "nerdyrodent",
    (
        Option(
            "prompts",
            "text",
            None,
            "setting",
            "the prompt; the phrases of a story (`^`) get keyframes of weights",
            "-p",
        ),
        Option("image_prompts", "text", None, "setting", "`--image-prompts FILE:0.5`, once for each picture", "-ip"),
        Option(
            "iterations",
            "whole",
            500,
            "setting",
            "`--steps`; generate.py made one more; -1: until Ctrl-C",
            "-i",
            "steps",
        ),
        Option("save_every", "whole", 50, "file", "the picture is written every so many steps, and at the end", "-se"),
        Option("size", "wholes", None, "setting", "`--size`; left out, it depends on the GPU's memory, as there", "-s"),
        Option("init_image", "text", None, "setting", "`--init-image`; cropped, not stretched", "-ii", "init_image"),
        Option(
            "init_noise",
            "text",
            None,
            "setting",
            "a picture of the noise is written beside the output, and is the `--init-image`",
            "-in",
        ),
        Option(
            "init_weight",
            "number",
            0.0,
            "setting",
            "`--init-weight`; it keeps the picture near to the start image; generate.py pulled it towards grey",
            "-iw",
            "init_weight",
        ),
        Option("clip_model", "text", "ViT-B/32", "setting", "`--perceptor`", "-m", "perceptor"),
        Option(
            "vqgan_config",
            "text",
            "checkpoints/vqgan_imagenet_f16_16384.yaml",
            "setting",
            "`--canvas vqgan/MODEL`, named after the file; add your own once, by "
            "`vqclip models add NAME --config FILE --weights FILE`",
            "-conf",
        ),
        Option(
            "vqgan_checkpoint",
            "text",
            "checkpoints/vqgan_imagenet_f16_16384.ckpt",
            "setting",
            "`--canvas vqgan/MODEL`, named after the file",
            "-ckpt",
        ),
        Option(
            "noise_prompt_seeds",
            "wholes",
            (),
            "setting",
            '`--noise-prompts "3:0.5 | 4:-0.2"`, each seed:weight',
            "-nps",
        ),
        Option(
            "noise_prompt_weights",
            "numbers",
            (),
            "setting",
            '`--noise-prompts "3:0.5 | 4:-0.2"`, each seed:weight',
            "-npw",
        ),
        Option("learning_rate", "number", 0.1, "setting", "`--lr`", "-lr", "lr"),
        Option("cut_method", "text", "latest", "setting", "`--cutouts` with `--augments`", "-cutm"),
        Option("num_cuts", "whole", 32, "setting", "`--cutn`", "-cuts", "cutn"),
        Option("cut_power", "number", 1.0, "setting", "`--cut-pow`", "-cutp", "cut_pow"),
        Option("seed", "whole", None, "setting", "`--seed`; left out, one is drawn", "-sd", "seed"),
        Option("optimiser", "text", "Adam", "setting", "`--optimizer`", "-opt", "optimizer"),
        Option("output", "text", "output.png", "file", "`--out FILE`", "-o"),
        Option("video", "switch", False, "file", "the film is written beside the picture, as output.mp4", "-vid"),
        Option(
            "zoom_video",
            "switch",
            False,
            "setting",
            "`--frame-steps`, which paints a film whose picture moves",
            "-zvid",
        ),
        Option("zoom_start", "whole", 0, "setting", _ZOOM + "`--first-steps`", "-zs"),
        Option("zoom_save_every", "whole", 10, "setting", _ZOOM + "`--frame-steps`", "-zse"),
        Option("zoom_scale", "number", 0.99, "setting", _ZOOM + "`--zoom`; edges are mirrored, not black", "-zsc"),
        Option("zoom_shift_x", "whole", 0, "setting", _ZOOM + "`--shift-x`", "-zsx"),
        Option("zoom_shift_y", "whole", 0, "setting", _ZOOM + "`--shift-y`", "-zsy"),
        Option(
            "change_prompt_every",
            "whole",
            0,
            "setting",
            "how many steps each phrase of a story is painted",
            "-cpe",
        ),
        Option("video_length", "number", 10.0, "file", "the length of the film in seconds", "-vl"),
        Option(
            "output_video_fps",
            "number",
            0.0,
            "moot",
            "frames are not interpolated; a film has 4 to 30 a second",
            "-ofps",
        ),
        Option("input_video_fps", "number", 15.0, "moot", "frames are not interpolated", "-ifps"),
        Option("deterministic", "switch", False, "moot", _ALWAYS, "-d"),
        Option("augments", "texts", (), "setting", "`--augments`, in this order", "-aug"),
        Option(
            "video_style_dir",
            "text",
            None,
            "refused",
            "write the prompt into the file that `vqclip animate --example` prints, and paint with "
            "`vqclip animate FILE --video FOLDER`",
            "-vsd",
        ),
        Option(
            "cuda_device",
            "text",
            "cuda:0",
            "setting",
            "`--device`; cuda:0 is the default there, and means the best device that there is",
            "-cd",
        ),
    ),
)
_SEVERAL = {"texts": "+", "wholes": "*", "numbers": "*"}
_METHODS = {  # cut_method: cutouts here, and whether -aug counts
    "latest": ("pooling", True),
    "updatedpooling": ("pooling-published", False),
    "nrupdated": ("original", True),
    "updated": ("updated", False),
    "original": ("original", False),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of generate.py to a parser, in all spellings; options that are not typed have no attribute."""
    for option in TOOL.options:
        names = dict.fromkeys([option.short, option.flag, option.flag.replace("_", "-")])
        words: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": option.help}
        if option.kind == "switch":
            words["action"] = "store_true"
        else:
            words |= {"metavar": option.name.upper(), "nargs": _SEVERAL.get(option.kind)}
        parser.add_argument(*names, **words)


def plan(arguments: Mapping[str, Any], *, memory: int | None = None) -> Plan:
    """The plan for generate.py's options, by name. memory: the bytes of the GPU, or None without one.

    Raises SettingsError.
    """
    notes, values = TOOL.notes(arguments), TOOL.read(arguments)
    steps = _steps(values)
    if values["iterations"] < 0:
        end = f"here {steps:,} steps do, or Ctrl-C, which keeps the picture"
        notes += (f"nothing ends --iterations {values['iterations']} there; {end}",)
    values |= {"iterations": steps}
    changes = {"seed": -1} | TOOL.direct(arguments) | {"device": device_of(arguments)}
    changes |= {"steps": steps} if "steps" in changes else {}
    changes["size"] = _size(values["size"], memory)
    changes |= (
        _prompts(values)
        | noise_prompts(values["noise_prompt_seeds"], values["noise_prompt_weights"])
        | _cutouts(values, "augments" in arguments)
    )
    if model := _model(values):
        changes["canvas"] = f"vqgan/{model}"
    if "^" in (values["prompts"] or "") and values["change_prompt_every"] <= 0:
        notes += (
            "--prompts is a story, of which the first phrase alone is painted, as there; -cpe 60 shows each for 60",
        )
    picture = Path(values["output"])
    seconds = values["video_length"]
    if values["zoom_video"]:
        changes |= _zooming(values)
        seconds = None  # this film has its own frame rate
    sources = {"size": {"size"}, "cutouts": {"cut_method"}, "augments": {"cut_method", "augments"}}
    tool_defaults = frozenset(name for name, options in sources.items() if not options & arguments.keys())
    noise = ""
    if values["init_noise"] and not values["init_image"]:
        if (noise := values["init_noise"].lower()) not in KINDS:
            raise SettingsError(f"--init_noise must be {' or '.join(KINDS)}, got {values['init_noise']!r}")
        changes["init_image"] = str(picture.with_name(f"{picture.stem}.noise.png"))
    films = (picture.with_suffix(".mp4"),) if values["video"] or values["zoom_video"] else ()
    outputs = Outputs(picture, max(1, values["save_every"]), films=films, seconds=seconds)
    return Plan(TOOL.preset, changes, outputs, notes, tool_defaults=tool_defaults, noise=noise)


def _steps(values: Mapping[str, Any]) -> int:
    """The number of steps; a number below 0 means no end."""
    if values["iterations"] >= 0:
        return max(1, values["iterations"])
    every = values["change_prompt_every"]
    return min(MOST_STEPS, every * MOST_KEYFRAMES) if every > 0 else MOST_STEPS


def device_of(arguments: Mapping[str, Any]) -> str:
    """The device; generate.py's default means the best one."""
    name = arguments.get("cuda_device", "auto")
    return "auto" if name == TOOL.option("cuda_device").default else str(name)


def _zooming(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a film that scales and shifts the picture at generate.py's interval and rate."""
    every = max(1, values["zoom_save_every"])
    right, down = values["zoom_shift_x"], values["zoom_shift_y"]
    rate = min(60.0, max(10.0, values["iterations"] / every / max(values["video_length"], 0.1)))
    return {
        **{"frame_steps": every, "first_steps": values["zoom_start"], "fps": rate, "zoom": values["zoom_scale"]},
        **{"shift_x": right, "shift_y": down, "border": "wrap" if right or down else "reflect"},
    }


def _size(size: tuple[int, ...] | None, memory: int | None) -> tuple[int, int]:
    if size is None:
        side = 256 if memory is None else 512 if memory > 8 * GIB else 304
        return (side, side)
    if len(size) not in (1, 2):
        raise SettingsError(f"--size must be width and height, got {' '.join(map(str, size))}")
    return (size[0], size[-1])


def _prompts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of texts and pictures. A story's phrases follow each other; its pictures end with the first phrase."""
    pictures = [part.strip() for part in (values["image_prompts"] or "").split("|") if part.strip()]
    text = values["prompts"] or ("" if pictures else "A cute, smiling, Nerdy Rodent")
    parts, every = [parse_phrases(part) for part in text.split("^")], values["change_prompt_every"]
    if len(parts) > 1 and every > 0:
        return story(parts, every, values["iterations"], pictures)
    prompt = join_prompts(parts[0])
    return {"prompt": prompt} | ({"image_prompts": tuple(pictures)} if pictures else {})


def _cutouts(values: Mapping[str, Any], explicit: bool) -> dict[str, Any]:
    if (method := values["cut_method"].lower()) not in _METHODS:
        raise SettingsError(f"--cut_method must be one of {', '.join(_METHODS)}, got {values['cut_method']!r}")
    cutouts, varied = _METHODS[method]
    letters = " ".join(values["augments"]) if explicit else "Af Pe Ji Er"
    return {"cutouts": cutouts, "augments": letters if varied else ""}


def _model(values: Mapping[str, Any]) -> str | None:
    """The VQGAN that the files are named after, or None for the default. Raises SettingsError for an unknown one."""
    config, weights = values["vqgan_config"], values["vqgan_checkpoint"]
    if weights != TOOL.option("vqgan_checkpoint").default:
        beside = config if Path(config).stem == Path(weights).stem else str(Path(weights).with_suffix(".yaml"))
        return vqgan(weights, config=beside, weights=weights)
    if config != TOOL.option("vqgan_config").default:
        return vqgan(config, config=config, weights=str(Path(config).with_suffix(".ckpt")))
    return None
