"""A run that is being painted is nobody else's: its folder is locked, until it ends or its process dies."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toys import toy_models
from vqclip_nb import Settings, cli
from vqclip_nb.errors import RunError
from vqclip_nb.runs.background_writer import LOCK, check_unlocked
from vqclip_nb.runs.reader import frames, read_all
from vqclip_nb.session import resume, start
from vqclip_nb.studio import Studio
from vqclip_nb.studio.registry import REGISTRY

ROOT = Path(__file__).parent.parent
SMALL = {"prompt": "red", "size": (16, 16), "cutn": 2, "device": "cpu", "every": 1}
PAINT_ON = f"""
from tests.toys import toy_models
from vqclip_nb import Settings
from vqclip_nb.session import start

with toy_models():
    active = start(Settings(**{SMALL}, steps=100_000, save_every="2"))
    for frame in active:
        if frame.step == 6:
            print("painting", flush=True)
        if frame.step > 6:
            import time

            time.sleep(0.05)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A process that paints a run in tmp_path/runs; tmp_path is where we are, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = subprocess.Popen([sys.executable, "-c", PAINT_ON], stdout=subprocess.PIPE, text=True)
    with toy_models():
        assert process.stdout.readline().strip() == "painting"
        yield process
    process.kill()
    process.wait()
    process.stdout.close()


def the_run():
    ((story,), _) = read_all("runs")
    return story.folder


def test_a_run_that_another_process_paints_is_left_alone_until_it_dies(elsewhere, capsys):
    folder = the_run()
    before = set(frames(folder))
    with pytest.raises(RunError, match="is being painted in another notebook or terminal; stop it there first"):
        resume(folder)
    for command in (["resume", str(folder)], ["runs", "--prune", folder.name, "--yes"]):
        assert cli.main(command) == 2
        assert "is being painted in another notebook or terminal" in capsys.readouterr().err
    assert before <= set(frames(folder)), "nothing was cut back"

    elsewhere.send_signal(signal.SIGKILL)
    elsewhere.wait()
    assert resume(folder).painting.step_count > 0


def test_the_panel_says_that_another_process_paints_and_offers_it_when_that_died(elsewhere):
    panel = Studio(out="runs")
    panel.controller.looking.join(20)
    assert panel.ui.messages.offered == ""
    assert "is being painted in another notebook or terminal" in panel.ui.messages.text.value
    panel.controller.safe(panel.controller.continue_run)(read_all("runs")[0][0])
    assert REGISTRY.job.wait(20)
    panel.controller.tick()
    assert REGISTRY.job.status.state == "failed"
    assert "is being painted in another notebook or terminal" in panel.ui.messages.text.value

    elsewhere.kill()
    elsewhere.wait()
    REGISTRY.job = None
    again = Studio(out="runs")
    again.controller.looking.join(20)
    assert "was cut off after step" in again.ui.messages.offered


def test_a_run_that_ended_is_free_and_a_dropped_one_can_be_taken_up_in_its_own_process(tmp_path):
    with toy_models():
        active = start(Settings(**SMALL, steps=9, save_every="2", out=str(tmp_path)))
        for frame in active:
            if frame.step == 4:
                break
        folder = active.record.folder
        assert (folder / LOCK).exists()
        again = resume(folder)
        for _ in again:
            pass
        again.record.finish(again.painting)
    assert not (folder / LOCK).exists()
    check_unlocked(folder)
