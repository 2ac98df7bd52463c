"""The VQGAN+CLIP notebook of 2021 (Crowson, Eleiber, Abulafia, Crimeacs): the fields of its cells."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqclip_nb.compat.options import Option, Tool
from vqclip_nb.compat.plan import Outputs, Plan
from vqclip_nb.compat.texts import join_prompts, noise_prompts, parse_phrases
from vqclip_nb.compat.vqgans import vqgan
from vqclip_nb.errors import SettingsError

ENDLESS = 500  # steps, where the notebook continued until it was stopped
CHECKED = (
    *("imagenet_1024", "imagenet_16384", "gumbel_8192", "openimages_8192", "coco", "faceshq", "wikiart_1024"),
    *("wikiart_16384", "sflckr", "ade20k", "ffhq", "celebahq"),
)
_FETCHED = "a model is downloaded on first use, or by `vqclip models get NAME`"
_FILM = "`vqclip film RUN --seconds 15`"
TOOL = Tool(
    "the VQGAN+CLIP notebook of 2021",
    "notebook",
    "updated",
    (
        *(Option(name, "switch", name == "imagenet_16384", "moot", _FETCHED) for name in CHECKED),
        Option("texts", "text", "", "setting", "the prompt, in the same form: `a castle:2 | fog:-0.5`"),
        Option("width", "whole", 300, "setting", "`--size W H`"),
        Option("height", "whole", 300, "setting", "`--size W H`"),
        Option("model", "text", "vqgan_imagenet_f16_16384", "setting", "`--canvas vqgan/MODEL`"),
        Option(
            "images_interval",
            "whole",
            50,
            "file",
            "`--every 50` keeps every fiftieth picture on the way; left out, all are kept",
        ),
        Option("init_image", "text", "", "setting", "`--init-image`; cropped, not stretched", setting="init_image"),
        Option("target_images", "text", "", "setting", "`--image-prompts FILE:0.5`, once for each picture"),
        Option("seed", "whole", -1, "setting", "`--seed`; here too, -1 draws one", setting="seed"),
        Option(
            "max_iterations",
            "whole",
            -1,
            "setting",
            f"`--steps`; for -1, without end, {ENDLESS}; `vqclip resume RUN --steps 1000` continues",
        ),
        Option("noise_prompt_seeds", "wholes", (), "setting", '`--noise-prompts "3:0.5 | 4:-0.2"`, each seed:weight'),
        Option(
            "noise_prompt_weights", "numbers", (), "setting", '`--noise-prompts "3:0.5 | 4:-0.2"`, each seed:weight'
        ),
        Option("init_weight", "number", 0.0, "setting", "`--init-weight`", setting="init_weight"),
        Option("clip_model", "text", "ViT-B/32", "setting", "`--perceptor`", setting="perceptor"),
        Option("step_size", "number", 0.1, "setting", "`--lr`", setting="lr"),
        Option("cutn", "whole", 64, "setting", "`--cutn`", setting="cutn"),
        Option("cut_pow", "number", 1.0, "setting", "`--cut-pow`", setting="cut_pow"),
        Option("init_frame", "whole", 1, "moot", f"a film shows the whole run; {_FILM} sets its length"),
        Option("last_frame", "whole", None, "moot", f"a film shows the whole run; {_FILM} sets its length"),
        Option("min_fps", "number", 10.0, "moot", f"a film has 4 to 30 pictures a second; {_FILM} sets its length"),
        Option("max_fps", "number", 30.0, "moot", f"a film has 4 to 30 pictures a second; {_FILM} sets its length"),
        Option("length", "number", 15.0, "file", "the length of the film: `vqclip film RUN --seconds 15`"),
    ),
)


def plan(arguments: Mapping[str, Any], preset: str = TOOL.preset) -> Plan:
    """The plan for the notebook's fields. preset: that of the notebook's version. Raises SettingsError."""
    notes, values = TOOL.notes(arguments), TOOL.read(arguments)
    explicit = {name: value for name, value in arguments.items() if value not in ("", None)}
    changes = {"seed": -1} | TOOL.direct(explicit)
    pictures = tuple(part.strip() for part in values["target_images"].split("|") if part.strip())
    if not values["texts"].strip() and not pictures:
        raise SettingsError("texts and target_images are both empty; one of them says what to paint")
    changes |= {"prompt": join_prompts(parse_phrases(values["texts"])), "size": (values["width"], values["height"])}
    changes |= {"image_prompts": pictures} if pictures else {}
    changes |= noise_prompts(values["noise_prompt_seeds"], values["noise_prompt_weights"])
    changes["steps"] = ENDLESS if values["max_iterations"] == -1 else values["max_iterations"]
    if values["model"] != TOOL.option("model").default:
        changes["canvas"] = f"vqgan/{vqgan(values['model'])}"
    every = max(1, values["images_interval"])
    return Plan(preset, changes, Outputs(Path("progress.png"), every, seconds=values["length"]), notes)
