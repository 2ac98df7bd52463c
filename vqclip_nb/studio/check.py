"""Three questions to a front end, and a block of text for a bug report."""

import io
import platform
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

import ipywidgets as widgets
from PIL import Image

from vqclip_nb.device import in_colab
from vqclip_nb.studio import frontend, markup

WATCHED = ("vqclip_nb", "ipywidgets", "ipykernel", "ipython", "jupyterlab", "notebook")
COLOURS = ("#c0392b", "#2a9d5c", "#1a6fb5")


class Check(widgets.VBox):
    """A small panel that tests what the Studio needs; `report` is the result as text."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {"button heard": "no", "picture changed by itself": "?", "download arrived": "?"}
        self._over = threading.Event()
        self.press = widgets.Button(description="1. Press me", button_style="info")
        self.press.on_click(lambda _: self._hear("button heard", f"yes, in {threading.current_thread().name}"))
        self.picture = widgets.Image(format="png", layout={"width": "96px"})
        self.file = Path(tempfile.mkdtemp(prefix="vqclip-check-")) / "check.txt"
        self.file.write_text("It arrived.")
        self.save = widgets.Button(description="3. Save a file")
        self.save.on_click(lambda _: frontend.download(self.file))
        saving = self.save if in_colab() else widgets.HTML(markup.link(self.file, "3. Save a file"))
        self.block = widgets.HTML()
        super().__init__(
            [
                widgets.HTML(markup.style()),
                self.press,
                self._question("2. Does this square change its colour?", "picture changed by itself", self.picture),
                self._question("Did check.txt arrive?", "download arrived", saving),
                self.block,
            ]
        )
        self.add_class("vq-studio")
        self._draw()
        threading.Thread(target=self._change, name="vqclip-check", daemon=True).start()

    @property
    def report(self) -> str:
        """The results, with the versions of the packages that matter."""
        versions = {name: _version(name) for name in WATCHED}
        lines = [f"{name} {version}" for name, version in versions.items() if version]
        where = "Colab" if in_colab() else "Jupyter"
        answers = [f"{name}: {answer}" for name, answer in self.answers.items()]
        return "\n".join([f"{where}, Python {platform.python_version()}", *lines, *answers])

    async def serve(self) -> None:
        """As `Studio.serve`, for at most three minutes, because a broken front end could not end it."""
        end = time.monotonic() + 180
        over = lambda: "?" not in self.answers.values() or time.monotonic() > end  # noqa: E731
        await frontend.serve(over, lambda: None, self._over.set)

    def _question(self, said: str, name: str, shown: widgets.Widget) -> widgets.Widget:
        answers = [widgets.Button(description=text, layout={"width": "60px"}) for text in ("yes", "no")]
        for button in answers:
            button.on_click(lambda pressed: self._hear(name, pressed.description))
        return widgets.HBox([shown, widgets.HTML(markup.small(said)), *answers], layout={"align_items": "center"})

    def _hear(self, name: str, answer: str) -> None:
        self.answers[name] = answer
        self._draw()

    def _draw(self) -> None:
        self.block.value = markup.code(self.report)

    def _change(self) -> None:
        """Change the colour each second, for at most five minutes."""
        for turn in range(300):
            file = io.BytesIO()
            Image.new("RGB", (96, 96), COLOURS[turn % 3]).save(file, "PNG")
            self.picture.value = file.getvalue()
            if self._over.wait(1):
                return


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
