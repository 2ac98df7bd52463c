"""The bot, by discord.py's own objects: what it says, and what it does when Discord refuses."""

import asyncio
import json
import sys
import threading
from contextlib import asynccontextmanager
from io import BytesIO

import pytest
from PIL import Image

pytest.importorskip("discord")
import discord

from tests import fake_discord as fake
from tests.toys import toy_models
from vqclip_nb import cli
from vqclip_nb.errors import RunError
from vqclip_nb.queue import Limits, Store, connection, follower
from vqclip_nb.queue.bot import Bot
from vqclip_nb.queue.worker import paint_safely, work

LIMITS = Limits(canvases=("pixels",), longest_text=4000, most_steps=40)
SECRET = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film"))
    monkeypatch.setattr("vqclip_nb.runs.metadata.model_hashes", lambda settings: {})
    monkeypatch.setattr(follower, "EDIT_GAP", 0.06)
    monkeypatch.setattr(follower, "POLL_INTERVAL", 0.03)
    monkeypatch.setattr("vqclip_nb.queue.views.PULSE", 0.02)
    with toy_models():
        yield


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


@asynccontextmanager
async def running(store, discord_, monkeypatch, limits=LIMITS):
    """A bot that Discord talks to."""

    async def adapt(adapter, route, session, **more):
        return await discord_.adapt(adapter, route, session, **more)

    monkeypatch.setattr("discord.webhook.async_.AsyncWebhookAdapter.request", adapt)
    bot = Bot(store, limits)
    async with bot:
        discord_.settle(bot)
        await bot.setup_hook()
        yield bot
        for task in bot.tasks:
            task.cancel()


def hears(bot, content, author=fake.ADA, **more):
    """Somebody writes a message."""
    bot._connection.parse_message_create(fake.message(next(bot_numbers), content, author, **more))


bot_numbers = iter(range(10**5, 10**6))


class Painter:
    """Paints what waits while the block lasts."""

    def __init__(self, store):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=work, args=(store, "worker-1", self.stop, self.paint))
        self.store = store

    def paint(self, job):
        return paint_safely(job, self.store, device="cpu", stop=self.stop.is_set)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


async def until(condition):
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come")


def last(discord_):
    return discord_.messages[max(discord_.messages)]


def ended(discord_, words="Seed"):
    return bool(discord_.messages) and words in last(discord_)["content"] and bool(last(discord_)["buttons"])


def test_dot_imagine_is_answered_at_once_and_edited_to_the_end(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            hears(bot, "hello")
            hears(bot, ".imagine red")
            hears(bot, ".imagine blue", fake.BOB)
            hears(bot, ".imagine green")
            await until(lambda: len(channel.messages) == 3)
            assert [message["content"] for message in channel.history[:3]] == [
                "**red**\nYou are next.",
                "**blue**\nPlace 2 in the queue.",
                "**green**\nPlace 3 in the queue.",
            ]
            assert channel.history[0]["buttons"] == ["Cancel"]
            with Painter(store):
                await until(lambda: all("Seed" in message["content"] for message in channel.messages.values()))
        previews = [message for message in channel.history if "Step" in message["content"] and message["files"]]
        assert previews
        assert Image.open(BytesIO(next(iter(previews[0]["files"].values())))).format == "JPEG"
        message = last(channel)
        assert sorted(name.rpartition(".")[2] for name in message["files"]) == ["mp4", "png"]
        assert message["buttons"] == ["Another seed", "Variations", "More steps", "Upload settings"]
        assert channel.too_fast == 0, "never more than five edits in five seconds"
        assert [command["name"] for command in channel.commands] == ["imagine"]
        assert {job.settings["seed"] for job in store.jobs_of()} != {0}, "each has a seed of its own"

    asyncio.run(story())


def test_the_slash_command_and_the_buttons_do_what_they_say(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            receive = bot._connection.parse_interaction_create
            with Painter(store):
                receive(fake.command(prompt="red", steps=4, seed=7, side=32))
                await until(lambda: ended(channel))
                assert last(channel)["content"] == "**red**\nSeed 7, 4 steps"
                (job,) = store.jobs_of()
                assert job.settings["size"] == [32, 32]

                receive(fake.press("settings", job.id, fake.BOB))
                await until(lambda: len(channel.messages) == 2)
                (settings,) = last(channel)["files"].values()
                assert json.loads(settings)["settings"]["seed"] == 7
                receive(fake.press("more", job.id, fake.BOB))
                await until(lambda: channel.asides)
                assert "only who asked" in channel.asides.pop()
                receive(fake.press("more", job.id))
                await until(lambda: len(channel.messages) == 3 and ended(channel))
                assert last(channel)["content"] == "**red**\nSeed 7, 8 steps"
                receive(fake.press("variations", job.id, fake.BOB))
                await until(lambda: len(channel.messages) == 4 and ended(channel))
                variations = store.jobs_of()[0]
                assert variations.settings["variations"] == 4
                assert variations.person != job.person
                receive(fake.press("seed", job.id))
                await until(lambda: len(channel.messages) == 5 and ended(channel))
                assert store.jobs_of()[0].settings["seed"] != 7
            receive(fake.press("seed", "0123456789abcdef"))
            receive(fake.command(prompt="red", steps=41))
            await until(lambda: len(channel.asides) == 2)
            assert channel.asides == ["there is no picture '0123456789abcdef'", "steps may be up to 40 here, got 41"]
            receive(fake.command(prompt="red", steps=40))
            await until(lambda: len(channel.messages) == 6)
            receive(fake.press("cancel", store.jobs_of()[0].id))
            await until(lambda: "Cancelled" in last(channel)["content"])

    asyncio.run(story())


def test_long_words_markup_and_calls_stay_within_a_message(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            for count, words in enumerate(("red_*`" * 330 + " @everyone", "red " * 1000, "red " * 1000 + "blue", "")):
                hears(bot, f".imagine {words}")
                await until(lambda count=count: len(channel.messages) > count)
        messages = [texts["content"] for texts in channel.messages.values()]
        assert all(len(content) <= 2000 for content in messages)
        assert r"red\_\*\`red" in messages[0]
        assert messages[0].endswith("…**\nYou are next.")
        assert "prompt may have 4000 letters, got 4004" in messages[2]
        assert messages[3].startswith("Say what to paint")

    asyncio.run(story())


def test_where_nothing_may_be_attached_the_words_say_so(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord(attach=False)
        async with running(store, channel, monkeypatch) as bot:
            with Painter(store):
                hears(bot, ".imagine red")
                await until(lambda: ended(channel))
        assert last(channel)["content"].endswith("I may not attach files here: give me the permission Attach Files.")
        assert last(channel)["files"] == {}

    asyncio.run(story())


def test_a_film_that_is_too_large_is_left_out(store, monkeypatch):
    monkeypatch.setattr("vqclip_nb.video._encode", lambda frames, path, *rest: path.write_bytes(b"film" * 250_000))

    async def story():
        channel = fake.FakeDiscord(most_bytes=900_000)
        async with running(store, channel, monkeypatch) as bot:
            with Painter(store):
                hears(bot, ".imagine red")
                await until(lambda: ended(channel))
        assert [name.rpartition(".")[2] for name in last(channel)["files"]] == ["png"]

    asyncio.run(story())


def test_a_bot_that_is_told_to_wait_waits_and_still_ends_well(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord(limited=6)
        async with running(store, channel, monkeypatch) as bot:
            with Painter(store):
                hears(bot, ".imagine red")
                await until(lambda: ended(channel))
        assert channel.limited == 0
        assert len(last(channel)["files"]) == 2

    asyncio.run(story())


def test_a_message_that_is_deleted_cancels_its_picture(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            hears(bot, ".imagine red")
            hears(bot, ".imagine blue", fake.BOB)
            await until(lambda: len(channel.messages) == 2)
            del channel.messages[max(channel.messages)]
            with Painter(store):
                await until(lambda: ended(channel) and len(store.open_jobs()) == 0)
        states = {job.settings["prompt"]: job.state for job in store.jobs_of()}
        assert states == {"red": "done", "blue": "cancelled"}

    asyncio.run(story())


def test_a_bot_that_was_stopped_goes_on_with_its_messages(store, monkeypatch):
    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            hears(bot, ".imagine red")
            await until(lambda: channel.messages)
        with Painter(store):
            await until(lambda: not store.open_jobs())
        async with running(store, channel, monkeypatch) as bot:
            await until(lambda: ended(channel))
            await until(lambda: not bot.tasks)
            assert bot.posts.all() == []

    asyncio.run(story())


def test_a_picture_that_comes_with_the_words_is_checked_and_begun_with(store, monkeypatch):
    files = {"1": b"no picture"}
    sheet = BytesIO()
    Image.new("RGB", (40, 30), "green").save(sheet, "PNG")
    files["2"] = sheet.getvalue()

    async def fetched(http, url):
        return files[url.rpartition("/")[2]]

    monkeypatch.setattr("discord.http.HTTPClient.get_from_cdn", fetched)

    def attached(number, size):
        return {"id": number, "filename": "a.png", "size": size, "url": f"https://cdn/{number}", "proxy_url": ""}

    async def story():
        channel = fake.FakeDiscord()
        async with running(store, channel, monkeypatch) as bot:
            for number, size, sentence in (
                ("1", 10, "it is not one"),
                ("1", 10**9, "a picture may have 20 MB"),
                ("2", 10, "You are next"),
            ):
                hears(bot, ".imagine red", attachments=[attached(number, size)])
                await until(lambda sentence=sentence: channel.messages and sentence in last(channel)["content"])
            for number, sentence in (("1", "it is not one"), ("2", "Place 2 in the queue")):
                bot._connection.parse_interaction_create(fake.command(prompt="blue", picture=attached(number, 10)))
                await until(lambda sentence=sentence: sentence in last(channel)["content"])
        assert len(store.jobs_of()) == 2
        assert all(job.settings["init_image"].startswith("sha256:") for job in store.jobs_of())

    asyncio.run(story())


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (discord.LoginFailure(f"Improper token {SECRET}"), "Discord does not know the token in DISCORD_TOKEN"),
        (discord.PrivilegedIntentsRequired(None), "switch on Message Content Intent"),
        (OSError(f"no way to discord with {SECRET}"), "Discord cannot be reached: no way to discord with …"),
        (ValueError(f"header {SECRET}\n"), "DISCORD_TOKEN must hold the bot's token alone"),
    ],
)
def test_no_trouble_shows_the_token(store, monkeypatch, trouble, sentence):
    async def start(bot, token, **more):
        raise trouble

    monkeypatch.setattr(discord.Client, "start", start)
    with pytest.raises(RunError) as error:
        connection.connect(store, LIMITS, SECRET, dot=True, tell=print)
    assert sentence in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_a_bot_without_a_token_or_the_extra_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    assert cli.main(["bot"]) == 2
    assert "DISCORD_TOKEN must hold the bot's token" in capsys.readouterr().err
    monkeypatch.setenv("DISCORD_TOKEN", SECRET)
    monkeypatch.delitem(sys.modules, "vqclip_nb.queue.connection")
    monkeypatch.setitem(sys.modules, "discord", None)
    assert cli.main(["bot"]) == 2
    assert capsys.readouterr().err == 'vqclip: `vqclip bot` needs discord; run pip install "vqclip_nb[bot]"\n'
    assert list(tmp_path.iterdir()) == []
