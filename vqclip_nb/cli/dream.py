"""`vqclip dream`: the options of Big Sleep, on this package's loop."""

import argparse
from typing import Any

from vqclip_nb.cli._peers import add_fire, options_from, paint
from vqclip_nb.compat.dream import TOOL, plan


def add(subparsers: Any) -> None:
    """Add the command, with each option of the tool."""
    add_fire(
        subparsers, TOOL, dream, 'vqclip dream "a pyramid made of ice" --save_progress --iterations 200 --epochs 1'
    )


def dream(arguments: argparse.Namespace) -> int:
    """Paint, and write the picture where Big Sleep would have."""
    return paint(plan(options_from(arguments, TOOL)), arguments)
