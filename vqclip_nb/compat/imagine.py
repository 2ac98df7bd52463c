"""Deep Daze's `imagine`: its options, and the plan of a command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip_nb.compat.dream import date_prefix, distinct_name, pulls, steps_of
from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.plan import Outputs, Plan
from vqclip_nb.compat.texts import file_name, story, story_parts
from vqclip_nb.errors import SettingsError
from vqclip_nb.prompts import Prompt

_STORY = "with `--create_story`: how many words are shown, and how they change"
_SPREAD = "by a fault, Deep Daze draws all cutouts uniformly in spite of it, and so does this"
_FIT = "the network is always fitted to the start image in 300 steps"
TOOL = Tool(
    "Deep Daze",
    "imagine",
    "deepdaze",
    (
        Option("text", "text", None, "setting", "the prompt"),
        Option("img", "any", None, "setting", "`--image-prompts`; with a text as well, each counts half"),
        Option("learning_rate", "number", 1e-5, "setting", "`--lr`", setting="lr"),
        Option("num_layers", "whole", 16, "setting", "`--layers`", setting="layers"),
        Option("hidden_size", "whole", 256, "setting", "`--hidden-size`", setting="hidden_size"),
        Option("batch_size", "whole", 4, "setting", "`--cutn`", setting="cutn"),
        Option("gradient_accumulate_every", "whole", 4, "setting", "`--accumulate`", setting="accumulate"),
        Option("epochs", "whole", 20, "setting", "`--steps`: epochs times iterations"),
        Option("iterations", "whole", 1050, "setting", "`--steps`: epochs times iterations"),
        Option("save_every", "whole", 100, "file", "the picture is written every so many steps, and at the end"),
        Option("image_width", "whole", 512, "setting", "`--size`"),
        Option("deeper", "switch", False, "setting", "`--canvas siren --layers 32`"),
        Option("overwrite", "switch", False, "file", "a picture of the same name is overwritten without a question"),
        Option("save_progress", "switch", True, "file", "numbered pictures too, as text.000001.jpg"),
        Option("seed", "whole", None, "setting", "`--seed`; left out, one is drawn", setting="seed"),
        Option("open_folder", "switch", True, "moot", "no folder is opened; the last lines say where the pictures are"),
        Option("save_date_time", "switch", False, "file", "date and time begin the picture's name"),
        Option(
            "start_image_path",
            "text",
            None,
            "setting",
            "`--init-image`; its colours are kept, where Deep Daze makes them pale",
            setting="init_image",
        ),
        Option("start_image_train_iters", "whole", 50, "moot", _FIT),
        Option("theta_initial", "number", None, "setting", "`--w0-first`", setting="w0_first"),
        Option("theta_hidden", "number", None, "setting", "`--w0`", setting="w0"),
        Option("start_image_lr", "number", 3e-4, "moot", _FIT),
        Option(
            "lower_bound_cutout",
            "number",
            0.1,
            "setting",
            "`--cutouts uniform --crop-sizes 0.1-0.8`, from the lower to the upper bound",
        ),
        Option(
            "upper_bound_cutout",
            "number",
            1.0,
            "setting",
            "`--cutouts uniform --crop-sizes 0.1-0.8`, from the lower to the upper bound",
        ),
        Option("saturate_bound", "switch", False, "setting", "`--cutouts uniform-rising`"),
        Option(
            "create_story",
            "switch",
            False,
            "setting",
            "the weights of the story's phrases become keyframes; story_transitions.txt is not written",
        ),
        Option("story_start_words", "whole", 5, "setting", _STORY),
        Option("story_words_per_epoch", "whole", 5, "setting", _STORY),
        Option("story_separator", "text", None, "setting", _STORY),
        Option("averaging_weight", "number", 0.3, "setting", "`--averaging-weight`", setting="averaging_weight"),
        Option("gauss_sampling", "switch", False, "moot", _SPREAD),
        Option("gauss_mean", "number", 0.6, "moot", _SPREAD),
        Option("gauss_std", "number", 0.2, "moot", _SPREAD),
        Option(
            "do_cutout",
            "switch",
            True,
            "setting",
            "when off, `--cutouts pooling --augments none`: CLIP sees whole pictures",
        ),
        Option("center_bias", "switch", False, "setting", "`--cutouts uniform-centre`"),
        Option("center_focus", "number", 2, "refused", "`--center_bias` always uses the default focus, 2"),
        Option("jit", "switch", True, "moot", "CLIP is loaded without it, and works with any torch"),
        Option("save_gif", "switch", False, "file", "the film is written too, as text.gif"),
        Option("save_video", "switch", False, "file", "the film is written too, as text.mp4"),
        Option("model_name", "text", "ViT-B/32", "setting", "`--perceptor`", setting="perceptor"),
        Option("optimizer", "text", "AdamP", "setting", "`--optimizer`", setting="optimizer"),
    ),
)


def plan(arguments: Mapping[str, Any], tool: Tool = TOOL) -> Plan:
    """The plan for Deep Daze's options, by name; `tool` has the defaults. Raises SettingsError."""
    notes, values = tool.notes(arguments), tool.read(arguments)
    groups = _story(values) if values["create_story"] else []
    values |= {"epochs": len(groups)} if groups else {}
    steps, length = steps_of(values)
    changes = {"seed": -1} | tool.direct(arguments) | {"steps": steps}
    changes |= story(groups, values["iterations"], steps) if groups else _pulls(values)
    changes["size"] = (values["image_width"], values["image_width"])
    if values.get("deeper"):
        changes["layers"] = 32
    changes |= _cutouts(values)
    tool_defaults = set() if "image_width" in arguments else {"size"}
    tool_defaults |= set() if {"epochs", "iterations", "create_story"} & arguments.keys() else {"steps"}
    return Plan(
        tool.preset,
        changes,
        _outputs(values),
        notes,
        length,
        frozenset(tool_defaults),
        asks_to_overwrite=not values.get("overwrite", True),
    )


def _story(values: Mapping[str, Any]) -> list[list[Prompt]]:
    """The prompts of each epoch. Raises SettingsError for a story without a text or without words."""
    if not (values["text"] or "").strip():
        raise SettingsError("--create_story needs a text whose words come one after another")
    start, more = values["story_start_words"], values["story_words_per_epoch"]
    if min(start, more) < 1:
        raise SettingsError(
            f"--story_start_words and --story_words_per_epoch must be 1 or more, got {start} and {more}"
        )
    return [[Prompt(text)] for text in story_parts(values["text"], start, more, values["story_separator"])]


def _pulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the text and the picture. The text is one prompt, because Deep Daze does not split it at pipes."""
    text = (values["text"] or "").strip()
    return pulls([Prompt(text)] if text else [], values["img"])


def _cutouts(values: Mapping[str, Any]) -> dict[str, Any]:
    if not values["do_cutout"]:
        return {"cutouts": "pooling", "augments": "none"}
    low, high = values["lower_bound_cutout"], values["upper_bound_cutout"]
    if not 0 <= low <= high <= 1:
        raise SettingsError(
            f"--lower_bound_cutout and --upper_bound_cutout must be from 0 to 1, got {low:g} and {high:g}"
        )
    sizes = {"crop_sizes": f"{low:g}-{high:g}"} if (low, high) != (0.1, 1) else {}
    if values["saturate_bound"]:
        return {"cutouts": "uniform-rising"} | sizes
    method = "uniform-centre" if values["center_bias"] else "uniform"
    return {"cutouts": method} | sizes if sizes or values["center_bias"] else {}


def _outputs(values: Mapping[str, Any]) -> Outputs:
    text, image, separator = values["text"], values["img"], values["story_separator"]
    if values["create_story"] and separator and text:
        text = text.partition(separator)[0] or text
    if not text:
        text = Path(image).stem if isinstance(image, str | Path) else "PIL_img"
    name = distinct_name(date_prefix(values) + file_name(text[:77]), ".jpg", image)
    pattern = name.replace("{", "{{").replace("}", "}}") + ".{:06}.jpg"
    kinds = {".gif": values["save_gif"], ".mp4": values["save_video"]}
    return Outputs(
        Path(f"{name}.jpg"),
        max(1, values["save_every"]),
        numbered=pattern if values["save_progress"] else "",
        first_number=1,
        films=tuple(Path(name + end) for end, is_wanted in kinds.items() if is_wanted),
    )
