"""`vqclip imagine-prompts`: more prompts like a few examples."""

import argparse
from typing import Any


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "imagine-prompts",
        help="write prompts like the examples",
        description="Write prompts like the examples, one per line, with a language model. This needs pip install "
        '"vqclip_nb[prompts]". Without it, a grammar makes the prompts, as for the button "Surprise me" of the panel.',
        epilog='for example: vqclip imagine-prompts "a castle by the sea" "a fox in the snow" -n 20 > prompts.txt, and '
        "then: vqclip sweep prompts.txt",
        allow_abbrev=False,
    )
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help="a prompt, or several separated by line breaks")
    parser.add_argument("-n", "--count", type=int, default=8, metavar="N", help="number of prompts (default: 8)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all random choices: another seed gives other prompts (default: 0)"
    )
    parser.add_argument(
        "--model",
        help="a causal language model, by its id on Hugging Face or its folder, or `grammar` "
        "(default: openai-community/gpt2)",
    )
    parser.add_argument(
        "--perceptor", default="demo", help="the grammar uses words that this perceptor knows (default: demo)"
    )
    parser.set_defaults(run=imagine_prompts, parser=parser)


def imagine_prompts(arguments: argparse.Namespace) -> int:
    """Print the prompts."""
    from vqclip_nb.prompt_writer import write_prompts

    prompts = write_prompts(
        arguments.examples,
        arguments.count,
        model=arguments.model,
        seed=arguments.seed,
        perceptor=arguments.perceptor,
    )
    print("\n".join(prompts))
    return 0 if prompts else 1
