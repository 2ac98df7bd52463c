"""A file gets its name only when it is right, whatever the mirrors do and whenever the process dies."""

import hashlib
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import mirror
from vqclip_nb.cli.doctor import try_address
from vqclip_nb.cli.models import copy_to_second_home, remove_model
from vqclip_nb.errors import PaintWarning
from vqclip_nb.models import CannotFetch, download, transfer
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.transfer import Patience

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(connect=1, silence=0.4, answer=2, bytes_per_second=50_000, window=0.3)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VQCLIP_HOME", str(tmp_path / "home"))
    for name in ("VQCLIP_OFFLINE", "VQCLIP_SECOND_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def server():
    with mirror(CONTENT) as running:
        yield running


def fetch(entry, report=lambda progress: None, **more):
    """As somebody who is told how far it is."""
    return download.fetch(entry, report=report, **more)


def entry(*addresses: str, sha256: str | None = SHA256, size: int | None = len(CONTENT)) -> Entry:
    return Entry("vqgan", "tiny", sources=(Source("last.ckpt", addresses, size, sha256),))


WRONGS = {
    "missing": "answered 404",
    "broken": "answered 500",
    "page": "sent a web page instead of the file",
    "disguised": "sent a web page instead of the file",
    "truncated": "broke off|ended too early",
    "short": "offers 2,999,999 bytes where 3,000,000 are published",
    "wrong": "sent other bytes than the published ones",
    "silent": "fell silent",
    "loop": "sends from one address to the next without an end",
    "compressed": "sends the file compressed, where it was asked for as it is",
    "more": "sends more than the 3,000,000 bytes that are expected",
    "endless": "sends more than the 3,000,000 bytes that are expected",
    "huge": "offers 1,000,000,000,000,000,000 bytes where 3,000,000 are published",
    "crumbs": "broke off 100 times|ended too early|broke off",
    "slow_headers": "did not answer within 2 s",
    "drip": r"is slow \(0 kB/s\)",
}


def test_what_nobody_follows_is_announced(server):
    with pytest.warns(PaintWarning) as records:
        download.fetch(entry(server.at("missing"), server.at("good")), patience=HASTY)
    messages = [str(warning.message) for warning in records]
    assert re.fullmatch(r"fetching vqgan/tiny once \(3 MB, into .*tiny\)", messages[0])
    assert "trying the next address" in messages[1]


@pytest.mark.parametrize(("path", "message"), WRONGS.items())
def test_a_wrong_mirror_is_named_and_the_next_one_serves(server, path, message):
    tiny, notes = entry(server.at(path), server.at("good")), []
    found = fetch(tiny, report=lambda progress: notes.append(progress.note or ""), patience=HASTY)
    assert found.read_bytes() == CONTENT
    assert any(f"127.0.0.1:{server.server_port}" in note for note in notes)
    assert any(re.search(message, note) for note in notes)


@pytest.mark.parametrize(("path", "message"), WRONGS.items())
def test_a_wrong_mirror_alone_leaves_no_file_under_the_right_name(server, path, message):
    tiny = entry(server.at(path))
    with pytest.raises(CannotFetch, match=message) as wrong:
        fetch(tiny, patience=HASTY)
    assert "\n" not in str(wrong.value)
    assert str(tiny.folder / "last.ckpt") in str(wrong.value)  # the remedy: put it there
    assert tiny.files() == []


def test_another_file_of_the_same_model_serves_where_the_first_ones_addresses_fail(server):
    sources = (
        Source("clip.pt", (server.at("missing"),), 5, "0" * 64),
        Source("clip.safetensors", (server.at("good"),)),
    )
    assert fetch(Entry("clip", "tiny", sources=sources)).name == "clip.safetensors"


@pytest.mark.parametrize("path", ["good", "moved", "rangeless", "flaky", "paced", "chunks", "nonsense"])
def test_an_imperfect_mirror_serves(server, path):
    assert fetch(entry(server.at(path)), patience=HASTY).read_bytes() == CONTENT


def test_a_slow_mirror_yields_to_a_faster_one_and_serves_when_it_is_alone(server):
    fetch(entry(server.at("trickle"), server.at("good")), patience=HASTY)
    assert [path for path, _ in server.requests] == ["/trickle", "/good"]
    assert server.requests[1][1].startswith("bytes=")  # what it had given was kept

    server.content, server.requests[:] = CONTENT[:20_000], []
    slow = Entry("vqgan", "slow", sources=(Source("a", (server.at("trickle"),), 20_000, None),))
    assert fetch(slow, patience=HASTY).read_bytes() == CONTENT[:20_000]


@pytest.mark.parametrize("spoiled", [bytes(1000), bytes(len(CONTENT)), bytes(len(CONTENT) + 1)])
def test_a_spoiled_part_is_thrown_away(server, spoiled):
    tiny = entry(server.at("good"))
    tiny.folder.mkdir(parents=True)
    (tiny.folder / "last.ckpt.part").write_bytes(spoiled)
    assert fetch(tiny).read_bytes() == CONTENT


def test_parts_of_a_file_without_a_hash_are_not_mixed_between_addresses(server):
    tiny = entry(server.at("silent"), server.at("good"), sha256=None)
    notes = []
    assert fetch(tiny, report=lambda progress: notes.append(progress.note), patience=HASTY).read_bytes() == CONTENT
    assert server.requests[-1] == ("/good", None)  # from its beginning
    assert any(note and f"never published; this file's is {SHA256}" in note for note in notes)


def test_a_full_disk_is_said_before_the_first_byte(server, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    tiny = entry(server.at("good"))
    with pytest.raises(CannotFetch, match="VQCLIP_HOME to a folder on a larger disk"):
        fetch(tiny)
    assert not list(tiny.folder.glob("*.part"))


def test_a_file_of_unknown_length_that_does_not_end_is_left_before_the_disk_is_full(server, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: type("Usage", (), {"free": transfer.SPARE - 1}))
    tiny = entry(server.at("endless"), sha256=None, size=None)
    with pytest.raises(CannotFetch, match="sends a file without an end"):
        fetch(tiny, patience=HASTY)
    assert not list(tiny.folder.glob("*.part"))


def test_a_disk_that_becomes_full_meanwhile_is_said_and_the_part_is_kept(server, monkeypatch):
    write = transfer.Transfer.write

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, block):
            if self.file.tell() > 1_000_000:
                raise OSError(28, "No space left on device")
            self.file.write(block)

        def flush(self):
            self.file.flush()

    tiny = entry(server.at("good"))
    with monkeypatch.context() as patched:
        patched.setattr(transfer.Transfer, "write", lambda self, file, block: write(self, Full(file), block))
        with pytest.raises(CannotFetch, match=r"\(No space left on device\); what was fetched is kept. Remove a model"):
            fetch(tiny, patience=HASTY)
    assert fetch(tiny, patience=HASTY).read_bytes() == CONTENT
    assert server.requests[-1][1].startswith("bytes=")


@pytest.mark.parametrize(("path", "message"), [("good", "offers 3,000,000 bytes"), ("endless", "sends more than the")])
def test_a_config_from_an_address_is_small(server, path, message):
    with pytest.raises(CannotFetch, match=message), download.open_source(server.at(path)):
        pytest.fail("it was lent")


def test_a_picture_from_an_address_may_be_larger(server):
    with download.open_source(server.at("good"), most=3_000_000) as path:
        assert path.read_bytes() == CONTENT


def test_offline_opens_no_connection(server, monkeypatch):
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    with pytest.raises(CannotFetch, match="VQCLIP_OFFLINE is set"):
        fetch(entry(server.at("good")))
    assert try_address(server.at("good"))[0] is False
    assert server.requests == []


def test_a_dead_model_is_said_and_not_tried(server):
    dead = Entry("vqgan", "dead", alive=False, sources=(Source("last.ckpt", (server.at("good"),)),))
    with pytest.raises(CannotFetch, match=r"no address of vqgan/dead was reported alive.*vqclip models add"):
        fetch(dead)
    assert server.requests == []


def test_a_second_home_is_copied_from_and_kept(tmp_path, monkeypatch, home):
    monkeypatch.setenv("VQCLIP_SECOND_HOME", str(tmp_path / "drive"))
    monkeypatch.setenv("VQCLIP_OFFLINE", "1")
    there = tmp_path / "drive" / "vqgan" / "tiny" / "last.ckpt"
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT)
    found = fetch(entry("https://nowhere.invalid/last.ckpt"))
    assert home in found.parents
    assert found.read_bytes() == CONTENT

    there.unlink()
    assert copy_to_second_home(entry()) == there
    assert there.read_bytes() == CONTENT


def test_a_spoiled_copy_in_the_second_home_yields_to_the_addresses(tmp_path, monkeypatch, server):
    monkeypatch.setenv("VQCLIP_SECOND_HOME", str(tmp_path / "drive"))
    there = tmp_path / "drive" / "vqgan" / "tiny" / "last.ckpt"
    there.parent.mkdir(parents=True)
    there.write_bytes(CONTENT[:-1] + b"!")
    assert fetch(entry(server.at("good"))).read_bytes() == CONTENT


@pytest.mark.parametrize(("path", "good"), [("good", True), ("missing", False), ("page", False)])
def test_an_address_can_be_asked_with_a_head_request(server, path, good):
    assert try_address(server.at(path))[0] is good


CHILD = """
import sys
from vqclip_nb.models.catalog import Entry, Source
from vqclip_nb.models.download import fetch
import filelock, pooch, requests
print("ready", flush=True)
fetch(Entry("vqgan", "tiny", sources=(Source("last.ckpt", (sys.argv[1],), int(sys.argv[2]), sys.argv[3]),)))
"""


def child(address: str) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, address, str(len(CONTENT)), SHA256]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout
    assert process.stdout.readline().strip() == b"ready"
    return process


def killed_at_random(server, times: int) -> None:
    tiny, chance, parts = entry(server.at("paced")), random.Random(times), 0
    for _ in range(times):
        process = child(server.at("paced"))
        time.sleep(chance.uniform(0, 1.3))
        process.kill()
        process.communicate()
        parts += any(tiny.folder.glob("*.part"))
        for found in tiny.files():
            assert found.read_bytes() == CONTENT
            remove_model(tiny)  # whole: begin again
    assert parts, "no kill came in the middle"
    assert fetch(tiny).read_bytes() == CONTENT
    assert {path.name for path in tiny.folder.iterdir()} <= {"last.ckpt", ".lock"}


def test_killed_at_any_point_there_is_never_a_wrong_file(server):
    killed_at_random(server, 10)


@pytest.mark.long
def test_killed_at_fifty_points_there_is_never_a_wrong_file(server):
    killed_at_random(server, 50)


def test_ctrl_c_leaves_a_part_that_the_next_call_resumes(server):
    process = child(server.at("paced"))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate()
    part = entry().folder / "last.ckpt.part"
    begun = part.stat().st_size
    assert 0 < begun < len(CONTENT)
    assert fetch(entry(server.at("good"))).read_bytes() == CONTENT
    assert server.requests[-1] == ("/good", f"bytes={begun}-")


def test_a_file_left_whole_by_a_process_killed_while_it_was_checked_is_used(server):
    tiny = entry(server.at("missing"))
    tiny.folder.mkdir(parents=True)
    (tiny.folder / "tmp1234").write_bytes(CONTENT)
    assert fetch(tiny).read_bytes() == CONTENT
    assert server.requests == []


def test_two_processes_fetch_once(server):
    first, second = child(server.at("paced")), child(server.at("paced"))
    assert [first.wait(), second.wait()] == [0, 0]
    assert len(server.requests) == 1
    assert fetch(entry()).read_bytes() == CONTENT
