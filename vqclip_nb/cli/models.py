"""`vqclip models`: lists, downloads, checks, removes and adds models."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vqclip_nb.cli._shell import command
from vqclip_nb.models import CannotFetch, catalog, download, transfer, user_models
from vqclip_nb.models.missing import download_missing, size_text


def add(subparsers: Any) -> None:
    """Add the command to the `vqclip` parser."""
    parser = subparsers.add_parser("models", help="list the models; get, check, remove or add one")
    parser.set_defaults(run=_clear_leftovers_first(show), parser=parser)
    actions = parser.add_subparsers(metavar="get | check | remove | add")
    for name, (run, text) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(run=_clear_leftovers_first(run), parser=action)
        if name == "add":
            action.add_argument("name", help="a new name: the canvas is then vqgan/NAME, or the perceptor is NAME")
            action.add_argument("--config", metavar="F", help="a VQGAN's taming YAML file, by path or address")
            action.add_argument("--weights", metavar="F", help="its checkpoint, by path or address")
            action.add_argument(
                "--clip", metavar="F", help="for a CLIP instead: its file in OpenAI's format, by path or address"
            )
        else:
            action.add_argument("names", nargs="+", metavar="NAME", help="a name that `vqclip models` lists")
        if name == "get":
            action.add_argument("--keep", action="store_true", help="also copy it to the folder in VQCLIP_SECOND_HOME")


def _clear_leftovers_first(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Wrap a command: before it runs, files left behind by an interrupted `models add` are deleted."""

    def clear_and_run(arguments: argparse.Namespace) -> int:
        user_models.clear_leftovers(but=arguments.name if run is add_model else None)  # `add` resumes its own download
        return run(arguments)

    return clear_and_run


def show(arguments: argparse.Namespace) -> int:
    """Print all models, with sizes and whether they are on the disk."""
    for kind, used_as in catalog.KINDS.items():
        print(f"\n{kind} ({used_as})")
        for entry in catalog.entries(kind):
            print(f"  {'*' if entry.on_disk else ' '} {entry.name:20} {size_text(entry):>12}  {_notes(entry)}")
    print("\nlanguage (used and downloaded by imagine-prompts)")
    language = catalog.language_model()
    print(f"    {language.name:20} {language.size / 1e6:>9,.0f} MB  {language.good_at}")
    print(f"\n* on the disk, in {catalog.home()}. `vqclip models get NAME` downloads one.")
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Download models, with one progress bar for all."""
    entries = [catalog.info(name) for name in arguments.names]
    download_missing(entries)
    for entry in entries:
        if arguments.keep:
            print(f"{entry.full_name}: copied to {copy_to_second_home(entry)}")
        else:
            print(f"{entry.full_name}: {entry.files()[0]}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Compare the hashes of models' files with the published ones."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {check_model(entry)}")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Delete models' files."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {remove_model(entry) / 1e6:,.0f} MB freed")
    return 0


def add_model(arguments: argparse.Namespace) -> int:
    """Add the user's own VQGAN or CLIP. It is downloaded and loaded once; if that fails, it is not added."""
    from vqclip_nb.models import load
    from vqclip_nb.models.vqgan_config import VQGANConfig

    if arguments.clip and (arguments.config or arguments.weights):
        raise ValueError("--clip cannot be combined with --config and --weights, which are for a VQGAN")
    if arguments.clip:
        entry = user_models.new_entry("clip", arguments.name, arguments.clip)
        use = command("vqclip", "paint", "PROMPT", "--perceptor", entry.name)
    elif arguments.config and arguments.weights:
        with download.open_source(arguments.config) as path:
            config = VQGANConfig.read(path).to_taming()
        entry = user_models.new_entry("vqgan", arguments.name, arguments.weights, config)
        use = command("vqclip", "paint", "PROMPT", "--canvas", entry.full_name)
    else:
        raise ValueError("a VQGAN needs --config FILE and --weights FILE, a CLIP needs --clip FILE")
    user_models.add(entry, lambda entry: download_missing([entry]), load.clip_of if arguments.clip else load.vqgan_of)
    print(f"{entry.full_name} is ready: {use}")
    return 0


def copy_to_second_home(entry: catalog.Entry) -> Path:
    """Copy a model's published file to the folder in VQCLIP_SECOND_HOME; returns the path of the copy.

    Raises `CannotFetch` when the folder or the file is missing.
    """
    folder, path = download.second_home(), download.published_file(entry)
    if folder is None or path is None:
        problem = "VQCLIP_SECOND_HOME is not a folder" if folder is None else f"{entry.full_name} is not on the disk"
        raise CannotFetch(f"{problem}, so nothing was copied")
    target = folder / path.relative_to(catalog.home())
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    transfer.copy_file(path, part, lambda done: None)
    os.replace(part, target)
    return target


def check_model(entry: catalog.Entry) -> str:
    """Check a model's files, and return a sentence about each. Raises `CannotFetch` if a file is wrong."""
    import pooch

    from vqclip_nb.models.checkpoints import read_safetensors

    if not entry.on_disk:
        raise CannotFetch(f"{entry.full_name} is not on the disk; `vqclip models get {entry.name}` downloads it")
    sentences = []
    for path in entry.files():
        if path.suffix == ".safetensors":
            read_safetensors(path)
        source = next((source for source in entry.sources if source.file == path.name), None)
        if source is None:
            sentences.append(f"{path.name} is intact")
            continue
        sha256 = pooch.file_hash(str(path))
        if source.sha256 and sha256 != source.sha256:
            action = "add" if entry.added else "get"
            remedy = f"`vqclip models remove {entry.full_name}`, then `{action}` it again"
            expected = "when the model was added it was" if entry.added else "the published one is"
            raise CannotFetch(f"{path} has sha256 {sha256}, but {expected} {source.sha256}; {remedy}")
        comparison = "as when it was added" if entry.added else "as published"
        sentences.append(f"{path.name} has sha256 {sha256}, {comparison if source.sha256 else 'none is published'}")
    return "; ".join(sentences)


def remove_model(entry: catalog.Entry) -> int:
    """Delete a model's files from the disk; returns the number of bytes. Packaged models cannot be removed."""
    if entry.packaged:
        raise ValueError(f"{entry.full_name} is part of the package and cannot be removed")
    if not entry.folder.is_dir():
        return 0
    size = sum(path.stat().st_size for path in entry.folder.iterdir() if path.is_file())
    shutil.rmtree(entry.folder)
    return size


ACTIONS = {
    "get": (get, "download models"),
    "check": (check, "compare models on the disk with their published hashes"),
    "remove": (remove, "delete models from the disk"),
    "add": (add_model, "add a VQGAN or a CLIP of your own"),
}


def _notes(entry: catalog.Entry) -> str:
    facts = [entry.good_at]
    if not entry.alive and not entry.on_disk:
        facts.append("no address works")
    elif not entry.packaged and entry.sha256 is None:
        facts.append("sha256 unknown")
    return "; ".join(facts)
