"""Downloads: a run's picture, film and archive, and the Python code that paints it again."""

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.errors import RunError
from vqclip_nb.runs import metadata
from vqclip_nb.runs.reader import RunInfo, frames
from vqclip_nb.safe_files import part as unfinished_name
from vqclip_nb.safe_files import tree
from vqclip_nb.settings import Settings
from vqclip_nb.studio import frontend, markup
from vqclip_nb.studio.problems import explain
from vqclip_nb.studio.text import file_size
from vqclip_nb.studio.view import results

FILES = {
    "Picture": "result.png",
    "Sheet": "result.png",
    "Film": "progress.mp4",
    "GIF": "progress.gif",
    "WebP": "progress.webp",
    "All": "run.zip",
}
FILMS = ("Film", "GIF", "WebP")


class Downloads:
    """The row of files of the run that is shown. `box` is its widget.

    An existing file is a link; a missing one is a button that makes it. say: called with a message. on_error: called
    with an exception.
    """

    def __init__(self, say: Callable[[str], object], on_error: Callable[[Exception], object]) -> None:
        self._say_above, self._on_error = say, on_error
        self._folder, self._selected, self._made = Path(), 0, 0.0
        self.buttons = {name: widgets.Button(description=name, icon="download") for name in FILES}
        self.links = {name: widgets.HTML() for name in FILES}
        for name, button in self.buttons.items():
            button.tooltip = f"Make {FILES[name]}"
            button.add_class("vq-get-" + name.lower())
            button.add_class("vq-plain")
            button.on_click(lambda _, name=name: self._get(name))
        self._pairs = {name: widgets.HBox([self.buttons[name], self.links[name]]) for name in FILES}
        for pair in self._pairs.values():
            pair.add_class("vq-file")
        self.row = widgets.HBox(list(self._pairs.values()))
        self.row.add_class("vq-row-of")
        self.said = widgets.HTML()  # below the buttons, because the strip may be out of sight
        self.code = widgets.HTML()
        self.code.add_class("vq-code")
        fold = widgets.Accordion([self.code])
        fold.set_title(0, "Python that paints this again")
        fold.selected_index = None
        self.box = widgets.VBox([self.row, self.said, fold], layout={"display": "none"})
        self.box.add_class("vq-downloads")
        frontend.keep_heard(self.box)

    def show(self, run: RunInfo, selected: int = 0) -> None:
        """Offer the files of a run. selected: which of several pictures to offer beside the sheet, from 0."""
        self._folder, self._selected, self.said.value = run.folder, selected, ""
        for name in FILES:
            self._draw(name)
        self.code.value = markup.code(python(run))
        self.box.layout.display = ""

    def select(self, selected: int) -> None:
        """Offer another of several pictures, from 0."""
        if self.box.layout.display != "none":
            self._selected = selected
            self._draw("Picture")

    def forget(self) -> None:
        """Offer nothing."""
        self.box.layout.display, self._folder = "none", Path()
        for link in self.links.values():
            link.value = ""

    def path(self, name: str) -> Path:
        """The path of a file by its name in FILES."""
        if name == "Picture" and (pictures := results(self._folder)):
            return pictures[min(self._selected, len(pictures) - 1)]
        return self._folder / FILES[name]

    def possible(self, name: str) -> bool:
        """Whether a file exists or can be made."""
        if name == "Sheet":
            return len(results(self._folder)) > 1
        if name in FILMS:
            return self.path(name).exists() or len(frames(self._folder)) > 1
        return name == "All" or self.path(name).exists()

    def _draw(self, name: str) -> None:
        """Show a link, a button, or nothing."""
        path, button, link = self.path(name), self.buttons[name], self.links[name]
        link.value = self._link(name, path) if path.exists() and self.possible(name) else ""
        there = bool(link.value) and not frontend.in_colab()
        button.layout.display = "none" if there or not self.possible(name) else ""
        self._pairs[name].layout.display = "" if self.possible(name) else "none"  # else an empty one keeps a gap
        link.layout.display = "" if there else "none"
        button.disabled = False

    def _link(self, name: str, path: Path) -> str:
        size = path.stat().st_size
        label = f"{name} {self._selected + 1}" if name == "Picture" and len(results(self._folder)) > 1 else name
        if size <= frontend.MOST_IN_A_LINK:
            return markup.link(path, f"{label} {file_size(size)}")
        if address := frontend.address(path):
            return markup.link_to(address, f"{label} {file_size(size)}")
        return markup.small(f"{label} ({file_size(size)}): {markup.relative_path(path)}")

    def _say(self, text: str) -> None:
        self.said.value = markup.small(text) if text else ""
        self._say_above(text)

    def _fail(self, error: Exception) -> None:
        self._say_above("")
        self.said.value = markup.field_error(explain(error).message)
        self._on_error(error)

    def _get(self, name: str) -> None:
        """Make the file of a button, and offer it for download."""
        if frontend.in_colab():  # its download must run in the thread of the click
            self._make(name)
            return
        self.buttons[name].disabled = True
        self._say(f"Making {FILES[name]} …")
        threading.Thread(target=self._make, args=(name,), name="vqclip-make", daemon=True).start()

    def _make(self, name: str) -> None:
        folder, path = self._folder, self.path(name)
        try:
            if not path.exists() or name == "All":
                make(folder, path.name)
            frontend.download(path)
            self._say("" if frontend.in_colab() else f"{path.name} is ready: press {name} again to save it.")
        except OSError as error:
            self._fail(RunError(f"{path.name} could not be written: {error.strerror or error}"))
        except Exception as error:
            self._fail(error)
        finally:
            self.buttons[name].disabled = False
            if folder == self._folder:  # another run may be shown by now
                self._draw(name)


def make(folder: Path, name: str) -> Path:
    """The path of a run's file by its name; a missing file is made first. Raises RunError, OSError."""
    from vqclip_nb.runs.films import make_film

    path = folder / name
    if name == "run.zip":
        part = unfinished_name(folder / "run.zip")
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED, strict_timestamps=False) as file:
                for each in tree(folder):
                    if not each.name.startswith(".") and each.suffix != ".zip":
                        file.write(each, f"{folder.name}/{each.relative_to(folder).as_posix()}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    elif not path.exists():
        run = RunInfo.read(folder)
        make_film(frames(folder), path, run.current, run.inputs)
    return path


def python(run: RunInfo) -> str:
    """Python code that paints a run again: from its settings, or as a replay if it had edits or input pictures."""
    if run.timeline or run.parent or metadata.input_pictures(run.settings.to_dict()):
        return (
            "from pathlib import Path\nfrom vqclip_nb.session import replay\n"
            "# Its edits and input pictures are in the folder.\n"
            f"print(replay(Path({str(run.folder)!r})).finish())"
        )
    defaults, values = Settings(canvas=run.settings.canvas).to_dict(), run.settings.to_dict()
    defaults["canvas"] = Settings().canvas
    values |= values.pop("canvas_options")
    defaults |= defaults.pop("canvas_options")
    own = {name: value for name, value in values.items() if value != defaults.get(name) or name in ("prompt", "seed")}
    fields = ", ".join(f"{name}={value!r}" for name, value in own.items())
    return (
        "from vqclip_nb import Settings, images, paint\n"
        f"*_, last = paint(Settings({fields}))\n"
        'images.grid(images.to_pils(last.image)).save("picture.png")'
    )
