"""Big Sleep's `dream`: its options, and the plan of a command."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.plan import Outputs, Plan
from vqclip_nb.compat.texts import file_name, join_prompts, parse_plain
from vqclip_nb.errors import SettingsError
from vqclip_nb.prompts import Prompt

SIZES = (128, 256, 512)
_PIXELS = "cutouts always take the nearest pixels, which is Big Sleep's default"
TOOL = Tool(
    "Big Sleep",
    "dream",
    "bigsleep",
    (
        Option("text", "text", None, "setting", "the prompt; `|` joins several"),
        Option("img", "any", None, "setting", "`--image-prompts`; with a text as well, each counts half"),
        Option("text_min", "text", "", "setting", "prompts of weight -1: `a castle | fog:-1`"),
        Option("lr", "number", 0.07, "setting", "`--lr`", setting="lr"),
        Option("image_size", "whole", 512, "setting", "`--canvas biggan/256 --size 256`, also 128 and 512"),
        Option("gradient_accumulate_every", "whole", 1, "setting", "`--accumulate`", setting="accumulate"),
        Option("epochs", "whole", 20, "setting", "`--steps`: epochs times iterations"),
        Option("iterations", "whole", 1050, "setting", "`--steps`: epochs times iterations"),
        Option("save_every", "whole", 50, "file", "the picture is written every so many steps, and at the end"),
        Option("overwrite", "switch", False, "file", "a picture of the same name is overwritten without a question"),
        Option(
            "save_progress",
            "switch",
            False,
            "file",
            "numbered pictures too, as text.0.png; the run's folder has one of each step",
        ),
        Option("save_date_time", "switch", False, "file", "date and time begin the picture's name"),
        Option("bilinear", "switch", False, "moot", _PIXELS),
        Option("open_folder", "switch", True, "moot", "no folder is opened; the last lines say where the pictures are"),
        Option("seed", "whole", 0, "setting", "`--seed`", setting="seed"),
        Option("append_seed", "switch", False, "file", "the seed ends the picture's name"),
        Option("random", "switch", False, "setting", "`--seed -1` draws a seed"),
        Option("torch_deterministic", "switch", False, "moot", "a seed always paints the same picture on one machine"),
        Option("max_classes", "whole", None, "setting", "`--max-classes`", setting="max_classes"),
        Option("class_temperature", "number", 2.0, "setting", "`--class-temperature`", setting="class_temperature"),
        Option(
            "save_best", "switch", False, "file", "the picture nearest to the prompt is written too, as text.best.png"
        ),
        Option("experimental_resample", "switch", False, "moot", _PIXELS),
        Option("ema_decay", "number", 0.5, "setting", "`--average`", setting="average"),
        Option("num_cutouts", "whole", 128, "setting", "`--cutn`", setting="cutn"),
        Option("center_bias", "switch", False, "setting", "`--cutouts normal-centre`"),
        Option("larger_model", "switch", False, "setting", "`--perceptor ViT-L/14`"),
    ),
)


def plan(arguments: Mapping[str, Any], tool: Tool = TOOL) -> Plan:
    """The plan for Big Sleep's options, by name; `tool` has the defaults. Raises SettingsError."""
    notes, values = tool.notes(arguments), tool.read(arguments)
    changes = tool.direct({**values, **arguments})
    changes |= pulls(parse_plain(values["text"] or ""), values["img"], values["text_min"] or "")
    size = values["image_size"]
    if size not in SIZES:
        raise SettingsError(f"--image_size must be 128, 256 or 512, got {size}")
    if values.get("random") or values["seed"] is None:
        changes["seed"] = secrets.randbelow(1_000_001)
    changes |= {"canvas": f"biggan/{size}", "size": (size, size)}
    changes["steps"], length = steps_of(values)
    if values["center_bias"]:
        changes["cutouts"] = "normal-centre"
    if values.get("larger_model") or values.get("larger_clip"):
        changes["perceptor"] = "ViT-L/14"
    outputs = _outputs(values, changes["seed"])
    tool_defaults = {option.setting for option in tool.options if option.name not in arguments} - {"", "seed"}
    tool_defaults |= set() if "image_size" in arguments else {"size"}
    tool_defaults |= set() if {"epochs", "iterations"} & arguments.keys() else {"steps"}
    return Plan(
        tool.preset,
        changes,
        outputs,
        notes,
        length,
        frozenset(tool_defaults),
        asks_to_overwrite=not values.get("overwrite", True),
    )


def pulls(texts: Sequence[Prompt], image: Any, text_min: str = "") -> dict[str, Any]:
    """Settings that pull towards texts and a picture, each counting half, and away from `text_min`.

    Raises SettingsError if there is neither a text nor a picture.
    """
    if not texts and image is None:
        example = 'give a text, as in "a pyramid made of ice", or --img FILE (in Python img="FILE")'
        raise SettingsError(f"there is nothing to imagine; {example}")
    half = 0.5 if texts and image is not None else 1.0
    pushed = [replace(prompt, weight=-1.0) for prompt in parse_plain(text_min)]
    changes = {"prompt": join_prompts([*(replace(prompt, weight=half) for prompt in texts), *pushed])}
    if image is None:
        return changes
    return changes | {"image_prompts": (str(Prompt(str(image), half * max(1, len(texts)))),)}


def steps_of(values: Mapping[str, Any]) -> tuple[int, str]:
    """The steps of all epochs, and the tool's own count in words. Raises SettingsError."""
    epochs, iterations = values["epochs"], values["iterations"]
    for name in ("epochs", "iterations"):
        if values[name] < 1:
            raise SettingsError(f"--{name} must be 1 or more, got {values[name]}")
    if epochs * iterations > 100_000:
        problem = f"--epochs {epochs} of --iterations {iterations} are {epochs * iterations:,} steps"
        raise SettingsError(f"{problem}, more than 100,000; lower one of them, and continue with `vqclip resume`")
    one = f"; --epochs 1 is {iterations:,} of them" if epochs > 1 else ""
    return epochs * iterations, f"{epochs} epochs of {iterations:,}{one}"


def date_prefix(values: Mapping[str, Any]) -> str:
    """The date and time that begin the picture's name, or an empty string."""
    return datetime.now().strftime("%y%m%d-%H%M%S-") if values["save_date_time"] else ""


def distinct_name(name: str, end: str, image: Any) -> str:
    """A name for the painted picture that does not overwrite the input picture `image`."""
    same = isinstance(image, str | Path) and Path(name + end).resolve() == Path(image).resolve()
    return f"_{name}" if same else name


def _outputs(values: Mapping[str, Any], seed: int) -> Outputs:
    text, image, without = values["text"] or "", values["img"], values.get("text_min") or ""
    if image is not None:
        text += "_" + (Path(image).stem if isinstance(image, str | Path) else "PIL_img")
    text = text + "_wout_" + without if without else text
    name = date_prefix(values) + file_name(text.replace("-", "_").replace(",", "").replace("|", "--"))
    name = distinct_name(name, ".png", image)
    end, every = f".{seed}" if values["append_seed"] else "", max(1, values["save_every"])
    return Outputs(
        Path(f"{name}{end}.png"),
        every,
        after=every,
        numbered=f"{name.replace('{', '{{').replace('}', '}}')}.{{}}{end}.png" if values["save_progress"] else "",
        best=Path(f"{name}{end}.best.png") if values["save_best"] else None,
    )
