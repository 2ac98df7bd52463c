"""`vqclip imagine`: the options of Deep Daze, on this package's loop."""

import argparse
from typing import Any

from vqclip_nb.cli._peers import add_fire, options_from, paint
from vqclip_nb.compat.imagine import TOOL, plan


def add(subparsers: Any) -> None:
    """Add the command, with each option of the tool."""
    add_fire(
        subparsers, TOOL, imagine, 'vqclip imagine "a house in the forest" --num_layers 16 --epochs 1 --iterations 200'
    )


def imagine(arguments: argparse.Namespace) -> int:
    """Paint, and write the picture where Deep Daze would have."""
    return paint(plan(options_from(arguments, TOOL)), arguments)
