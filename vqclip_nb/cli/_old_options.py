"""Options of other tools, and what each corresponds to in `vqclip`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vqclip_nb.fields import fields

# Options of several tools, or with another meaning here; the tables of `compat` have all others.
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
OTHERWISE = {"--save_every"}  # with a dash it is an option of ours, with another meaning


def old_option(word: str) -> str | None:
    """What an option of another tool corresponds to, as the rest of a sentence, or None if no tool has it."""
    if word in OTHERWISE:
        return f"here it is {_COMMON['-se']}"
    if meaning := _COMMON.get(word.replace("_", "-")):
        return f"here it is {meaning}"
    name = word.lstrip("-").replace("-", "_")
    for row in _rows():
        if word in row.names or name in row.names:
            return row.answer
    return None


@dataclass(frozen=True)
class _Row:
    """A table's row about options. alone: it is about one option. command: the command that takes it, or ""."""

    names: tuple[str, ...]
    fate: str
    meaning: str
    alone: bool = True
    command: str = ""

    @property
    def answer(self) -> str:
        """The hint for somebody who typed it after another command."""
        if self.fate in ("moot", "refused", "missing"):
            return self.meaning
        if self.fate == "file" and self.command:
            return f"`vqclip {self.command}` takes it: {self.meaning}"
        ours = {"--" + field.name.replace("_", "-") for field in fields()}
        flags = [flag for flag in re.findall(r"`(--[^`]+)`", self.meaning) if flag.split()[0] in ours]
        plain = self.alone and len({flag.split()[0] for flag in flags}) == 1
        return f"here it is {flags[0]}" if plain else f"here: {self.meaning.replace('`', '')}"


def _rows() -> Iterator[_Row]:
    from vqclip_nb.compat import dream, generate, imagine, notebook
    from vqclip_nb.compat.other_tools import peers

    for tool in (generate.TOOL, dream.TOOL, imagine.TOOL, notebook.TOOL):
        command = "" if tool is notebook.TOOL else tool.command
        for option in tool.options:
            yield _Row((option.name, option.short or option.name), option.fate, option.here, command=command)
    for peer in peers().values():
        for row in peer.rows:
            yield _Row(row.names, row.fate, row.answer, len(row.names) == 1)
