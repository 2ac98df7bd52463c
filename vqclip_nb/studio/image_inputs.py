"""The start image and the image prompts, by upload, path or address, as thumbnails that can be removed."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from vqclip_nb import images, palettes
from vqclip_nb.errors import PictureError
from vqclip_nb.prompts import Prompt, parse_picture
from vqclip_nb.schedules import value_at
from vqclip_nb.studio import markup
from vqclip_nb.studio.frontend import keep_heard
from vqclip_nb.studio.uploads import KeptUploads, read_untrusted, take_upload, upload_button
from vqclip_nb.studio.widget_help import explain

THUMB = 96
MOST_BYTES = 100_000_000
COLOURS = "colours"  # the role of a picture of which only the colours are used


class ImageInputs:
    """Pictures to start from or to paint towards. `init_image` and `image_prompts` are values for Settings.

    changed: called when a picture was added or removed. failed: called with an exception. coloured: called with the
    colours of a picture, as text.
    """

    def __init__(
        self,
        changed: Callable[[str], object],
        failed: Callable[[Exception], object],
        coloured: Callable[[str], object] = lambda colours: None,
    ) -> None:
        self._changed, self._failed, self._coloured = changed, failed, coloured
        self._kept = KeptUploads()
        self.init_image: str | None = None
        self.towards: list[tuple[Prompt, Any]] = []  # a picture by its path, and the control of its weight
        self.role = widgets.ToggleButtons(
            options=[
                ("Start from it", "init_image"),
                ("Paint towards it", "image_prompts"),
                ("Use its colours", COLOURS),
            ]
        )
        self.role.tooltips = [
            "The first picture, instead of noise",
            "A picture that pulls, as a prompt does",
            "Write its colours into the losses, or into the fixed palette of the canvas pixels",
        ]
        self.upload = upload_button("Upload a picture from your computer")
        self.place = widgets.Text(
            description="Path or address",
            placeholder="or a path or address",
            layout={"flex": "1 1 80px", "width": "auto", "min_width": "0"},
        )
        self.place.add_class("vq-unlabelled")
        explain(self.place, "A file on this machine, or an address that begins with https://")
        self.add = widgets.Button(
            description="Add", tooltip="Take the picture at this path or address", layout={"width": "60px"}
        )
        self.shown = widgets.HBox([])
        self.shown.add_class("vq-thumbs")
        self.shown.add_class("vq-given")
        self.upload.observe(lambda _: self._guarded(self._uploaded), "value")
        self.add.on_click(lambda _: self._guarded(self._placed))
        self.box = widgets.VBox([self.role, widgets.HBox([self.upload, self.place, self.add]), self.shown])
        self.box.add_class("vq-images")

    @property
    def image_prompts(self) -> tuple[str, ...]:
        """Each path with its weight and its optional stop. Keyframes are kept until a person moves their control."""
        pairs = [(picture, control.value) for picture, control in self.towards]
        return tuple(
            str(picture if value_at(picture.weight, 0) == value else replace(picture, weight=value))
            for picture, value in pairs
        )

    def take(self, data: bytes, role: str) -> None:
        """Save a picture's bytes as a temporary file, named by hash, and show it. Raises PictureError."""
        if role == COLOURS:
            self._coloured(palettes.of_picture(self._kept.keep(data)))
            return
        self._took(role, Prompt(""), data)
        self._changed(role)

    def _took(self, role: str, picture: Prompt, data: bytes) -> None:
        path, weight = str(self._kept.keep(data)), value_at(picture.weight, 0)
        if role == "init_image":
            self.init_image = path
        else:
            span = {"min": min(-10, weight), "max": max(10, weight)}
            control = widgets.BoundedFloatText(value=weight, **span, step=0.1, layout={"width": "96px"})
            explain(control, "How strongly it pulls; below 0 it pushes away")
            control.observe(lambda _: self._changed("image_prompts"), "value")
            self.towards.append((replace(picture, text=path), control))
        self._draw()

    def load(self, settings: Any, inputs: Path | None) -> None:
        """Show the pictures of untrusted settings. A picture with a hash is looked for in the folder `inputs`.

        Nothing is downloaded, and no path in the settings is opened. Raises PictureError.
        """
        self._clear()
        for role, picture in _named(settings):
            self._took(role, picture, read_untrusted(picture.text, role, inputs))

    def follow(self, settings: Any, inputs: Path | None) -> None:
        """Show the pictures of this package's own settings, which may also contain paths. Raises PictureError.

        Pictures that are already shown are not drawn again.
        """
        pictures = _read(settings, inputs)
        if pictures != _read(self, None):
            self._clear()
            for role, picture, data in pictures:
                self._took(role, picture, data)

    def _clear(self) -> None:
        self.init_image, self.towards = None, []
        self._draw()

    def _uploaded(self) -> None:
        if data := take_upload(self.upload):
            self.take(data, self.role.value)

    def _placed(self) -> None:
        place, role = self.place.value.strip(), self.role.value
        if "://" in place:  # in a thread, because a click must not wait for a network
            work = lambda: self._guarded(lambda: self._borrowed(place, role))  # noqa: E731
            threading.Thread(target=work, name="vqclip-borrow", daemon=True).start()
        elif place:
            self._borrowed(place, role)

    def _borrowed(self, place: str, role: str) -> None:
        from vqclip_nb.models.download import open_source

        try:
            with open_source(place, most=MOST_BYTES) as path:
                if path.stat().st_size > MOST_BYTES:
                    raise PictureError(f"{place!r} has more than {MOST_BYTES // 10**6} MB; give a smaller picture")
                self.take(path.read_bytes(), role)
        except OSError as error:
            raise PictureError(f"{place!r} cannot be read: {error.strerror or error}") from None
        self.place.value = ""

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._failed(error)

    def _draw(self) -> None:
        starts = [("Start image", self.init_image, None)] if self.init_image else []
        cards = []
        for said, path, weight in [*starts, *(("Towards", picture.text, weight) for picture, weight in self.towards)]:
            remove = widgets.Button(description="Remove", tooltip="Do not use this picture")
            remove.on_click(lambda _, weight=weight: self._removed(weight))
            thumb = widgets.Image(value=thumbnail(Path(path), THUMB), format="jpeg", layout={"width": f"{THUMB}px"})
            cards.append(widgets.VBox([widgets.HTML(markup.small(said)), thumb, *([weight] if weight else []), remove]))
        self.shown.children = cards
        keep_heard(self.shown)

    def _removed(self, weight: Any) -> None:
        if weight is None:
            self.init_image = None
        else:
            self.towards = [entry for entry in self.towards if entry[1] is not weight]
        self._draw()
        self._changed("init_image" if weight is None else "image_prompts")


def _named(source: Any) -> list[tuple[str, Prompt]]:
    """The pictures of settings or of a Given, each with its field."""
    start = [("init_image", Prompt(source.init_image))] if source.init_image else []
    return start + [("image_prompts", parse_picture(line)) for line in source.image_prompts]


def _read(source: Any, inputs: Path | None) -> list[tuple[str, Prompt, bytes]]:
    """The pictures of `_named` with their bytes. Raises PictureError."""
    paths = [
        (role, picture, images.locate(picture.text, field=role, inputs=inputs)) for role, picture in _named(source)
    ]
    return [(role, replace(picture, text=""), path.read_bytes()) for role, picture, path in paths]


def thumbnail(path: Path, side: int) -> bytes:
    """A picture as a small JPEG. Raises PictureError."""
    pil = images.read(path, field="the picture")
    pil.thumbnail((side, side))
    file = io.BytesIO()
    pil.save(file, "JPEG", quality=85)
    return file.getvalue()
