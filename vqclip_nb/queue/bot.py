"""The bot: `.imagine a castle` and `/imagine` on Discord put jobs into the queue, in turns by person."""

import asyncio
import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import discord
from discord import app_commands

from vqclip_nb.errors import PictureError, RunError, SettingsError
from vqclip_nb.queue import job_requests, uploads
from vqclip_nb.queue.buttons import JobButton, buttons
from vqclip_nb.queue.follower import Follower, shorten, words
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.posts import Post, Posts
from vqclip_nb.queue.records import Job, Person
from vqclip_nb.queue.store import Store
from vqclip_nb.queue.views import QueueViews

COMMAND = re.compile(r"\.imagine(?:\s+(?P<prompt>.*))?", re.DOTALL | re.IGNORECASE)
HOW = "Say what to paint: `.imagine a castle at night, a watercolor`"
WRONG = (SettingsError, PictureError, RunError)


class Bot(discord.Client):
    """A Discord client that puts jobs into a store and shows their progress.

    dot: whether it answers `.imagine`, for which Discord must allow the bot to read messages. tell: called with a
    message once the bot is on Discord.
    """

    def __init__(
        self, store: Store, limits: Limits, *, dot: bool = True, tell: Callable[[str], object] = lambda message: None
    ) -> None:
        intents = discord.Intents.none()
        intents.guilds = intents.guild_messages = intents.dm_messages = True
        intents.message_content = dot
        super().__init__(
            intents=intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=30,
            max_messages=None,
        )
        self.store, self.limits, self.dot, self.tell = store, limits, dot, tell
        self.views, self.posts = QueueViews(store, limits), Posts(store.folder)
        self.follower = Follower(self.views, self.posts)
        self.tasks: set[asyncio.Task[None]] = set()
        self.tree = app_commands.CommandTree(self)
        self.tree.add_command(_imagine_command(self))
        self.add_dynamic_items(JobButton)

    async def setup_hook(self) -> None:
        """Register the commands with Discord, and continue the messages of jobs that have not ended."""
        await self.tree.sync()
        for post in self.posts.all():
            channel = self.get_partial_messageable(post.channel)
            self._follow(post, channel.get_partial_message(post.message))

    async def on_ready(self) -> None:
        """Report that the bot is ready."""
        self.tell(f"on Discord as {self.user}; Ctrl-C ends")

    async def on_message(self, message: discord.Message) -> None:
        """Answer `.imagine`."""
        if message.author.bot or not self.dot or not (match := COMMAND.fullmatch(message.content.strip())):
            return
        job_request: dict[str, Any] = {"prompt": (match["prompt"] or "").strip(), "seed": -1}
        try:
            if not job_request["prompt"]:
                raise SettingsError(HOW)
            person = self._person(message.author)
            job = await self._add(person, job_request, message.attachments[:1])
        except WRONG as error:
            await _quietly(message.reply(_line(error), mention_author=False))
            return
        view = self.views.view(job, self.store.place(job.id))
        try:
            answer = await message.reply(words(view), view=buttons(view), mention_author=False)
        except discord.HTTPException:  # the message is gone, or the bot may not write here
            self.store.cancel(job.id)
            return
        self._keep(Post(job.id, answer.channel.id, answer.id), answer)

    async def imagine(self, interaction: Any, job_request: dict[str, Any], picture: Any = None) -> None:
        """Answer `/imagine`, or a button for another picture."""
        if picture:  # Discord waits three seconds for an answer, and a picture may take longer
            await _quietly(interaction.response.defer(thinking=True))
        try:
            job = await self._add(self._person(interaction.user), job_request, [picture] if picture else [])
        except WRONG as error:
            await _refuse(interaction, error)
            return
        await self._answer(interaction, job)

    async def pressed(self, act: str, job: str, interaction: Any) -> None:
        """Carry out a button's action."""
        try:
            job_record, person = self.store.job(job), self._person(interaction.user)
            if act in ("more", "cancel") and job_record.person != person.id:
                raise RunError("only who asked for this picture can do that; `/imagine` begins your own")
            if act == "settings":
                await self._send_settings(interaction, job_record)
            elif act == "cancel":
                await asyncio.to_thread(self.store.cancel, job)
                await interaction.response.defer()
            elif act == "more":
                steps = min(2 * job_record.steps, self.limits.most_steps)
                await self._answer(
                    interaction, await asyncio.to_thread(self.store.continue_job, job, steps, self.limits)
                )
            else:
                job_request = job_requests.request_from(job_record.settings)
                count = self.limits.most_variations if act == "variations" else job_request.get("variations", 1)
                await self.imagine(interaction, {**job_request, "seed": -1, "variations": count})
        except WRONG as error:
            await _refuse(interaction, error)
        except discord.HTTPException:
            pass  # the interaction has expired, or its message was deleted

    async def _answer(self, interaction: Any, job: Job) -> None:
        """Reply at once with a job's place in the queue, and follow the job."""
        view = self.views.view(job, self.store.place(job.id))
        try:
            if interaction.response.is_done():
                answer = await interaction.edit_original_response(content=words(view), view=buttons(view))
            else:
                await interaction.response.send_message(words(view), view=buttons(view))
                answer = await interaction.original_response()
        except discord.HTTPException:
            self.store.cancel(job.id)
            return
        # An interaction can be answered for fifteen minutes only; a message can be edited at any time.
        channel = self.get_partial_messageable(answer.channel.id, guild_id=interaction.guild_id)
        self._keep(Post(job.id, answer.channel.id, answer.id), channel.get_partial_message(answer.id))

    async def _add(self, person: Person, job_request: dict[str, Any], pictures: list[Any]) -> Job:
        """Add a job that begins with the attached picture, if any. Raises as `settings_from` and `save_upload` do."""
        job_requests.settings_from(job_request, self.limits)  # checked before a picture is fetched
        for picture in pictures:
            if picture.size > uploads.MOST_BYTES:
                raise PictureError(f"a picture may have {uploads.MOST_BYTES // 2**20} MB; shrink it")
            try:
                data = await picture.read()
            except discord.HTTPException:
                raise PictureError("the picture cannot be fetched from Discord; send it again") from None
            job_request = {
                **job_request,
                job_requests.PICTURE: await asyncio.to_thread(uploads.save_upload, self.store, data, self.limits),
            }
        return await asyncio.to_thread(
            self.store.add, person, job_requests.settings_from(job_request, self.limits), self.limits
        )

    async def _send_settings(self, interaction: Any, job: Job) -> None:
        if (path := self.views.file(job, "settings")) is None:
            raise RunError("the settings of this picture are gone")
        file = discord.File(io.BytesIO(path.read_bytes()), f"{job.run}-settings.json")
        await interaction.response.send_message(f"`vqclip paint --settings {file.filename}`", file=file)

    def _person(self, user: Any) -> Person:
        return self.store.without_token("discord", str(user.id))

    def _keep(self, post: Post, message: Any) -> None:
        self.posts.add(post)
        self._follow(post, message)

    def _follow(self, post: Post, message: Any) -> None:
        task = asyncio.create_task(self.follower.follow(post, message))
        self.tasks.add(task)  # a reference keeps it from garbage collection
        task.add_done_callback(self.tasks.discard)


def _imagine_command(bot: Bot) -> app_commands.Command[Any, Any, None]:
    @app_commands.command(name="imagine", description="Paint a picture from a sentence")
    @app_commands.describe(
        prompt="what to paint",
        steps="number of updates of the picture",
        seed="the same seed paints the same picture",
        side="pixels of each side",
        picture="a picture to begin with",
    )
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: app_commands.Range[str, 1, 2000],
        steps: app_commands.Range[int, 1] | None = None,
        seed: app_commands.Range[int, 0] | None = None,
        side: app_commands.Range[int, 16] | None = None,
        picture: discord.Attachment | None = None,
    ) -> None:
        values = {"prompt": prompt, "steps": steps, "seed": -1 if seed is None else seed, "size": side}
        job_request = {name: value for name, value in values.items() if value is not None}
        await bot.imagine(interaction, job_request, picture)

    return imagine


def _line(error: Exception) -> str:
    """An error as a message."""
    return shorten(discord.utils.escape_mentions(" ".join(str(error).split())), 1900)


async def _refuse(interaction: Any, error: Exception) -> None:
    """Show an error to the person alone, or in place of a reply that was already promised to all."""
    if interaction.response.is_done():
        await _quietly(interaction.edit_original_response(content=_line(error)))
    else:
        await _quietly(interaction.response.send_message(_line(error), ephemeral=True))


async def _quietly(reply: Any) -> None:
    """Await a reply and ignore Discord's errors."""
    with suppress(discord.HTTPException):
        await reply
