"""Importing: files of other tools, read as settings. Nothing in a file is executed, and no path in it is opened."""

from pathlib import Path

from vqclip_nb.compat.importing import commands, documents, pictures, translate
from vqclip_nb.compat.importing.imported import Imported
from vqclip_nb.documents import text_of
from vqclip_nb.errors import SettingsError

COMMANDS = (".txt", ".md", ".sh", ".bash", ".bat", ".cmd", "")


def read(path: Path) -> list[Imported]:
    """The settings in a file of another tool; a script has settings for each of its commands.

    A script or text with commands of generate.py, dream or imagine; a PNG or JPEG of pixray, rkhamilton, nerdyrodent or
    the notebook; a settings file (JSON, YAML, text) of pixray, rkhamilton, pytti, Disco Diffusion or DiscoArt; a
    notebook with the fields of one of these. Raises SettingsError, in one line, for anything else.
    """
    suffix = path.suffix.lower()
    if suffix in pictures.SUFFIXES:
        return [pictures.read(path)]
    text = text_of(path)
    if suffix in COMMANDS and not text.lstrip().startswith("{") and (results := commands.read(text)):
        return results
    values = documents.fields_of_notebook(text, path) if suffix == ".ipynb" else documents.mapping(text, path)
    if values is None:
        expectation = "a command of generate.py, dream or imagine, or the settings of a tool"
        raise SettingsError(f"{str(path)!r} holds no known settings; it must hold {expectation}")
    return [translate.translate(values, path)]
