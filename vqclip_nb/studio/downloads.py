"""After: what a person takes away from a run: picture, film, everything, and the Python to paint it again."""

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.runs.reader import RunInfo, frames
from vqclip_nb.settings import Settings
from vqclip_nb.studio import frontend, markup

FILES = {
    "Picture": "result.png",
    "Film": "progress.mp4",
    "GIF": "progress.gif",
    "WebP film": "progress.webp",
    "Everything": "run.zip",
}


class Downloads:
    """Downloads and code for the run that ended. `box` is the whole of it."""

    def __init__(self, said: Callable[[str], object], failed: Callable[[Exception], object]) -> None:
        self._said, self._failed, self._folder = said, failed, Path()
        self._linked: list[str] = []
        self.buttons = {text: widgets.Button(description=text, layout={"width": "auto"}) for text in FILES}
        for text, button in self.buttons.items():
            button.icon, button.tooltip = "download", f"Make {FILES[text]} ready to be saved"
            button.add_class("vq-get-" + text.split()[0].lower())
            button.on_click(lambda _, text=text: self._get(text))
        self.links = widgets.HTML()
        self.links.add_class("vq-links")
        self.code = widgets.HTML()
        fold = widgets.Accordion([self.code])
        fold.set_title(0, "The Python that paints this again")
        fold.selected_index = None
        made_now = [
            button for text, button in self.buttons.items() if frontend.in_colab() or text not in ("Picture", "Film")
        ]
        self.row = widgets.HBox(made_now, layout={"flex_flow": "row wrap"})
        self.box = widgets.VBox([self.links, self.row, fold], layout={"display": "none"})

    def show(self, folder: Path, story: RunInfo) -> None:
        """Offer what a run's folder holds."""
        self._folder = folder
        self._linked = [name for name in ("result.png", "progress.mp4") if (folder / name).exists()]
        self._draw()
        self.code.value = markup.code(python(story))
        self.box.layout.display = ""

    def forget(self) -> None:
        """Offer nothing."""
        self.box.layout.display, self.links.value = "none", ""

    def _get(self, text: str) -> None:
        """Make the file that a button names, and hand it over."""
        if frontend.in_colab():  # whose download wants the thread of the click
            self._made(text)
            return
        self.buttons[text].disabled = True
        self._said(f"Making {FILES[text]} …")
        threading.Thread(target=self._made, args=(text,), name="vqclip-make", daemon=True).start()

    def _made(self, text: str) -> None:
        name = FILES[text]
        try:
            path = make(folder := self._folder, name)
            frontend.download(path)
            if folder == self._folder:  # else another run is shown by now
                self._linked = [*(other for other in self._linked if other != name), name]
                self._draw()
            self._said("")
        except Exception as error:
            self._failed(error)
        finally:
            self.buttons[text].disabled = False

    def _draw(self) -> None:
        small, told = [], ""
        for name in self._linked:
            path = self._folder / name
            size = path.stat().st_size
            if size <= frontend.MOST_IN_A_LINK:
                small.append(markup.link(path, f"Save {name} ({_size(size)})"))
            else:
                said, address = f"{name} ({_size(size)}): {markup.near(path)}", frontend.address(path)
                told += markup.link_to(address, said) if address else markup.small(said)
        self.links.value = "".join(small) + told


def make(folder: Path, name: str) -> Path:
    """A file of a run by its name, made first where it is not there yet. Raises RunError, OSError."""
    from vqclip_nb.video import film

    path = folder / name
    if name == "run.zip":
        part = folder / ".run.zip.part"
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as file:
                for each in sorted(folder.rglob("*")):
                    if each.is_file() and not each.name.startswith(".") and each.suffix != ".zip":
                        file.write(each, f"{folder.name}/{each.relative_to(folder).as_posix()}")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    elif not path.exists():
        film(frames(folder), path)
    return path


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 1):.0f} kB"


def python(story: RunInfo) -> str:
    """The Python that paints a run again, into a new folder."""
    usual = Settings().to_dict()
    recipe = story.settings.to_dict()
    told = {name: value for name, value in recipe.items() if value != usual[name] or name in ("prompt", "seed")}
    fields = "".join(f"    {name}={value!r},\n" for name, value in told.items())
    paint = (
        "for frame in active:\n    print(frame.step, frame.loss)\n"
        "print(active.record.finish(active.painting))  # the picture; its film lies beside it\n"
    )
    if not (story.timeline or story.settings.init_image or story.settings.image_prompts):
        plain = "from vqclip_nb import Settings\nfrom vqclip_nb.session import start\n\n"
        return f"{plain}active = start(Settings(\n{fields}))\n{paint}"
    return (
        "# It was given pictures, or steered while it was painted: the run's folder knows them.\n"
        "from pathlib import Path\n\nfrom vqclip_nb.session import replay\n\n"
        f"active = replay(Path({str(story.folder)!r}))\n{paint}"
    )
