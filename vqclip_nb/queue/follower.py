"""The follower: edits a job's message on Discord as the picture grows, and survives Discord's errors."""

import asyncio
import io
from collections import defaultdict
from typing import Any

import discord

from vqclip_nb.queue.buttons import buttons
from vqclip_nb.queue.posts import Post, Posts
from vqclip_nb.queue.records import NoSuchJob
from vqclip_nb.queue.views import QueueViews

MOST_LETTERS = 2000  # of a message
EDIT_GAP = 1.2  # seconds between two edits in a channel: Discord allows five in five seconds
POLL_INTERVAL = 2.5  # seconds between two polls of a job
MOST_BYTES = 10 * 2**20  # of all files of a message, unless the Discord server allows more
TRIES = 6  # attempts to write the end of a job
TOO_LARGE = (413, 40005)
NO_FILES = "I may not attach files here: give me the permission Attach Files."


class Follower:
    """Edits messages, one at a time in each channel, and never faster than Discord allows."""

    def __init__(self, views: QueueViews, posts: Posts) -> None:
        self.views, self.posts = views, posts
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._no_files: set[int] = set()  # channels where the bot may not attach files

    async def follow(self, post: Post, message: Any) -> None:
        """Edit a message until its job has ended. If the message was deleted, its job is cancelled."""
        last_state: tuple[Any, ...] = ()
        while True:
            try:
                view = await self.views.progress(post.job)
            except NoSuchJob:
                break
            if view["state"] not in ("waiting", "painting"):
                await self._end(post, message, view)
                break
            now = (view["state"], view["place"], view["step"])
            if now != last_state and not await self._edit(post, message, view):
                break
            last_state = now
            await asyncio.sleep(POLL_INTERVAL)
        self.posts.forget(post)

    async def _edit(self, post: Post, message: Any, view: dict[str, Any]) -> bool:
        """Show a job's progress. Returns whether to continue."""
        try:
            await self._write(post, message, view, ("preview",))
        except discord.NotFound:
            await asyncio.to_thread(self.views.store.cancel, post.job)
            return False
        except discord.Forbidden:
            return False  # the bot may no longer write here; the job continues
        except discord.RateLimited as limited:
            await asyncio.sleep(min(limited.retry_after, 60))
        except (discord.HTTPException, OSError):
            pass  # the next edit shows more
        return True

    async def _end(self, post: Post, message: Any, view: dict[str, Any]) -> None:
        """Show the picture and the film, or the picture alone if both together are too large."""
        files: tuple[str, ...] = ("picture", "film")
        for attempt in range(TRIES):
            try:
                await self._write(post, message, view, files)
                return
            except (discord.NotFound, discord.Forbidden):
                return
            except discord.RateLimited as limited:
                await asyncio.sleep(min(limited.retry_after, 60))
            except discord.HTTPException as error:
                if {error.status, error.code} & set(TOO_LARGE):
                    files = files[:-1]
                else:
                    await asyncio.sleep(EDIT_GAP * 2**attempt)
            except OSError:
                await asyncio.sleep(EDIT_GAP * 2**attempt)

    async def _write(self, post: Post, message: Any, view: dict[str, Any], files: tuple[str, ...]) -> None:
        """Edit a message when its channel is free; without files where the bot may not attach them."""
        async with self._locks[post.channel]:
            try:
                with_file = post.channel not in self._no_files
                attached = await asyncio.to_thread(self._attached, view, files if with_file else (), room(message))
                text = words(view, NO_FILES if not with_file else "")
                await message.edit(content=text, attachments=attached, view=buttons(view))
            except discord.Forbidden:
                if post.channel in self._no_files:
                    raise
                self._no_files.add(post.channel)
                await message.edit(content=words(view, NO_FILES), attachments=[], view=buttons(view))
            finally:
                await asyncio.sleep(EDIT_GAP)

    def _attached(self, view: dict[str, Any], names: tuple[str, ...], most: int) -> list[discord.File]:
        """The files of a job that fit into `most` bytes together."""
        job, files = self.views.store.job(view["id"]), []
        for name in names:
            path = self.views.preview(job, job.step) if name == "preview" else self.views.file(job, name)
            if path is not None and (size := path.stat().st_size) <= most:
                most -= size
                files.append(discord.File(io.BytesIO(path.read_bytes()), f"{job.run}{path.suffix}"))
        return files


def room(message: Any) -> int:
    """The bytes that may be attached to a message."""
    guild = getattr(message, "guild", None)
    return guild.filesize_limit if guild else MOST_BYTES


def words(view: dict[str, Any], note: str = "") -> str:
    """The text of a job's message, within Discord's length limit. Markup in the prompt is escaped."""
    place = view["place"]
    sentence = {
        "waiting": "You are next." if place == 1 else f"Place {place} in the queue.",
        "painting": f"Step {view['step']} of {view['steps']}" if view["step"] else "The painting begins.",
        "done": f"Seed {view['seed']}, {view['steps']} steps",
        "cancelled": f"Cancelled at step {view['step']} of {view['steps']}",
        "failed": f"It failed: {view['error']}",
    }[view["state"]]
    rest = "\n".join(part for part in (sentence, note) if part)[:1000]
    return f"**{shorten(discord.utils.escape_markdown(view['prompt']), MOST_LETTERS - len(rest) - 5)}**\n{rest}"


def shorten(text: str, most: int) -> str:
    """Shorten a text to `most` letters, without splitting an escape sequence."""
    return text if len(text) <= most else text[: most - 1].rstrip("\\") + "…"
