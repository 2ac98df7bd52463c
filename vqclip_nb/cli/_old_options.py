"""Options of other tools, and the options of `vqclip` that do the same."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vqclip_nb.fields import fields

# Options that several tools have, or that mean something else in vqclip. The others are in the tables of `compat`.
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
    "-se": "--every, but every picture is kept anyway; --save-every is how often the state is saved",
    "--save-progress": "--every, but every picture is kept anyway",
    "--num-layers": "--canvas siren --layers",
}
CONFLICTS = {"--save_every"}  # vqclip's --save-every means something else


def old_option(word: str) -> str | None:
    """What to use instead of an option of another tool, as the end of a sentence; None if no tool has the option."""
    if word in CONFLICTS:
        return f"in vqclip it is {_COMMON['-se']}"
    if meaning := _COMMON.get(word.replace("_", "-")):
        return f"in vqclip it is {meaning}"
    name = word.lstrip("-").replace("-", "_")
    for row in _rows():
        if word in row.names or name in row.names:
            return row.answer
    return None


@dataclass(frozen=True)
class _Row:
    """A row of a tool's table of options.

    fate: as in `compat.options.Option`. is_single: whether it is about one option. command: the command of vqclip that
    has the same option, or "".
    """

    names: tuple[str, ...]
    fate: str
    meaning: str
    is_single: bool = True
    command: str = ""

    @property
    def answer(self) -> str:
        """The hint in the error message when the option is used with a command that does not have it."""
        if self.fate in ("moot", "refused", "missing"):
            return self.meaning
        if self.fate == "file" and self.command:
            return f"`vqclip {self.command}` has it: {self.meaning}"
        known_flags = {"--" + field.name.replace("_", "-") for field in fields()}
        flags = [flag for flag in re.findall(r"`(--[^`]+)`", self.meaning) if flag.split()[0] in known_flags]
        has_one_flag = self.is_single and len({flag.split()[0] for flag in flags}) == 1
        return f"in vqclip it is {flags[0]}" if has_one_flag else f"in vqclip: {self.meaning.replace('`', '')}"


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
