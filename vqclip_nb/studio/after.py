"""After: what a person takes away from a run: picture, film, everything, and the Python to paint it again."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from vqclip_nb.settings import Settings
from vqclip_nb.stories import Story, frames
from vqclip_nb.studio import front, markup

FILES = {
    "Picture": "result.png",
    "Film": "progress.mp4",
    "GIF": "progress.gif",
    "WebP film": "progress.webp",
    "Everything": "run.zip",
}


class After:
    """Downloads and code for the run that ended. `box` is the whole of it."""

    def __init__(self, failed: Callable[[Exception], object]) -> None:
        self._failed, self._folder = failed, Path()
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
            button for text, button in self.buttons.items() if front.in_colab() or text not in ("Picture", "Film")
        ]
        self.row = widgets.HBox(made_now, layout={"flex_flow": "row wrap"})
        self.box = widgets.VBox([self.links, self.row, fold], layout={"display": "none"})

    def show(self, folder: Path, story: Story) -> None:
        """Offer what a run's folder holds."""
        self._folder = folder
        self._linked = [name for name in ("result.png", "progress.mp4") if (folder / name).exists()]
        self._draw()
        self.code.value = markup.code(python(story))
        self.box.layout.display = ""

    def forget(self) -> None:
        """Offer nothing."""
        self.box.layout.display = "none"

    def _get(self, text: str) -> None:
        """Make the file that a button names, and hand it over."""
        name = FILES[text]
        self.buttons[text].disabled = True
        try:
            path = make(self._folder, name)
            if not front.download(path):
                self._linked = [*(other for other in self._linked if other != name), name]
                self._draw()
        except Exception as error:
            self._failed(error)
        finally:
            self.buttons[text].disabled = False

    def _draw(self) -> None:
        if front.in_colab():
            return
        small, told = [], ""
        for name in self._linked:
            path = self._folder / name
            size = path.stat().st_size
            if size <= front.MOST_IN_A_LINK:
                small.append(markup.link(path, f"Save {name} ({size / 1e6:.1f} MB)"))
            else:
                told += markup.small(f"{path} has {size / 1e6:.0f} MB, too much for a link; it lies there")
        self.links.value = "".join(small) + told


def make(folder: Path, name: str) -> Path:
    """A file of a run by its name, made first where it is not there yet. Raises RunError, OSError."""
    from vqclip_nb.films import film

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


def python(story: Story) -> str:
    """The Python that paints a run again."""
    plain = Settings()
    recipe = story.settings.recipe()
    told = {
        name: value for name, value in recipe.items() if value != plain.recipe()[name] or name in ("prompt", "seed")
    }
    fields = "".join(f"    {name}={value!r},\n" for name, value in told.items())
    if not story.timeline:
        return f"from vqclip_nb import Settings, paint\n\nfor frame in paint(Settings(\n{fields})):\n    pass\n"
    return (
        "# Settings were changed while it was painted; its timeline is in the folder, and in the picture.\n"
        "from pathlib import Path\n\nfrom vqclip_nb.session import replay\n\n"
        f"sitting = replay(Path({str(story.folder)!r}))\n"
        "for frame in sitting:\n    pass\nsitting.record.finish(sitting.painting)\n"
    )
