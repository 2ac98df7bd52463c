"""Options of other tools, typed after a command of ours: what each is here."""

import re
from collections.abc import Iterator

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
    for names, fate, said in _rows():
        if word in names or name in names:
            if fate in ("moot", "refused", "missing"):
                return said
            flag = re.search(r"`(--[^`]+)`", said)
            return f"here it is {flag[1] if flag else said.replace('`', '')}"
    return None


def _rows() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """The names, the fate and the answer of each option of each tool."""
    from vqclip_nb.compat import dream, generate, imagine, notebook
    from vqclip_nb.compat.elsewhere import peers

    for tool in (generate.TOOL, dream.TOOL, imagine.TOOL, notebook.TOOL):
        for option in tool.options:
            yield (option.name, option.short or option.name), option.fate, option.here
    for peer in peers().values():
        for row in peer.rows:
            yield row.names, row.fate, row.said
