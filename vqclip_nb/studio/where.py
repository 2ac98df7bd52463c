"""Where: the masks of the run and of its prompts, drawn over the picture or uploaded."""

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from PIL import Image

from vqclip_nb import images
from vqclip_nb.errors import PictureError, SettingsError
from vqclip_nb.layout_fields import ALPHA
from vqclip_nb.prompts import Prompt, parse_picture
from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.previews import jpeg
from vqclip_nb.studio.uploads import KeptUploads, read_untrusted, take_upload, upload_button
from vqclip_nb.studio.widget_help import explain

RUN = 0  # the number of the run's own mask; those of prompts are counted from 1
SIDE = 512  # pixels of the longer side of a drawing, at most
_TINT = (255, 48, 96)  # of what is marked, over the picture
_LEAST = 8  # of 255: what an eraser with soft edges leaves behind is no mark
_HINTS = {
    True: "Only what is marked is painted; the rest of the start image stays, to the pixel.",
    False: "Write [mask {0}] behind a text of the prompt, as in “a castle [mask {0}]”: it pulls where it is marked.",
}


class Where:
    """A mask for the run and one for each [mask k] of the prompt. `box` is the whole of it.

    changed: called with the name of a setting that changed. failed: called with an error that a person should read.
    start: gives the path of the start image, or None. shown: gives the bytes of the picture that is shown, or None.
    size: gives the width and height of the painting. fields: the controls of what goes with a mask.
    """

    def __init__(
        self,
        changed: Callable[[str], object],
        failed: Callable[[Exception], object],
        *,
        start: Callable[[], str | None],
        shown: Callable[[], bytes | None],
        size: Callable[[], tuple[int, int]],
        fields: widgets.Widget,
    ) -> None:
        self._changed, self._failed = changed, failed
        self._start, self._shown, self._size = start, shown, size
        self._kept = KeptUploads()
        self._masks: dict[int, str] = {}  # by number, the path of a mask, or ALPHA
        self._drawn: Any = None  # what the surface was drawn for
        self._under = b""  # the pixels under it
        self._serial, self._quiet = 0, False
        self.role = widgets.Dropdown(options=[("The whole picture", RUN)], description="Mask of")
        self.role.add_class("vq-mask-role")
        explain(self.role, "A mask says where is painted; a prompt may have one of its own")
        self.hint = widgets.HTML()
        self.take = widgets.Button(description="Start from the picture that is shown", icon="image")
        self.take.tooltip = "Make the picture that is shown the start image, to paint parts of it anew"
        self.under = widgets.Image(format="jpeg")
        self.under.add_class("vq-under")
        self.surface = widgets.HTML()
        self.board = widgets.VBox([self.under, self.surface])
        self.board.add_class("vq-board")
        self.wire = widgets.Textarea(description="What is drawn", continuous_update=False, layout={"display": "none"})
        self.wire.add_class("vq-wire")
        self.tools = widgets.HTML(markup.tools())
        self.upload = upload_button("Upload a mask: white is marked")
        self.upload.add_class("vq-mask-upload")
        self.alpha = widgets.Button(description="Where it is transparent")
        self.alpha.tooltip = "Mark the transparent part of the start image"
        self.remove = widgets.Button(description="Remove this mask", icon="trash", tooltip="Mark nothing")
        self.remove.add_class("vq-mask-remove")
        self.fields = fields
        actions = widgets.HBox([self.upload, self.alpha, self.remove])
        actions.add_class("vq-row-of")
        self.box = widgets.VBox([self.role, self.hint, self.take, self.tools, self.board, self.wire, actions, fields])
        self.box.add_class("vq-where")
        self.role.observe(lambda _: self._guarded(self._chosen), "value")
        self.wire.observe(lambda _: self._guarded(self._drew), "value")
        self.upload.observe(lambda _: self._guarded(self._uploaded), "value")
        self.alpha.on_click(lambda _: self._guarded(lambda: self._set(self.number, ALPHA)))
        self.remove.on_click(lambda _: self._guarded(lambda: self._set(self.number, None)))
        keep_heard(self.box)
        self.draw()

    @property
    def number(self) -> int:
        """Which mask is shown: RUN, or that of a prompt."""
        return int(self.role.value)

    @property
    def mask(self) -> str | None:
        """The mask of the run. Raises SettingsError where there is no start image to keep parts of."""
        mask = self._masks.get(RUN)
        if mask and not self._start():
            raise SettingsError("the mask in the tab Where needs a start image; add one, or remove the mask")
        return mask

    @property
    def prompt_masks(self) -> tuple[str, ...]:
        """The masks of prompts. Raises SettingsError where one between them is empty."""
        count = max(self._masks, default=RUN)
        if missing := next((number for number in range(1, count) if number not in self._masks), None):
            raise SettingsError(f"[mask {missing}] in the tab Where is empty; draw it, or remove [mask {count}]")
        return tuple(str(Prompt(self._masks[number])) for number in range(1, count + 1))

    def load(self, settings: Any, inputs: Path | None) -> None:
        """Show the masks of settings that may be a stranger's: no path in them is opened. Raises PictureError."""
        self._show({})
        self._show({number: self._named(name, number, inputs, ours=False) for number, name in _named(settings)})

    def follow(self, settings: Any, inputs: Path | None) -> None:
        """Show the masks of our own settings, which may name them by path, too. Raises PictureError."""
        wanted = {number: self._named(name, number, inputs, ours=True) for number, name in _named(settings)}
        if wanted != self._masks:
            self._show(wanted)

    def draw(self) -> None:
        """Bring everything up to the start image, the size and the masks. What is as it was is not drawn anew."""
        count = max(self._masks, default=RUN) + 1
        offered = [("The whole picture", RUN), *((f"[mask {number}]", number) for number in range(1, count + 1))]
        number, start = min(self.number, count), self._start()
        if list(self.role.options) != offered:
            self._quiet = True
            self.role.options, self.role.value = offered, number
            self._quiet = False
        missing = "" if start or number != RUN else " It needs a start image: upload one in the tab Basic."
        self.hint.value = markup.small(_HINTS[number == RUN].format(number) + missing)
        _visible(self.take, not start and self._shown() is not None)
        for part in (self.tools, self.board, self.upload):
            _visible(part, bool(start) or number != RUN)
        _visible(self.fields, number == RUN)
        _visible(self.remove, number in self._masks)
        picture = self._picture()
        transparent = number == RUN and start is not None and images.transparency(Path(start), field="init_image")
        _visible(self.alpha, bool(transparent and transparent.getbbox()))
        _visible(self.under, picture is not None)
        size = _reduced(picture.size if picture is not None else self._size())
        under = picture.resize(size) if picture is not None else None
        if under is not None and under.tobytes() != self._under:
            self._under = under.tobytes()
            self.under.value = jpeg(under, SIDE)
        if (number, size, self._serial) != self._drawn:
            self._drawn = (number, size, self._serial)
            mask = self._as_grey(number)
            fitted = mask and (mask.resize(size) if number == RUN else images.covering(mask, size))  # as in painting
            self._quiet, self.wire.value, self._quiet = True, "", False  # what the page drew is no longer shown
            self.surface.value = markup.tint(_tinted(fitted, size), size)

    def _chosen(self) -> None:
        if not self._quiet:
            self.draw()

    def _picture(self) -> Image.Image | None:
        """What lies under the drawing: the start image, as the run shows it, or the picture that is shown."""
        if start := self._start():
            picture = images.read(Path(start), field="init_image")
            return picture if self.number == RUN else images.covering(picture, self._size())
        if self.number == RUN or not (data := self._shown()):
            return None
        with Image.open(io.BytesIO(data)) as pil:
            return images.covering(pil.convert("RGB"), self._size())

    def _as_grey(self, number: int) -> Image.Image | None:
        """A mask as grey, or None where nothing is marked."""
        if (name := self._masks.get(number)) is None:
            return None
        if name != ALPHA:
            return images.read(Path(name), field="mask").convert("L")
        start = self._start()
        return images.transparency(Path(start), field="init_image") if start else None

    def _set(self, number: int, name: str | None) -> None:
        """Mark what a mask marks, or nothing, and show it."""
        self._serial += 1
        self._mark(number, name)

    def _mark(self, number: int, name: str | None) -> None:
        self._masks = {**self._masks, number: name} if name else {k: v for k, v in self._masks.items() if k != number}
        self.draw()
        self._changed("mask" if number == RUN else "prompt_masks")

    def _show(self, masks: dict[int, str]) -> None:
        self._masks = masks
        self._serial += 1
        self.draw()

    def _drew(self) -> None:
        """Take what was drawn in the page. The surface there has it already, and keeps the way back to before it."""
        if self._quiet or not (address := self.wire.value):
            return
        number = self.number
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as pil:
            marked = pil.getchannel("A").point(lambda alpha: alpha if alpha >= _LEAST else 0)
        if number == RUN and (start := self._start()):
            marked = marked.resize(images.read(Path(start), field="init_image").size, Image.Resampling.BILINEAR)
        marked.save(file := io.BytesIO(), "PNG")
        name = str(self._kept.keep(file.getvalue())) if marked.getbbox() else None
        self._mark(number, name)

    def _uploaded(self) -> None:
        if not (data := take_upload(self.upload)):
            return
        path = self._kept.keep(data)
        if not images.read(path, field="the mask").convert("L").getbbox():
            raise PictureError("the mask must mark something, got a picture that is all black; paint white on it")
        self._set(self.number, str(path))

    def _named(self, name: str, number: int, inputs: Path | None, *, ours: bool) -> str:
        """The file of a mask that settings name. Raises PictureError."""
        if name == ALPHA and number == RUN:
            return ALPHA
        field = "mask" if number == RUN else "prompt_masks"
        if not ours:
            return str(self._kept.keep(read_untrusted(name, field, inputs)))
        return str(self._kept.keep(images.locate(name, field=field, inputs=inputs).read_bytes()))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._failed(error)


def _named(settings: Any) -> Iterator[tuple[int, str]]:
    """The masks that settings name, each with its number."""
    if settings.mask:
        yield RUN, settings.mask
    for number, line in enumerate(settings.prompt_masks, 1):
        yield number, parse_picture(line).text


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    """A width and height whose longer side is at most SIDE."""
    share = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _tinted(mask: Image.Image | None, size: tuple[int, int]) -> str:
    """A mask as the address of a PNG of one colour, transparent where nothing is marked."""
    tinted = Image.new("RGBA", size, _TINT)
    tinted.putalpha(mask or Image.new("L", size))
    tinted.save(file := io.BytesIO(), "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _visible(widget: widgets.Widget, visible: bool) -> None:
    widget.layout.display = "" if visible else "none"
