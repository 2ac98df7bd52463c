"""`vqclip models`: what there is, what is on the disk, and fetching, checking, removing and adding."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from vqclip_nb.models import CannotFetch, catalog, download
from vqclip_nb.models.ready import ready, size_of
from vqclip_nb.paths import expanded


def add(subparsers: Any) -> None:
    """Add the command to the `vqclip` parser."""
    parser = subparsers.add_parser("models", help="list the models; get, check, remove or add one")
    parser.set_defaults(run=show, parser=parser)
    actions = parser.add_subparsers(metavar="get | check | remove | add")
    for name, (run, said) in ACTIONS.items():
        action = actions.add_parser(name, help=said, description=said)
        action.set_defaults(run=run, parser=action)
        if name == "add":
            action.add_argument("name", help="a new name; the canvas is then vqgan/NAME")
            action.add_argument("--config", required=True, metavar="F", help="its taming YAML file, by path or address")
            action.add_argument("--weights", required=True, metavar="F", help="its checkpoint, by path or address")
        else:
            action.add_argument("names", nargs="+", metavar="NAME", help="as `vqclip models` lists it")
        if name == "get":
            action.add_argument("--keep", action="store_true", help="copy to the second home too (VQCLIP_SECOND_HOME)")


def show(arguments: argparse.Namespace) -> int:
    """Print every model with what is known of it and whether it is on the disk."""
    for kind, used_as in catalog.KINDS.items():
        print(f"\n{kind} ({used_as})")
        for entry in catalog.entries(kind):
            print(f"  {'*' if entry.on_disk else ' '} {entry.name:20} {size_of(entry):>12}  {_said(entry)}")
    print("\nlanguage (imagine-prompts, which fetches it)")
    language = catalog.language_model()
    print(f"    {language.name:20} {language.size / 1e6:>9,.0f} MB  {language.good_at}")
    print(f"\n* on the disk, in {catalog.home()}. `vqclip models get NAME` fetches one.")
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Fetch models, with one progress bar for all of them."""
    entries = [catalog.info(name) for name in arguments.names]
    ready(entries)
    for entry in entries:
        if arguments.keep:
            print(f"{entry.full_name}: copied to {keep(entry)}")
        else:
            print(f"{entry.full_name}: {entry.files()[0]}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Read models' files whole and compare their hashes with the published ones."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {checked(entry)}")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Delete models' files."""
    for entry in [catalog.info(name) for name in arguments.names]:
        print(f"{entry.full_name}: {removed(entry) / 1e6:,.0f} MB freed")
    return 0


def enter(arguments: argparse.Namespace) -> int:
    """Enter a person's own VQGAN, fetch its weights and load them once; nothing stays behind when that fails."""
    from vqclip_nb.models import load_vqgan
    from vqclip_nb.models.vqgan_config import VQGANConfig

    with download.borrowed(arguments.config) as path:
        config = VQGANConfig.read(path).to_taming()
    entry = added(arguments.name, config, arguments.weights)
    try:
        ready([entry])
        load_vqgan(entry.name)
    except BaseException:
        removed(entry)
        raise
    print(f"{entry.full_name} is ready: vqclip paint --canvas {entry.full_name} PROMPT")
    return 0


def added(name: str, config: dict[str, Any], weights: str) -> catalog.Entry:
    """Enter a person's own VQGAN under `name`: its config (target, params) and the path or address of its weights."""
    if not name or any(not (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise ValueError(f"name must be letters, digits, '-', '_' and '.', got {name!r}")
    if any(name in (entry.name, *entry.aliases) for entry in catalog.entries("vqgan")):
        raise ValueError(f"name must be a new one, and {name!r} is taken; `vqclip models remove {name}` frees your own")
    address = weights if "://" in weights else str(expanded(weights).resolve())
    file = Path(weights.partition("?")[0]).name or "weights.ckpt"
    sources = (catalog.Source(file, (address,)),)
    entry = catalog.Entry("vqgan", name, "your own", "yours to know", config=config, sources=sources, added=True)
    catalog.save(entry)
    return entry


def keep(entry: catalog.Entry) -> Path:
    """Copy a model's published file to the second home. Raises `CannotFetch` when there is no such folder or file."""
    there, path = download.second_home(), download.published(entry)
    if there is None or path is None:
        lacks = "VQCLIP_SECOND_HOME names no folder" if there is None else f"{entry.full_name} is not on the disk"
        raise CannotFetch(f"{lacks}, so nothing was copied")
    target = there / path.relative_to(catalog.home())
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    download.copied(path, part, lambda done: None)
    os.replace(part, target)
    return target


def checked(entry: catalog.Entry) -> str:
    """Read a model's files whole and say in a sentence that they are right. Raises `CannotFetch` naming a wrong one."""
    import pooch

    from vqclip_nb.models.checkpoints import read_safetensors

    if not entry.on_disk:
        raise CannotFetch(f"{entry.full_name} is not on the disk; `vqclip models get {entry.name}` fetches it")
    said = []
    for path in entry.files():
        if path.suffix == ".safetensors":
            read_safetensors(path)
        source = next((source for source in entry.sources if source.file == path.name), None)
        if source is None:
            said.append(f"{path.name} is whole")
            continue
        sha256 = pooch.file_hash(str(path))
        if source.sha256 and sha256 != source.sha256:
            remedy = f"`vqclip models remove {entry.name}`, then `get` it again"
            raise CannotFetch(f"{path} has sha256 {sha256}, published is {source.sha256}; {remedy}")
        said.append(f"{path.name} has sha256 {sha256}, " + ("as published" if source.sha256 else "none is published"))
    return "; ".join(said)


def removed(entry: catalog.Entry) -> int:
    """Delete a model's files from the disk; returns the bytes that this freed. The packaged pair stays."""
    if entry.packaged:
        raise ValueError(f"{entry.full_name} is part of the package and cannot be removed")
    if not entry.folder.is_dir():
        return 0
    freed = sum(path.stat().st_size for path in entry.folder.iterdir() if path.is_file())
    shutil.rmtree(entry.folder)
    return freed


ACTIONS = {
    "get": (get, "fetch models"),
    "check": (check, "compare models on the disk with their published hashes"),
    "remove": (remove, "delete models from the disk"),
    "add": (enter, "use a VQGAN of your own"),
}


def _said(entry: catalog.Entry) -> str:
    said = [entry.good_at]
    if not entry.alive and not entry.on_disk:
        said.append("no address is alive")
    elif not entry.packaged and entry.sha256 is None:
        said.append("sha256 unknown")
    return "; ".join(said)
