"""Buttons under a message on Discord. A button's id says what it does, so that it works after the bot has restarted."""

from typing import Any

import discord

LABELS = {
    "seed": "Another seed",
    "variations": "Variations",
    "more": "More steps",
    "settings": "Upload settings",
    "cancel": "Cancel",
}


_ID = r"vqclip:(?P<act>[a-z]+):(?P<job>[0-9a-f]{16})"


class JobButton(discord.ui.DynamicItem[discord.ui.Button], template=_ID):  # type: ignore[call-arg]
    """A button that does something with a job."""

    def __init__(self, act: str, job: str) -> None:
        style = discord.ButtonStyle.danger if act == "cancel" else discord.ButtonStyle.secondary
        super().__init__(discord.ui.Button(label=LABELS[act], custom_id=f"vqclip:{act}:{job}", style=style))
        self.act, self.job = act, job

    @classmethod
    async def from_custom_id(cls, interaction: Any, item: Any, match: Any, /) -> "JobButton":
        """Build the button that was pressed from its id."""
        return cls(match["act"], match["job"])

    async def callback(self, interaction: Any) -> None:
        """Pass the press to the bot."""
        await interaction.client.pressed(self.act, self.job, interaction)


def buttons(view: dict[str, Any]) -> discord.ui.View:
    """The buttons for a job in its present state."""
    if view["state"] in ("waiting", "painting"):
        acts = ["cancel"]
    elif view["state"] == "done":
        acts = ["seed", "variations", "more", "settings"]
    else:
        acts = ["seed"]
    row = discord.ui.View(timeout=None)
    for act in acts:
        row.add_item(JobButton(act, view["id"]))
    return row
