"""The connection to Discord. Its errors are one line each and never contain the token."""

import asyncio
from collections.abc import Callable

import discord

from vqclip_nb.errors import RunError
from vqclip_nb.queue.bot import Bot
from vqclip_nb.queue.limits import Limits
from vqclip_nb.queue.store import Store

NO_CONTENT = (
    "Discord does not let the bot read messages: switch on Message Content Intent at discord.com/developers, "
    "or leave out .imagine with --slash-only"
)


def connect(store: Store, limits: Limits, token: str, *, dot: bool, tell: Callable[[str], object]) -> None:
    """Run the bot until Ctrl-C; call `tell` with a message once it is on Discord.

    Raises RunError, in one line without the token.
    """
    message = None
    try:
        asyncio.run(_serve(Bot(store, limits, dot=dot, tell=tell), token))
    except KeyboardInterrupt:
        pass
    except discord.LoginFailure:
        message = "Discord does not know the token in DISCORD_TOKEN; copy it anew from discord.com/developers"
    except discord.PrivilegedIntentsRequired:
        message = NO_CONTENT
    except (discord.DiscordException, OSError) as error:
        message = f"Discord cannot be reached: {' '.join(str(error).split()) or type(error).__name__}"
    except ValueError:  # the token has letters that a header cannot contain
        message = "DISCORD_TOKEN must hold the bot's token alone, without other letters"
    if message:
        raise RunError(message.replace(token, "…"))  # outside `except`, so that no chained error shows the token


async def _serve(bot: Bot, token: str) -> None:
    async with bot:
        await bot.start(token)
