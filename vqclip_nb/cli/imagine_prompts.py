"""`vqclip imagine-prompts`: more prompts like a few examples."""

import argparse
from typing import Any


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "imagine-prompts",
        help="write more prompts like a few examples",
        description="Write prompts like the examples, one a line, by a language model (the prompts extra). Without "
        "one, the grammar of the panel's Surprise me writes them.",
        epilog='for example: vqclip imagine-prompts "a castle by the sea" "a fox in the snow" -n 20 > prompts.txt, and '
        "then: vqclip sweep prompts.txt",
        allow_abbrev=False,
    )
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help="a prompt, or several with a line break between")
    parser.add_argument("-n", "--count", type=int, default=8, metavar="N", help="how many (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="another seed writes others (default: 0)")
    parser.add_argument(
        "--model", help="a causal language model by id or folder, or `grammar` (default: openai-community/gpt2)"
    )
    parser.add_argument("--perceptor", default="demo", help="the grammar uses the words that it knows (default: demo)")
    parser.set_defaults(run=imagine_prompts, parser=parser)


def imagine_prompts(arguments: argparse.Namespace) -> int:
    """Print the prompts."""
    from vqclip_nb.prompt_writer import write_prompts

    written = write_prompts(
        arguments.examples,
        arguments.count,
        model=arguments.model,
        seed=arguments.seed,
        perceptor=arguments.perceptor,
    )
    print("\n".join(written))
    return 0 if written else 1
