"""Deep Daze's Python: `from vqclip_nb.compat.deep_daze import Imagine`, with the same arguments and methods."""

from dataclasses import replace
from typing import Any

from vqclip_nb.compat import imagine
from vqclip_nb.compat.big_sleep import ENCODING
from vqclip_nb.compat.imagine_base import ImagineBase
from vqclip_nb.compat.options import Option, Tool

_CHANGED = {"learning_rate": {"name": "lr"}, "start_image_train_iters": {"default": 10}}
TOOL = Tool(
    "deep_daze.Imagine",
    "imagine",
    imagine.TOOL.preset,
    (
        *(
            replace(option, **_CHANGED.get(option.name, {}))  # type: ignore[arg-type]
            for option in imagine.TOOL.options
            if option.name not in ("overwrite", "deeper")
        ),
        Option("clip_encoding", "any", None, "refused", ENCODING),
    ),
)


class Imagine(ImagineBase):
    """Deep Daze's class on this package's loop: `imagine = Imagine(text="a house in the forest"); imagine()`.

    Call it again to continue the picture, `set_clip_encoding` to change the text, `reset` to start over. Further
    arguments: device, runs (the folder of runs) and demo (use the models that come with the package). Raises
    SettingsError.
    """

    def __init__(
        self,
        *,
        text: str | None = None,
        img: Any = None,
        clip_encoding: Any = None,
        lr: float = 1e-5,
        batch_size: int = 4,
        gradient_accumulate_every: int = 4,
        save_every: int = 100,
        image_width: int = 512,
        num_layers: int = 16,
        epochs: int = 20,
        iterations: int = 1050,
        save_progress: bool = True,
        seed: int | None = None,
        open_folder: bool = True,
        save_date_time: bool = False,
        start_image_path: str | None = None,
        start_image_train_iters: int = 10,
        start_image_lr: float = 3e-4,
        theta_initial: float | None = None,
        theta_hidden: float | None = None,
        model_name: str = "ViT-B/32",
        lower_bound_cutout: float = 0.1,
        upper_bound_cutout: float = 1.0,
        saturate_bound: bool = False,
        averaging_weight: float = 0.3,
        create_story: bool = False,
        story_start_words: int = 5,
        story_words_per_epoch: int = 5,
        story_separator: str | None = None,
        gauss_sampling: bool = False,
        gauss_mean: float = 0.6,
        gauss_std: float = 0.2,
        do_cutout: bool = True,
        center_bias: bool = False,
        center_focus: float = 2,
        optimizer: str = "AdamP",
        jit: bool = True,
        hidden_size: int = 256,
        save_gif: bool = False,
        save_video: bool = False,
        device: str = "auto",
        runs: str = "runs",
        demo: bool = False,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(TOOL, imagine.plan, arguments)

    def set_clip_encoding(self, text: str | None = None, img: Any = None, encoding: Any = None) -> None:
        """From now on, paint towards a text, a picture or both."""
        self._encode(text=text, img=img, clip_encoding=encoding)
