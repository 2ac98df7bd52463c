"""Notebook front ends that the panel is tested in: how each is started, when it is ready, what it is told to do."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.browsing import unavailable
from tests.servers import free_port

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".pytest_cache"
# Colab's versions; widgetsnbextension 3.6.10 breaks Output in the classic Notebook, 3.6.6 does not.
CLASSIC = [
    *("notebook==6.5.7", "ipywidgets==7.7.1", "widgetsnbextension==3.6.6", "ipykernel==6.17.1", "ipython==7.34.0"),
    *("jupyter_client==7.4.9", "traitlets==5.7.1", "setuptools==75.2.0"),
]


IN_TIME = "Promise.race([{}, new Promise((resolve) => setTimeout(resolve, 60_000, false))])"


class Lab:
    """JupyterLab 4."""

    name, page = "jupyterlab", "lab/tree/my%20notes/studio.ipynb?reset"
    options = ("--IdentityProvider.token=", "--ServerApp.password=", "--LabApp.expose_app_in_browser=True")
    root = "--ServerApp.root_dir={}"
    # The kernel is idle, and the widget manager has read what widgets the kernel has.
    running = """async () => {
        const panel = window.jupyterapp && jupyterapp.shell.currentWidget;
        if (!panel || !panel.context || !panel.content.rendermime) return false;
        const session = panel.context.sessionContext, kernel = session.session && session.session.kernel;
        if (!kernel || kernel.connectionStatus !== 'connected' || !(IDLE) || !session.isReady
            || panel.content.model.cells.length <= 3) return false;
        const renderer = panel.content.rendermime.createRenderer('application/vnd.jupyter.widget-view+json');
        return PROMISE;
    }""".replace("PROMISE", IN_TIME.format("renderer._manager.promise.then((manager) => manager.restoredStatus)"))
    ready, running = running.replace("IDLE", "kernel.status === 'idle'"), running.replace("IDLE", "true")
    state = """() => {
        const panel = jupyterapp.shell.currentWidget, kernel = panel.context.sessionContext.session.kernel;
        return { status: (document.querySelector('.vq-said') || {}).innerText,
            kernel: [kernel.connectionStatus, kernel.status],
            cells: [...panel.content.model.cells].map((cell) => cell.toJSON())
                .map((cell) => [cell.execution_count, JSON.stringify(cell.outputs || '').slice(0, 500)]) };
    }"""
    run_all = "jupyterapp.commands.execute('notebook:run-all-cells')"
    save = "jupyterapp.commands.execute('docmanager:save')"

    def environment(self):
        return {}


class Notebook7(Lab):
    """Notebook 7."""

    name, page = "notebook", "notebooks/my%20notes/studio.ipynb"
    options = ("--IdentityProvider.token=", "--ServerApp.password=", "--JupyterNotebookApp.expose_app_in_browser=True")


class Classic:
    """Notebook 6.5 with ipywidgets 7.7.1 and ipykernel 6.17.1, as near to Colab's as can be had.

    Its extension for widgets is loaded beside the notebook. A widget that is made before that is lost for the page
    ("Class jupyter.widget not found in registry"). While the extension reads what widgets the kernel has, new ones are
    read twice. So a page is ready when that has been read: messages are answered in their order, and when a second
    reading is over, the first is.
    """

    name, page = "notebook", "notebooks/my%20notes/studio.ipynb"
    options = ("--NotebookApp.token=", "--NotebookApp.password=")
    root = "--notebook-dir={}"
    running = """() => window.Jupyter && Jupyter.notebook && Jupyter.notebook._fully_loaded
        && Jupyter.notebook.kernel && Jupyter.notebook.kernel.is_connected()
        && Jupyter.notebook.kernel.info_reply.status === 'ok' && !!Jupyter.notebook.kernel.widget_manager"""
    reading = "Jupyter.notebook.kernel.widget_manager._loadFromKernel().then(() => true)"
    ready = f"async () => ({running})() && {IN_TIME.format(reading)}"
    state = """() => {
        const kernel = Jupyter.notebook.kernel;
        return { status: (document.querySelector('.vq-said') || {}).innerText,
            kernel: [kernel.is_connected(), kernel.info_reply.status, Jupyter.notebook.kernel_busy],
            manager: !!kernel.widget_manager, targets: Object.keys(kernel.comm_manager.targets),
            cells: Jupyter.notebook.get_cells().map((cell) => cell.toJSON())
                .map((cell) => [cell.execution_count, JSON.stringify(cell.outputs || '').slice(0, 500)]) };
    }"""
    run_all = "Jupyter.notebook.execute_all_cells()"
    save = "Jupyter.notebook.save_notebook()"

    def environment(self):
        place = CACHE / "classic"
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(place), *CLASSIC]
            done = subprocess.run(install, capture_output=True, text=True, timeout=600)
            if done.returncode:
                unavailable(f"Notebook 6.5 could not be installed: {done.stderr.strip().splitlines()[-1]}")
            (place / "complete").touch()
        return {
            "PYTHONPATH": f"{place}{os.pathsep}{ROOT}",
            "JUPYTER_PATH": f"{place / 'share' / 'jupyter'}",
            "JUPYTER_CONFIG_PATH": f"{place / 'etc' / 'jupyter'}",
        }


@contextmanager
def served(front, root, log):
    """The front end's server over a folder, with settings of its own there; yields the address of the notebook."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR")
    places = {name: str(root / name.lower()) for name in names} | {
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces")
    }
    quiet = root / "jupyter_config_dir" / "labconfig" / "page_config.json"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **places, **front.environment()}
    port = free_port()
    command = [sys.executable, "-m", front.name, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    with open(log, "w") as file:
        server = subprocess.Popen(
            [*command, *front.options, front.root.format(root)],
            env=environment, cwd=root, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(port, server, log)
        yield f"http://127.0.0.1:{port}/{front.page}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


def wait_until(page, ready, seconds=300):
    """Wait until a script that may be asynchronous returns true; a TimeoutError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(ready):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not ready after {seconds} s")
        time.sleep(0.2)


def _wait_for(port, server, log, seconds=300):  # two minutes were seen on a machine that was busy with much else
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])
