"""A browser for the tests, and what to say when a test fails with a page open."""

import os
import shutil
from pathlib import Path

import pytest

SHOTS = Path(__file__).parent / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
WITNESSES = pytest.StashKey[list]()


def unavailable(reason):
    """Skip, and say why; an error where the browser is required."""
    if os.environ.get("VQCLIP_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    if CHROMIUM is None:
        unavailable("no Chromium here; `apt-get install chromium` on Debian, or put Google Chrome on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable('no playwright here; pip install -e ".[test]"')

    SHOTS.mkdir(exist_ok=True)
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


class Witness:
    """Hears what a page logs, and tells it with what the page shows.

    state: JavaScript that returns what else is worth knowing. server_log: a file whose end is told too.
    """

    def __init__(self, page, *, state="() => null", server_log=None):
        self.page, self.state, self.server_log, self.console = page, state, server_log, []
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda request: self.console.append(f"failed: {request.url} {request.failure}"))

    def tell(self, name):
        """Headings and texts; a screenshot goes to tests/screenshots/failed-NAME.png."""
        shot = SHOTS / f"failed-{name}.png"
        yield "page", self._ask(lambda: f"{self.page.url}\n{self.page.inner_text('body')[:4000]}")
        yield "state of the page", self._ask(lambda: str(self.page.evaluate(self.state)))
        lines = [*self.console[:40], "...", *self.console[-40:]] if len(self.console) > 80 else self.console
        yield "console", "\n".join(line[:400] for line in lines)
        if self.server_log:
            yield "end of the server's log", self._ask(lambda: self.server_log.read_text()[-4000:])
        yield "screenshot", self._ask(lambda: str(self.page.screenshot(path=shot, timeout=20_000) and shot))

    @staticmethod
    def _ask(question):
        try:
            return question()
        except Exception as error:  # the test has failed already; this must not hide why
            return f"not to be had: {error}"


def watch(node, page, **about):
    """Have a test that fails from now on tell what this page shows and what it logged.

    With VQCLIP_SLOW_BROWSER=8 in the environment the page's scripts run eight times slower.
    """
    if slow := os.environ.get("VQCLIP_SLOW_BROWSER"):
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": float(slow)})
    node.stash.setdefault(WITNESSES, []).append(Witness(page, **about))
    return page


def evidence_of(node, when):
    """Add what the pages of a failed test show to its report."""
    for number, witness in enumerate(node.stash.get(WITNESSES, []), start=1):
        for heading, text in witness.tell(f"{node.name}-{number}".replace("/", "_")):
            node.add_report_section(when, f"{heading} {number}", text)
