"""Damaged folders, pictures and settings give one clear line or a correct load."""

import json
import random
import shutil
import warnings

import pytest
from PIL import Image

from tests import crash_worker
from tests.toys import toy_models
from vqclip_nb import Settings
from vqclip_nb.cli.runs import tree
from vqclip_nb.embedded import encode, read
from vqclip_nb.errors import PaintWarning
from vqclip_nb.runs import checkpoint
from vqclip_nb.runs.metadata import describe
from vqclip_nb.runs.reader import RunInfo
from vqclip_nb.session import resume, start
from vqclip_nb.timeline import Edit

CASES = [pytest.param(100, id="100"), pytest.param(700, id="700", marks=pytest.mark.long)]
WEIRD = [None, True, -1, 0, 3.5, 10**30, float("inf"), float("nan"), "", "x" * 999, "../../a", [], [[]], {}, {"a": 1}]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with everything in it."""
    place = tmp_path_factory.mktemp("whole")
    Image.new("RGB", (8, 8), "blue").save(place / "given.png")
    with toy_models(), crash_worker.no_film():
        active = start(crash_worker.settings(place / "runs").replace(init_image=str(place / "given.png")))
        for frame in active:
            if frame.step == 3:
                active.painting.apply(Edit({"prompt": "green", "lr": 0.1}))
        return active.record.finish(active.painting).parent


def damaged(data, chance):
    """Cut, turned, doubled or overwritten somewhere."""
    start, length = chance.randrange(len(data)), chance.choice((1, 1, 4, 60, len(data)))
    middle = data[start : start + length]
    replaced = chance.choice((b"", bytes([middle[0] ^ 1 << chance.randrange(8)]), chance.randbytes(4), middle * 2))
    return data[:start] + replaced + data[start + length :]


def twisted(value, chance):
    """JSON with one value, somewhere, replaced by another."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        return chance.choice(WEIRD)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = chance.choice(keys)
    if chance.random() < 0.15 and isinstance(value, dict):
        return {name: part for name, part in value.items() if name != key}
    copy = value.copy()
    copy[key] = twisted(value[key], chance)
    return copy


def in_one_line(work):
    """Whether it worked; if not, the error is one line that a person can read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PaintWarning)
        try:
            work()
        except ValueError as error:
            message = str(error)
        else:
            return True
    assert message.strip()
    assert len(message.splitlines()) == 1
    return False


@pytest.mark.parametrize("cases", CASES)
def test_a_damaged_folder_is_one_line_or_a_correct_load(tmp_path, whole, cases):
    def look():
        story = RunInfo.read(folder)
        assert list(tree([story]))
        if state := story.latest():
            whole_state = checkpoint.unpack(whole / "state" / f"{state['facts']['step']:06}.safetensors")
            assert state["facts"] == whole_state["facts"], "what passes for a state is the state"

    folder, survived = tmp_path / "run", 0
    files = [*whole.glob("*.json*"), *whole.glob("state/*"), *whole.glob("*.csv")]
    for case in range(cases):
        chance = random.Random(case)
        shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("frames", "*.png", "*.mp4"))
        for path in chance.sample(files, k=2):
            hurt = folder / path.relative_to(whole)
            data = hurt.read_bytes()
            if path.suffix == ".json" and chance.random() < 0.6:
                hurt.write_text(json.dumps(twisted(json.loads(path.read_bytes()), chance)))
            elif chance.random() < 0.05:
                hurt.unlink()
            else:
                hurt.write_bytes(damaged(data or b"{}", chance))
        survived += in_one_line(look)
        shutil.rmtree(folder)
    assert 0.2 * cases < survived < cases


@pytest.mark.parametrize("cases", CASES)
def test_a_state_that_somebody_made_up_is_one_line_or_painted_from(tmp_path, whole, cases):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "state")
    (folder / "state").mkdir()
    good = checkpoint.unpack(whole / "state" / "000006.safetensors")
    with toy_models():
        for case in range(cases):
            facts = twisted(good["facts"], random.Random(case))
            made_up = {"tensors": good["tensors"], "facts": facts if isinstance(facts, dict) else {"step": facts}}
            (folder / "state" / "000006.safetensors").write_bytes(checkpoint.pack(made_up))
            in_one_line(lambda: resume(folder).record._writer.close())


@pytest.mark.parametrize("cases", CASES)
def test_a_damaged_picture_is_one_line_or_settings(tmp_path, cases):
    about, hurt = describe(Settings(), timeline=[{"step": 1, "settings": {"lr": 0.1}}], step=9, hashes={}), []
    pil = Image.effect_noise((16, 16), 90).convert("RGB")
    for case in range(cases):
        chance = random.Random(case)
        description = twisted(about, chance) if case % 3 == 0 else about
        path = tmp_path / f"a.{chance.choice(('png', 'jpg', 'webp'))}"
        format = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}[path.suffix]
        if description == about or not isinstance(description, dict):
            path.write_bytes(damaged(encode(pil, format, about), chance))
        else:
            path.write_bytes(_with_text(pil, description))
        hurt.append(in_one_line(lambda path=path: Settings(**read(path)["settings"])))
    assert any(hurt)
    assert not all(hurt)


def _with_text(pil, description):
    """A PNG that says anything at all."""
    import io

    from PIL.PngImagePlugin import PngInfo

    text, file = PngInfo(), io.BytesIO()
    text.add_itxt("vqclip", json.dumps(description))
    pil.save(file, "PNG", pnginfo=text)
    return file.getvalue()


@pytest.mark.parametrize("cases", CASES)
def test_damaged_settings_are_one_line_or_settings(cases):
    text = Settings(prompt="red | blue:-1", lr=0.1, size=(32, 48)).to_json()
    loaded = 0
    for case in range(cases):
        chance = random.Random(case)
        hurt = damaged(text.encode(), chance) if case % 2 else json.dumps(twisted(json.loads(text), chance))
        loaded += in_one_line(lambda hurt=hurt: Settings.from_json(hurt))
    assert 0 < loaded < cases
