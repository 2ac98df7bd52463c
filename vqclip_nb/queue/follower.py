"""The follower: edits a job's message on Discord as the picture grows, whatever Discord says to that."""

import asyncio
import io
from collections import defaultdict
from typing import Any

import discord

from vqclip_nb.queue.board import Board
from vqclip_nb.queue.buttons import buttons
from vqclip_nb.queue.posts import Post, Posts
from vqclip_nb.queue.records import NoSuchJob

MOST_LETTERS = 2000  # of a message
EDIT_GAP = 1.2  # seconds between two edits in a channel: Discord allows five in five seconds
LOOK_EVERY = 2.5  # seconds between two looks at a job
MOST_BYTES = 10 * 2**20  # of all files of a message, where the server does not say more
TRIES = 6  # to write the end of a job
TOO_LARGE = (413, 40005)
NO_FILES = "I may not attach files here: give me the permission Attach Files."


class Follower:
    """Edits messages. One at a time in a channel, and never faster than Discord allows."""

    def __init__(self, board: Board, posts: Posts) -> None:
        self.board, self.posts = board, posts
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._no_files: set[int] = set()  # channels where files may not be attached

    async def follow(self, post: Post, message: Any) -> None:
        """Edit a message until its job has ended. One that was deleted cancels its job."""
        last_state: tuple[Any, ...] = ()
        while True:
            try:
                view = await self.board.progress(post.job)
            except NoSuchJob:
                break
            if view["state"] not in ("waiting", "painting"):
                await self._end(post, message, view)
                break
            now = (view["state"], view["place"], view["step"])
            if now != last_state and not await self._edit(post, message, view):
                break
            last_state = now
            await asyncio.sleep(LOOK_EVERY)
        self.posts.forget(post)

    async def _edit(self, post: Post, message: Any, view: dict[str, Any]) -> bool:
        """Show how far a job is. Whether to go on."""
        try:
            await self._write(post, message, view, ("preview",))
        except discord.NotFound:
            await asyncio.to_thread(self.board.store.cancel, post.job)
            return False
        except discord.Forbidden:
            return False  # the bot may not even write here any more; the job goes on
        except discord.RateLimited as limited:
            await asyncio.sleep(min(limited.retry_after, 60))
        except (discord.HTTPException, OSError):
            pass  # the next edit shows more
        return True

    async def _end(self, post: Post, message: Any, view: dict[str, Any]) -> None:
        """Show the picture and the film; without the film where they are too large together."""
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
        """Edit a message in its turn; without files where they are not allowed."""
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
        """The files of a job, as long as there is room for them in a message."""
        job, files = self.board.store.job(view["id"]), []
        for name in names:
            path = self.board.preview(job, job.step) if name == "preview" else self.board.file(job, name)
            if path is not None and (size := path.stat().st_size) <= most:
                most -= size
                files.append(discord.File(io.BytesIO(path.read_bytes()), f"{job.run}{path.suffix}"))
        return files


def room(message: Any) -> int:
    """The bytes that may be attached to a message."""
    guild = getattr(message, "guild", None)
    return guild.filesize_limit if guild else MOST_BYTES


def words(view: dict[str, Any], note: str = "") -> str:
    """What a message says of a job, within the letters that Discord allows. No word of a prompt is markup or a call."""
    place = view["place"]
    sentence = {
        "waiting": "You are next." if place == 1 else f"Place {place} in the queue.",
        "painting": f"Step {view['step']} of {view['steps']}" if view["step"] else "The painting begins.",
        "done": f"Seed {view['seed']}, {view['steps']} steps",
        "cancelled": f"Cancelled at step {view['step']} of {view['steps']}",
        "failed": f"It failed: {view['error']}",
    }[view["state"]]
    rest = "\n".join(part for part in (sentence, note) if part)[:1000]
    return f"**{shortened(discord.utils.escape_markdown(view['prompt']), MOST_LETTERS - len(rest) - 5)}**\n{rest}"


def shortened(text: str, most: int) -> str:
    """Shorten a text to `most` letters, without cutting an escape in two."""
    return text if len(text) <= most else text[: most - 1].rstrip("\\") + "…"
