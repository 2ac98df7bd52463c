"""`vqclip generate`: the options of nerdyrodent's generate.py, on this package's loop."""

import argparse
from typing import Any

from vqclip_nb.cli._peers import add_vqclip_options, options_from, paint, store_words
from vqclip_nb.compat.generate import TOOL, add_options, device_of, plan


def add(subparsers: Any) -> None:
    """Add the command, with all options of the tool, in each of their spellings."""
    parser = subparsers.add_parser(
        "generate",
        help="nerdyrodent's generate.py, with the same options",
        description="Paint with the options of generate.py of nerdyrodent's VQGAN-CLIP. The picture is written to "
        "the file of -o, and the run is kept in a folder too. Published models are downloaded on first use, 1.3 GB.",
        epilog='for example: vqclip generate -p "a painting of an apple in a fruit bowl" -i 300 -s 256 256',
    )
    parser.explain = lambda word: None
    add_options(parser)
    add_vqclip_options(parser)
    store_words(parser)
    parser.set_defaults(run=generate, parser=parser)


def generate(arguments: argparse.Namespace) -> int:
    """Paint, and write the picture where generate.py would have."""
    return paint(plan(options_from(arguments, TOOL), memory=_gpu_memory(arguments)), arguments)


def _gpu_memory(arguments: argparse.Namespace) -> int | None:
    """The GPU's memory in bytes; None without a GPU, or when it is not needed for the default size."""
    if "size" in arguments or arguments.demo:
        return None
    import torch

    from vqclip_nb import device

    target = device.choose(device_of(vars(arguments)))
    return torch.cuda.get_device_properties(target).total_memory if target.type == "cuda" else None
