"""Options of other tools, typed after a command of ours: what each is here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vqclip_nb.fields import fields

# Those that are common to several tools, or mean something else here; the tables of `compat` have all the others.
_COMMON = {
    **dict.fromkeys(("-p", "--prompt", "--prompts", "--text", "--texts"), "the prompt itself, without an option"),
    **dict.fromkeys(("-i", "--iterations", "--max-iterations"), "--steps"),
    "--epochs": "--steps, which are epochs times iterations",
    **dict.fromkeys(("-cuts", "--num-cuts", "--num-cutouts"), "--cutn"),
    **dict.fromkeys(("-lr", "--learning-rate", "--step-size", "--lrate"), "--lr"),
    **dict.fromkeys(("-s", "--image-size", "--image-width", "--width", "--height"), "--size W H"),
    **dict.fromkeys(("-m", "--clip-model", "--clip-models", "--model-name"), "--perceptor"),
    **dict.fromkeys(("-conf", "--vqgan-config", "-ckpt", "--vqgan-checkpoint"), "--canvas vqgan/MODEL"),
    **dict.fromkeys(("-o", "--output"), "--out"),
    "-se": "--every, and every picture is kept anyway; --save-every is how often the state is kept",
    "--save-progress": "--every, and every picture is kept anyway",
    "--num-layers": "--canvas siren --layers",
}
OTHERWISE = {"--save_every"}  # of which ours, with a dash, is something else


def old_option(word: str) -> str | None:
    """What an option of another tool is here, as the rest of a sentence, or None for one that none has."""
    if word in OTHERWISE:
        return f"here it is {_COMMON['-se']}"
    if said := _COMMON.get(word.replace("_", "-")):
        return f"here it is {said}"
    name = word.lstrip("-").replace("-", "_")
    for row in _rows():
        if word in row.names or name in row.names:
            return row.answer
    return None


@dataclass(frozen=True)
class _Row:
    """What a table says of an option. alone: of that option alone. command: the one that takes it, or ""."""

    names: tuple[str, ...]
    fate: str
    said: str
    alone: bool = True
    command: str = ""

    @property
    def answer(self) -> str:
        """To somebody who typed it after another command."""
        if self.fate in ("moot", "refused", "missing"):
            return self.said
        if self.fate == "file" and self.command:
            return f"`vqclip {self.command}` takes it: {self.said}"
        ours = {"--" + field.name.replace("_", "-") for field in fields()}
        flags = [flag for flag in re.findall(r"`(--[^`]+)`", self.said) if flag.split()[0] in ours]
        plain = self.alone and len({flag.split()[0] for flag in flags}) == 1
        return f"here it is {flags[0]}" if plain else f"here: {self.said.replace('`', '')}"


def _rows() -> Iterator[_Row]:
    from vqclip_nb.compat import dream, generate, imagine, notebook
    from vqclip_nb.compat.elsewhere import peers

    for tool in (generate.TOOL, dream.TOOL, imagine.TOOL, notebook.TOOL):
        command = "" if tool is notebook.TOOL else tool.command
        for option in tool.options:
            yield _Row((option.name, option.short or option.name), option.fate, option.here, command=command)
    for peer in peers().values():
        for row in peer.rows:
            yield _Row(row.names, row.fate, row.said, len(row.names) == 1)
