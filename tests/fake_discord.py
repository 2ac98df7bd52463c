"""Discord as far as a bot sees it: answers discord.py's requests with payloads as Discord sends them, and refuses as it
does."""

import asyncio
import itertools
import json
import re
import time
from types import SimpleNamespace

import discord

CHANNEL, ADA, BOB, BOT = 11, 21, 22, 99
NOW = "2026-01-01T00:00:00+00:00"


def user(number):
    return {"id": str(number), "username": f"user{number}", "discriminator": "0", "avatar": None, "global_name": None}


def refusal(kind, status, code=0):
    return kind(SimpleNamespace(status=status, reason="refused"), {"code": code, "message": "refused"})


class FakeDiscord:
    """A channel. messages: what is in it by id, each with its content, the names of its files and its buttons.

    attach: whether files may be attached. most_bytes: of all files of a message. limited: how many edits are put off.
    """

    def __init__(self, *, attach=True, most_bytes=10**9, limited=0, window=0.25):
        self.attach, self.most_bytes, self.limited, self.window = attach, most_bytes, limited, window
        self.numbers = itertools.count(1000)
        self.messages, self.history, self.asides, self.commands, self.files = {}, [], [], [], {}
        self.edited_at, self.too_fast = [], 0

    def settle(self, bot):
        """Stand in for the network of this bot."""
        bot.http.request = self.request
        state = bot._connection
        state.application_id = BOT
        state.user = discord.ClientUser(state=state, data=user(BOT))

    async def request(self, route, *, files=None, form=None, json=None, **more):
        """What `discord.http.HTTPClient.request` answers."""
        await asyncio.sleep(0)
        payload = _payload(form) if form else json
        if route.path.endswith("/commands"):
            self.commands = payload
            return []
        if route.method == "POST":
            return self.say(payload, files)
        return self.edit(int(re.search(r"messages/(\d+)", route.url)[1]), payload, files)

    async def adapt(self, adapter, route, session, *, payload=None, multipart=None, files=None, **more):
        """What `AsyncWebhookAdapter.request` answers: for interactions."""
        message = _payload(multipart) if multipart else payload
        if route.method == "GET":
            return self.shown(max(self.messages))
        if route.method == "PATCH":
            return self.edit(max(self.messages), message, files)
        if message["type"] == 5:
            return self.called(self.say({"content": "thinking", "allowed_mentions": {"parse": []}}, files))
        if message["type"] == 4:
            data = message["data"]
            if data.get("flags", 0) & 64:
                self.asides.append(data["content"])
                return self.called(None)
            return self.called(self.say(data, files))
        return self.called(None)

    def called(self, message):
        """Discord's answer to the answer to an interaction."""
        interaction = {"id": "1", "type": 2, "response_message_id": message["id"] if message else None}
        return {"interaction": interaction, "resource": {"type": 4, "message": message} if message else None}

    def say(self, payload, files):
        number = next(self.numbers)
        self.messages[number] = {}
        self.keep(number, payload, files)
        return self.shown(number)

    def edit(self, number, payload, files):
        now = time.monotonic()
        self.edited_at = [at for at in self.edited_at if now - at < self.window]
        if len(self.edited_at) >= 5:
            self.too_fast += 1
        self.edited_at.append(now)
        if self.limited:
            self.limited -= 1
            raise discord.RateLimited(0.01)
        if number not in self.messages:
            raise refusal(discord.NotFound, 404, 10008)
        self.keep(number, payload, files)
        return self.shown(number)

    def keep(self, number, payload, files):
        files = {file.filename: file.fp.read() for file in files or ()}
        if files and not self.attach:
            raise refusal(discord.Forbidden, 403, 50013)
        if sum(map(len, files.values())) > self.most_bytes:
            raise refusal(discord.HTTPException, 413, 40005)
        if len(payload.get("content") or "") > 2000:
            raise refusal(discord.HTTPException, 400, 50035)
        assert payload["allowed_mentions"]["parse"] == [], "nobody is called"
        rows = payload.get("components") or []
        labels = [button["label"] for row in rows for button in row["components"]]
        self.messages[number] = {"content": payload["content"], "files": files, "buttons": labels}
        self.history.append(self.messages[number])

    def shown(self, number):
        """A message as Discord sends it."""
        return message(number, self.messages[number]["content"], BOT)


def _payload(form):
    return json.loads(next(part["value"] for part in form if part["name"] == "payload_json"))


def message(number, content, author, attachments=()):
    lists = ("embeds", "mentions", "mention_roles", "components")
    flags = {"mention_everyone": False, "pinned": False, "tts": False, "flags": 0, "type": 0, "edited_timestamp": None}
    payload = {
        "id": str(number),
        "channel_id": str(CHANNEL),
        "content": content,
        "author": user(author),
        "timestamp": NOW,
    }
    return {**payload, **flags, **{name: [] for name in lists}, "attachments": list(attachments)}


def interaction(kind, data, author=ADA):
    """`/imagine` (kind 2) or a button (kind 3) as Discord sends it."""
    payload = {"id": "77", "application_id": str(BOT), "type": kind, "token": "t", "version": 1, "data": data}
    place = {"channel_id": str(CHANNEL), "channel": {"id": str(CHANNEL), "type": 1}, "user": user(author)}
    rest = {"entitlements": [], "authorizing_integration_owners": {}, "attachment_size_limit": 10**7}
    return {**payload, **place, **rest, "locale": "en-US"}


def command(author=ADA, picture=None, **options):
    kinds = {str: 3, int: 4}
    inputs = [{"name": name, "type": kinds[type(value)], "value": value} for name, value in options.items()]
    data = {"id": "5", "name": "imagine", "type": 1, "options": inputs}
    if picture:
        inputs.append({"name": "picture", "type": 11, "value": picture["id"]})
        data["resolved"] = {"attachments": {picture["id"]: picture}}
    return interaction(2, data, author)


def press(act, job, author=ADA):
    payload = {"component_type": 2, "custom_id": f"vqclip:{act}:{job}"}
    button = {"type": 2, "style": 2, "label": act, "custom_id": payload["custom_id"]}
    under = message(500, "", BOT) | {"components": [{"type": 1, "components": [button]}]}
    return interaction(3, payload, author) | {"message": under}
