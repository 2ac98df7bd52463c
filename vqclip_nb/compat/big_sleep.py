"""Big Sleep's Python: `from vqclip_nb.compat.big_sleep import Imagine`, with the same arguments and methods."""

from dataclasses import replace
from typing import Any

from vqclip_nb.compat import dream
from vqclip_nb.compat.imagine_base import ImagineBase
from vqclip_nb.compat.options import Option, Tool

ENCODING = (
    "a run must be repeatable from its folder, which keeps texts and pictures but no embeddings; give text or img"
)
_CHANGED = {"seed": {"default": None}, "ema_decay": {"default": 0.99}, "larger_model": {"name": "larger_clip"}}
TOOL = Tool(
    "big_sleep.Imagine",
    "dream",
    dream.TOOL.preset,
    (
        *(
            replace(option, **_CHANGED.get(option.name, {}))  # type: ignore[arg-type]
            for option in dream.TOOL.options
            if option.name not in ("overwrite", "random")
        ),
        Option("encoding", "any", None, "refused", ENCODING),
    ),
)


class Imagine(ImagineBase):
    """Big Sleep's class on this package's loop: `dream = Imagine(text="a pyramid made of ice"); dream()`.

    Call it again to continue the picture, `set_text` to change the text, `reset` to start over. Further arguments:
    device, runs (the folder of runs) and demo (use the models that come with the package). Raises SettingsError.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        img: Any = None,
        encoding: Any = None,
        text_min: str = "",
        lr: float = 0.07,
        image_size: int = 512,
        gradient_accumulate_every: int = 1,
        save_every: int = 50,
        epochs: int = 20,
        iterations: int = 1050,
        save_progress: bool = False,
        bilinear: bool = False,
        open_folder: bool = True,
        seed: int | None = None,
        append_seed: bool = False,
        torch_deterministic: bool = False,
        max_classes: int | None = None,
        class_temperature: float = 2.0,
        save_date_time: bool = False,
        save_best: bool = False,
        experimental_resample: bool = False,
        ema_decay: float = 0.99,
        num_cutouts: int = 128,
        center_bias: bool = False,
        larger_clip: bool = False,
        device: str = "auto",
        runs: str = "runs",
        demo: bool = False,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(TOOL, dream.plan, arguments)

    def set_text(self, text: str) -> None:
        """From now on, paint towards this text."""
        self.set_clip_encoding(text=text)

    def set_clip_encoding(
        self, text: str | None = None, img: Any = None, encoding: Any = None, text_min: str = ""
    ) -> None:
        """From now on, paint towards a text, a picture or both, and away from `text_min`."""
        self._encode(text=text, img=img, encoding=encoding, text_min=text_min)
