"""`vqclip serve`: a real server with toy models, asked over HTTP and by two people in Chromium."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.browsing import SHOTS, watch
from tests.commands import vqclip
from tests.servers import free_port
from vqclip_nb.embedded import read
from vqclip_nb.queue import Store
from vqclip_nb.queue.job_requests import ALLOWED

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

ROOT = Path(__file__).parent.parent
SMALL = {"prompt": "red", "size": [32, 24], "steps": 4, "cutn": 2, "canvas": "pixels"}
LIMITS = 'jobs_a_person = 3\ncanvases = ["pixels", "vqgan/demo"]\nrefused_words = ["gun"]\nmost_steps = 100000\n'


class Client:
    """Somebody who asks the server."""

    def __init__(self, address, token=None):
        self.address, self.headers = address, {"Authorization": f"Bearer {token}"} if token else {}

    def open(self, method, path, body=None, **headers):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.address + path, data, self.headers | headers, method=method)
        return urllib.request.urlopen(asked, timeout=60)

    def __call__(self, method, path, body=None, **headers):
        """The status and the answer, read as JSON where it is."""
        try:
            answer = self.open(method, path, body, **headers)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            data = answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, json.loads(data) if is_json else data

    def events(self, path):
        """The data of each server-sent event, until the stream ends."""
        with self.open("GET", path) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def finished(self, job):
        return list(self.events(f"/api/jobs/{job['id']}/events"))[-1]


@contextmanager
def served(folder, *options):
    """A server for this folder; its address."""
    port = free_port()
    command = [sys.executable, str(ROOT / "tests" / "toy_server.py"), "--data", str(folder), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(400):
            assert server.poll() is None, (folder / "server.log").read_text()
            try:
                urllib.request.urlopen(f"{address}/docs", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0, (folder / "server.log").read_text()
    log = (folder / "server.log").read_text()
    assert log.splitlines()[-1] == f"vqclip: serving {address}; Ctrl-C ends", "no request and no painting went wrong"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    (folder / "limits.toml").write_text(LIMITS)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with served(folder) as address:
        yield address


@pytest.fixture
def person(server, folder):
    """Makes people of the server, each with a token of its own."""
    store = Store(folder)
    yield lambda name: Client(server, store.add_person(name))
    for name in store.people():
        store.remove_person(name)
    store.close()


def test_a_picture_is_asked_for_watched_fetched_painted_on_and_deleted(person, folder):
    ada = person("Ada")
    status, job = ada("POST", "/api/jobs", {**SMALL, "steps": 60, "seed": 5})
    assert status == 201
    assert job["state"] in ("waiting", "painting")
    answer = list(ada.events(f"/api/jobs/{job['id']}/events"))
    steps = [view["step"] for view in answer]
    assert steps == sorted(steps)
    assert answer[-1]["state"] == "done"
    assert answer[-1]["step"] == 60
    status, preview = ada("GET", answer[-1]["preview"])
    assert Image.open(BytesIO(preview)).format == "JPEG"
    status, picture = ada("GET", answer[-1]["picture"])
    assert Image.open(BytesIO(picture)).size == (32, 24)
    (folder / "fetched.png").write_bytes(picture)
    assert read(folder / "fetched.png")["settings"]["seed"] == 5
    assert ada("GET", answer[-1]["film"]) == (200, b"film")
    status, settings = ada("GET", answer[-1]["settings"])
    assert settings["settings"]["prompt"] == "red"
    assert str(folder) not in json.dumps(settings)
    assert answer[-1]["wish"] == {**SMALL, "steps": 60, "seed": 5}

    status, job = ada("POST", f"/api/jobs/{job['id']}/more", {"steps": 70})
    assert (status, job["steps"]) == (200, 70)
    assert ada.finished(job)["step"] == 70
    assert ada("DELETE", f"/api/jobs/{job['id']}")[0] == 204
    assert ada("GET", f"/api/jobs/{job['id']}")[0] == 404
    assert not list((folder / "runs").glob(f"*{job['id'][:6]}"))


def test_a_picture_that_is_sent_is_checked_and_begun_with(person, folder):
    ada, file = person("Ada"), BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (40, 30), "green").save(file, "JPEG", exif=exif)
    status, sent = ada("POST", "/api/pictures", file.getvalue())
    assert status == 201
    (saved,) = (folder / "uploads").iterdir()
    assert b"taken at home" not in saved.read_bytes()
    status, job = ada("POST", "/api/jobs", {**SMALL, "picture": sent["picture"]})
    assert ada.finished(job)["state"] == "done"
    for body, sentence in (
        (b"no picture", "it is not one"),
        (file.getvalue()[:300], "must be a readable picture"),
        (b"x" * (21 * 2**20), "may have 20 MB"),
    ):
        status, answer = ada("POST", "/api/pictures", body)
        assert status == 422
        assert sentence in answer["detail"]
    assert [saved] == list((folder / "uploads").iterdir())


def test_what_is_refused_says_so_in_one_line(person, server):
    ada, bob, nobody, thief = person("Ada"), person("Bob"), Client(server), Client(server, "guessed")
    _, job = ada("POST", "/api/jobs", {**SMALL, "steps": 100_000})
    for client, method, path, body, status, sentence in (
        (nobody, "GET", "/api/jobs", None, 401, "a token is needed"),
        (thief, "POST", "/api/jobs", SMALL, 401, "the token is wrong"),
        (thief, "POST", "/api/session", {"token": "guessed"}, 401, "the token is wrong"),
        (bob, "GET", f"/api/jobs/{job['id']}", None, 404, "there is no picture"),
        (bob, "GET", f"/api/jobs/{job['id']}/preview?step=1", None, 404, "there is no picture"),
        (bob, "GET", f"/api/jobs/{job['id']}/events", None, 404, "there is no picture"),
        (bob, "DELETE", f"/api/jobs/{job['id']}", None, 404, "there is no picture"),
        (ada, "GET", f"/api/jobs/{job['id']}/picture", None, 404, "there is no picture of this picture yet"),
        (ada, "POST", f"/api/jobs/{job['id']}/more", {"steps": 9}, 409, "only a picture that is done"),
        (ada, "POST", "/api/jobs", {**SMALL, "init_image": "/etc/passwd"}, 422, "'init_image' cannot be asked for"),
        (ada, "POST", "/api/jobs", {**SMALL, "prompt": "a gun"}, 422, "the word 'gun' is refused here"),
        (ada, "POST", "/api/jobs", b"[1]", 422, "the body must be a JSON object"),
        (ada, "POST", "/api/jobs", b"{" * 100_000, 422, "the body may have"),
        (ada, "POST", f"/api/jobs/{job['id']}/more", {"steps": "many"}, 422, "steps must be a whole"),
    ):
        got, answer = client(method, path, body)
        assert (got, path) == (status, path)
        assert sentence in answer["detail"]
        assert "\n" not in answer["detail"]
    assert ada("POST", "/api/jobs", SMALL, Origin="http://evil.example")[0] == 403
    assert ada("GET", "/api/jobs", None, Host="evil.example")[0] == 403
    for _ in range(2):
        assert ada("POST", "/api/jobs", SMALL)[0] == 201
    status, answer = ada("POST", "/api/jobs", SMALL)
    assert (status, answer["detail"][:26]) == (429, "you have 3 pictures in the")
    assert next(view for view in ada.events(f"/api/jobs/{job['id']}/events") if view["step"])["place"] == 0
    for view in ada("GET", "/api/jobs")[1]:
        assert ada("DELETE", f"/api/jobs/{view['id']}")[0] == 204
    assert ada.finished(job)["state"] == "cancelled"
    assert ada("GET", f"/api/jobs/{job['id']}/picture")[0] == 200


def test_the_documentation_names_every_address_and_every_setting(server):
    _, answer = Client(server)("GET", "/openapi.json")
    _, page = Client(server)("GET", "/docs")
    assert {"/api/jobs", "/api/jobs/{job}/events", "/api/jobs/{job}/film", "/api/pictures"} <= set(answer["paths"])
    body = answer["paths"]["/api/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {*ALLOWED, "picture"}
    assert body["properties"]["canvas"]["default"] == "pixels"
    assert body["properties"]["variations"]["maximum"] == 4
    for name in [*answer["paths"], *ALLOWED]:
        assert name.encode() in page


def test_guests_come_in_where_they_may(tmp_path):
    with served(tmp_path, "--guests") as address:
        guest = Client(address)
        assert guest("GET", "/api/form")[1]["guest"] is True
        assert guest("POST", "/api/jobs", SMALL)[0] == 201
        assert Client(address, "guessed")("GET", "/api/form")[0] == 401
    (job,) = Store(tmp_path).jobs_of()
    assert Store(tmp_path).people() == []
    assert job.settings["prompt"] == "red"


def test_people_are_added_listed_and_removed_from_the_command_line(capsys, tmp_path):
    folder = ["--data", str(tmp_path / "q")]
    assert vqclip("serve", *folder, "--add-person", "Ada") == 0
    output = capsys.readouterr()
    assert Store(tmp_path / "q").person(output.out.strip()).name == "Ada"
    assert output.err == "vqclip: the token of Ada; it is not shown again\n"
    assert vqclip("serve", *folder, "--people") == 0
    assert capsys.readouterr().out == "Ada\n"
    assert vqclip("serve", *folder, "--remove-person", "Ada") == 0
    assert vqclip("serve", *folder, "--remove-person", "Bob") == 2
    assert capsys.readouterr().err == "vqclip: there is no person 'Bob'; `vqclip serve --people` lists them\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--port", "PORT"], "of 127.0.0.1 is in use; choose another with --port"),
        (["--port", "0"], "port must be from 1 to 65535, got 0"),
        (["--host", "no such host"], "host must be an address of this machine, got 'no such host'"),
        (["--limits", "gone.toml"], "the limits 'gone.toml' cannot be read: No such file"),
        (["--limits", "wrong.toml"], "wrong.toml: there is no limit 'jobs'"),
    ],
)
def test_a_server_that_cannot_begin_says_why_and_leaves_nothing(capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    Path("wrong.toml").write_text("jobs = 3")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = [str(taken.getsockname()[1]) if word == "PORT" else word for word in words]
        assert vqclip("serve", *words) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert len(output.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


def test_a_missing_extra_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "vqclip_nb.queue.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert vqclip("serve") == 2
    assert capsys.readouterr().err == 'vqclip: `vqclip serve` needs uvicorn; run pip install "vqclip_nb[serve]"\n'


def test_the_server_needs_no_torch():
    process = subprocess.run(
        [sys.executable, "-c", "import sys, vqclip_nb.queue.server; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout == "False\n"


def test_two_people_paint_at_once_in_a_browser(server, folder, person, browser, request):
    tokens = {name: person(name).headers["Authorization"].removeprefix("Bearer ") for name in ("Ada L.", "Grace")}
    failures = []

    def enter(name, **options):
        page = watch(request.node, browser.new_context(bypass_csp=True, **options).new_page())
        page.on("pageerror", lambda error: failures.append(error))
        page.goto(server)
        page.fill("#token", "guessed")
        page.click("#enter .go")
        page.locator("#enter .wrong", has_text="the token is wrong").wait_for()
        page.fill("#token", tokens[name])
        page.click("#enter .go")
        page.wait_for_selector("#prompt:visible")
        return page

    def ask(page, prompt, steps):
        page.fill("#prompt", prompt)
        page.fill("#steps", str(steps))
        page.select_option("#side", "64")
        page.select_option("#canvas", "pixels")
        page.click("#paint")

    ada = enter("Ada L.", viewport={"width": 1400, "height": 1000})
    grace = enter("Grace", viewport={"width": 700, "height": 1000}, color_scheme="dark")
    ask(ada, "red|blue", 100_000)
    ada.locator("#said", has_text="Step").wait_for()
    ada.locator("#picture:visible").wait_for()
    first = ada.locator("#picture").get_attribute("src")
    ada.wait_for_function("before => document.getElementById('picture').getAttribute('src') !== before", arg=first)
    ask(ada, "blue", 4)
    ada.locator("#queue li.own").nth(1).wait_for()
    ask(grace, "green", 5)
    grace.locator("#empty", has_text="You are next.").wait_for()
    ada.locator("#queue li", has_text="Grace").wait_for()
    rows = ada.locator("#queue li").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == ["▸", "1", "2"]
    assert "Grace" in rows[1], "before Ada's second"
    assert "red" not in grace.locator("#queue").inner_text(), "nobody reads another's words"
    ada.screenshot(path=SHOTS / "serve-ada.png")
    grace.screenshot(path=SHOTS / "serve-grace.png", full_page=True)
    for page in (ada, grace):
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"

    ada.locator("#stage button", has_text="Cancel").click()
    grace.locator(".thumbs img").wait_for()
    ada.locator(".thumbs img").nth(1).wait_for()
    assert grace.locator(".thumbs img").count() == 1
    with ada.expect_download() as coming:
        ada.locator("#stage a", has_text="Picture").click()
    assert Image.open(coming.value.path()).size == (64, 64)
    ada.locator("#stage button", has_text="Another seed").click()
    ada.locator(".thumbs img").nth(2).wait_for()
    ada.locator("#stage button", has_text="Delete").click()
    ada.wait_for_function("document.querySelectorAll('.thumbs img').length === 2")
    ada.reload()
    ada.locator(".thumbs img").nth(1).wait_for()
    ada.locator("#leave").click()
    ada.wait_for_selector("#token:visible")
    assert not failures
