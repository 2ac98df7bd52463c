"""The Studio in real front ends: a server, headless Chromium, a keyboard and a mouse.

Screenshots of each step are written to tests/screenshots/, to be looked at.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.servers import free_port
from vqclip_nb.embedded import read
from vqclip_nb.runs.reader import read_all

ROOT = Path(__file__).parent.parent
SHOTS = Path(__file__).parent / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FEW_IN_A_LINK = "from vqclip_nb.studio import frontend\nfrontend.MOST_IN_A_LINK = 200_000\n"  # bytes; run.zip has more
# Colab's versions; widgetsnbextension 3.6.10 breaks Output in the classic Notebook, 3.6.6 does not.
CLASSIC = [
    *("notebook==6.5.7", "ipywidgets==7.7.1", "widgetsnbextension==3.6.6", "ipykernel==6.17.1", "ipython==7.34.0"),
    *("jupyter_client==7.4.9", "traitlets==5.7.1", "setuptools==75.2.0"),
]


class Lab:
    """JupyterLab 4."""

    name, page = "jupyterlab", "lab/tree/my%20notes/studio.ipynb?reset"
    options = ("--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.expose_app_in_browser=True")
    root = "--ServerApp.root_dir={}"
    ready = """() => {
        const panel = window.jupyterapp && jupyterapp.shell.currentWidget;
        if (!panel || !panel.context) return false;
        const session = panel.context.sessionContext, kernel = session.session && session.session.kernel;
        return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle' && session.isReady
            && panel.content.model.cells.length > 3;
    }"""
    running = ready.replace("kernel.status === 'idle'", "true")
    run_all = "jupyterapp.commands.execute('notebook:run-all-cells')"
    save = "jupyterapp.commands.execute('docmanager:save')"

    def environment(self, cache):
        return {}


class Notebook7(Lab):
    """Notebook 7."""

    name, page = "notebook", "notebooks/my%20notes/studio.ipynb"
    options = ("--IdentityProvider.token=", "--ServerApp.password=", "--JupyterNotebookApp.expose_app_in_browser=True")


class Classic:
    """Notebook 6.5 with ipywidgets 7.7.1 and ipykernel 6.17.1, as near to Colab's as can be had."""

    name, page = "notebook", "notebooks/my%20notes/studio.ipynb"
    options = ("--NotebookApp.token=", "--NotebookApp.password=")
    root = "--notebook-dir={}"
    ready = """() => window.Jupyter && Jupyter.notebook && Jupyter.notebook._fully_loaded
        && Jupyter.notebook.kernel && Jupyter.notebook.kernel.is_connected()
        && Jupyter.notebook.kernel.info_reply.status === 'ok'"""
    running = ready
    run_all = "Jupyter.notebook.execute_all_cells()"
    save = "Jupyter.notebook.save_notebook()"

    def environment(self, cache):
        place = Path(cache.mkdir("classic")) / "packages"
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            asked = [sys.executable, "-m", "pip", "install", "-q", "--target", str(place), *CLASSIC]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=600)
            if done.returncode:
                unavailable(f"Notebook 6.5 could not be installed: {done.stderr.strip().splitlines()[-1]}")
            (place / "complete").touch()
        return {
            "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
            "JUPYTER_PATH": f"{place / 'share' / 'jupyter'}",
            "JUPYTER_CONFIG_PATH": f"{place / 'etc' / 'jupyter'}",
        }


def unavailable(said):
    """Skip, and say why; an error where the browser is required."""
    if os.environ.get("VQCLIP_BROWSER") == "required":
        pytest.fail(said)
    pytest.skip(said)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        unavailable("no Chromium here; `apt-get install chromium` on Debian, or put Google Chrome on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, request, tmp_path):
    """A page with studio.ipynb, which lies in a folder of the server's, open in a front end, its kernel ready."""
    front, folder, startup = request.param(), tmp_path / "my notes", tmp_path / "ipythondir/profile_default/startup"
    for place in (SHOTS, folder, startup):
        place.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "notebooks" / "studio.ipynb", folder)
    (startup / "few.py").write_text(FEW_IN_A_LINK)
    port = free_port()
    places = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    places |= {name: str(tmp_path / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")}
    places["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    quiet = tmp_path / "jupyter_config_dir" / "labconfig" / "page_config.json"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **places, **front.environment(request.config.cache)}
    command = [sys.executable, "-m", front.name, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    with open(tmp_path / "server.log", "w") as log:
        server = subprocess.Popen(
            [*command, *front.options, front.root.format(tmp_path)],
            env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_for_server(port, server, tmp_path / "server.log")
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(120_000)
        page.front, page.folder = front, folder
        page.goto(f"http://127.0.0.1:{port}/{front.page}")
        page.wait_for_function(front.ready)
        yield page
        page.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def wait_for_server(port, server, log):
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
            return
        except OSError:
            assert server.poll() is None, log.read_text()[-2000:]
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def shot(page, name):
    page.locator(".vq-studio").first.screenshot(path=SHOTS / f"{type(page.front).__name__.lower()}-{name}.png")


def says(page, words):
    """Wait until the line below the bar says this."""
    script = "words => new RegExp(words).test((document.querySelector('.vq-said') || {}).innerText)"
    page.wait_for_function(script, arg=words)


def picture(page):
    return page.locator("img.vq-picture").get_attribute("src")


def picture_changes(page):
    page.wait_for_function(
        "before => document.querySelector('img.vq-picture').getAttribute('src') !== before", arg=picture(page)
    )


def upload(page, button, path):
    with page.expect_file_chooser() as asked:
        page.locator(f"button.{button}").click()
    asked.value.set_files(path)


def write(page, prompt):
    page.locator(".vq-prompt textarea").click()
    page.keyboard.press("Control+A")
    page.keyboard.type(prompt)
    page.keyboard.press("Tab")  # what is written is heard when the box is left


def drag(page, slider):
    """Drag a slider's handle to the right with the mouse; returns the number that it then shows."""
    shown = page.locator(f".{slider} .widget-readout")
    handle = page.locator(f".{slider} .noUi-handle, .{slider} .ui-slider-handle")
    handle.hover()  # once it is in view and stands still
    before, box = shown.inner_text(), handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=5)
    page.mouse.up()
    script = "([slider, before]) => document.querySelector(`.${slider} .widget-readout`).innerText !== before"
    page.wait_for_function(script, arg=[slider, before])
    return int(shown.inner_text())


def paint_steer_stop_and_take_home(page):
    page.evaluate(page.front.run_all)
    page.wait_for_selector(".vq-studio .vq-start")
    shot(page, "1-ready")

    write(page, "a yellow circle on a blue background")
    Image.new("RGB", (40, 30), "green").save(page.folder / "start.png")
    upload(page, "vq-upload:not(.vq-load)", page.folder / "start.png")
    page.wait_for_selector(".vq-given img")
    shot(page, "1-start-image")
    page.locator(".vq-size select").nth(1).select_option(label="128 x 128")
    page.locator(".vq-steps .widget-readout").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("1000\n")
    page.locator("button.vq-start").click()
    says(page, "step [1-9]")
    picture_changes(page)
    shot(page, "2-painting")

    steered = "a yellow star on a blue background"
    write(page, steered)
    page.get_by_text("Advanced", exact=True).click()
    cutn = drag(page, "vq-cutn")
    page.locator("button.vq-pause").click()
    says(page, "Paused")
    held = picture(page)
    time.sleep(1)
    assert picture(page) == held
    shot(page, "3-paused")
    page.locator("button.vq-pause").click()
    picture_changes(page)

    page.evaluate(page.front.save)
    time.sleep(2)
    page.reload()
    page.wait_for_function(page.front.running)
    page.wait_for_selector(".vq-studio .vq-stop")
    says(page, "step")
    picture_changes(page)

    asked = time.monotonic()
    page.locator("button.vq-stop").click()
    says(page, "Stopped|Saving")
    heard = time.monotonic() - asked
    says(page, "everything is kept")
    shot(page, "4-stopped")

    with page.expect_download() as coming:
        page.locator("a.vq-link", has_text="Picture").click()
    data = Path(coming.value.path()).read_bytes()
    assert Image.open(io.BytesIO(data)).size == (128, 128)
    taken = page.folder / "taken.png"
    taken.write_bytes(data)
    told = read(taken)
    assert told["settings"]["prompt"] == "a yellow circle on a blue background"
    assert told["settings"]["init_image"].startswith("sha256:")
    changes = [change["settings"] for change in told["timeline"]]
    assert {"prompt": steered} in changes
    assert {"cutn": cutn} in changes

    page.locator("button.vq-get-all").click()
    with page.expect_download() as coming:
        page.locator("a.vq-link", has_text="All").click()
    with zipfile.ZipFile(coming.value.path()) as file:
        assert [name for name in file.namelist() if name.endswith("/result.png")], "the file, and no page about it"

    page.locator("button.vq-undo").click()
    says(page, "Paused")
    page.locator("button.vq-stop").click()
    says(page, "everything is kept")
    ((story,), wrong) = read_all(page.folder / "runs")
    assert not wrong
    assert story.kept[-1] < told["step"], "it was taken back"

    write(page, "something else")
    upload(page, "vq-load", taken)
    page.locator(
        ".vq-trouble summary", has_text="add that file again"
    ).wait_for()  # the start image is not in the picture
    assert page.locator(".vq-prompt textarea").input_value() == steered, "as it was at the picture's end"
    shot(page, "5-settings-of-a-picture")
    return heard


@pytest.mark.parametrize("page", [Lab, Classic, pytest.param(Notebook7, marks=pytest.mark.long)], indirect=True)
def test_a_person_paints_steers_stops_and_takes_the_picture_home(page):
    heard = paint_steer_stop_and_take_home(page)
    assert heard < 5, "a click, a step and the way back to the browser, on a busy machine"


@pytest.mark.long
@pytest.mark.parametrize("page", [Lab], indirect=True)
def test_the_panel_fits_a_narrow_page(page):
    page.set_viewport_size({"width": 700, "height": 1000})
    page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    page.evaluate(page.front.run_all)
    page.wait_for_selector(".vq-studio .vq-start")
    time.sleep(1)
    shot(page, "narrow")
    wide = page.evaluate("() => [...document.querySelectorAll('.vq-studio')].map(e => e.scrollWidth - e.clientWidth)")
    assert max(wide) <= 2, "nothing sticks out"


@pytest.mark.parametrize("page", [Lab], indirect=True)
def test_a_page_that_was_reloaded_in_mid_run_is_heard_when_the_run_has_ended(page):
    page.evaluate(page.front.run_all)
    page.wait_for_selector(".vq-studio .vq-start")
    steps = page.locator(".vq-steps .widget-readout")

    def paint(count):
        steps.click()
        page.keyboard.press("Control+A")
        page.keyboard.type(f"{count}\n")
        page.locator("button.vq-start").click()

    page.locator(".vq-size select").nth(1).select_option(label="128 x 128")
    paint(60)
    says(page, "step [1-9]")
    page.evaluate(page.front.save)
    time.sleep(1)
    page.reload()
    page.wait_for_function(page.front.running)
    says(page, "Done")
    before = len(read_all(page.folder / "runs")[0])
    paint(10)
    says(page, "step [1-9]|Saving")
    says(page, "Done")
    assert len(read_all(page.folder / "runs")[0]) == before + 1


@pytest.mark.parametrize("page", [Lab], indirect=True)
def test_the_keyboard_starts_and_applies_and_a_kernel_that_is_gone_is_said(page):
    page.evaluate(page.front.run_all)
    page.wait_for_selector(".vq-studio .vq-start")
    page.locator(".vq-size select").nth(1).select_option(label="128 x 128")
    page.locator(".vq-prompt textarea").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("a yellow star on a blue background")
    page.locator(".vq-prompt.vq-unapplied").wait_for()
    page.keyboard.press("Control+Enter")
    says(page, "step [1-9]")
    assert page.locator(".vq-unapplied").count() == 0
    page.keyboard.type(", stained glass")
    page.keyboard.press("Shift+Enter")
    page.locator(".vq-chip.vq-on", has_text="stained glass").wait_for()
    page.locator("button.vq-stop").click()
    says(page, "everything is kept")
    ((run,), _) = read_all(page.folder / "runs")
    assert run.settings.prompt == "a yellow star on a blue background"
    assert run.current.prompt == "a yellow star on a blue background, stained glass"
    assert page.locator("img.vq-picture").get_attribute("alt").startswith("This run: a yellow star")

    assert not page.locator(".vq-beat").is_visible()
    kernel = "jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
    page.evaluate(f"{kernel}.sendShellMessage = () => ({{}})")  # nothing arrives
    page.locator("button.vq-undo").click()
    page.locator(".vq-beat", has_text="The kernel has not answered").wait_for()
    page.evaluate(f"delete {kernel}.sendShellMessage")
    page.evaluate(f"{kernel}.restart()")
    page.wait_for_function(page.front.ready)
    page.evaluate(page.front.run_all)
    page.locator("button.vq-start:enabled").wait_for()
    page.wait_for_function("document.querySelector('.vq-prompt textarea').value.startsWith('a yellow star')")


@pytest.mark.parametrize("page", [Lab, pytest.param(Classic, marks=pytest.mark.long)], indirect=True)
def test_a_grid_is_painted_and_two_runs_are_compared_under_a_slider(page):
    page.evaluate(page.front.run_all)
    page.wait_for_selector(".vq-studio .vq-start")
    page.locator(".vq-size select").nth(1).select_option(label="128 x 128")
    page.locator(".vq-steps .widget-readout").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("10\n")
    write(page, "a yellow star on a blue background")
    page.get_by_text("Several", exact=True).click()
    page.get_by_label("Values").nth(1).fill("0, 1")
    page.keyboard.press("Tab")
    shot(page, "6-several")
    page.locator("button.vq-paint-the-grid").click()
    page.locator(".vq-several", has_text="6 of 6 painted").wait_for()
    cells = page.locator(".vq-cells .vq-thumb")
    assert cells.locator("img").count() == 6
    page.locator(".vq-several a", has_text="Contact sheet").wait_for()
    cells.nth(3).click()
    page.wait_for_function("document.querySelector('.vq-caption').innerText.startsWith('An earlier run')")
    shot(page, "7-grid")
    page.locator(".vq-several button.vq-go-on-with-this-one").click()
    says(page, "Done")
    assert len(read_all(page.folder / "runs")[0]) == 7
    sheet = next((page.folder / "runs" / "contact-sheets").glob("*.png"))
    shutil.copy(sheet, SHOTS / "contact-sheet.png")

    runs = page.locator(".vq-history .vq-thumbs .vq-thumb")
    runs.nth(6).wait_for()
    runs.nth(0).click()
    page.get_by_role("button", name="Compare with …").click()
    runs.nth(3).click()
    slider = page.locator(".vq-versus input")
    slider.wait_for()
    over = (
        "document.querySelector('.vq-versus .vq-over').getBoundingClientRect().width > 0 && "
        "getComputedStyle(document.querySelector('.vq-versus .vq-over')).clipPath"
    )
    before = page.evaluate(over)
    slider.fill("20")
    assert page.evaluate(over) != before, "the slider moves the edge"
    assert page.locator(".vq-differing td", has_text="Step").count() >= 1
    shot(page, "8-side-by-side")
