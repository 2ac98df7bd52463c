"""Language models (extra `prompts`): any causal language model of transformers, by id or folder."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from vqclip_nb.errors import PaintWarning
from vqclip_nb.models.catalog import home, language_model
from vqclip_nb.models.errors import BrokenWeights, CannotFetch
from vqclip_nb.paths import expand_home

HUB = "https://huggingface.co"


def load_language(name: str | None = None) -> tuple[Any, Any]:
    """The network and the tokenizer of a causal language model, on the CPU; by default that of the catalog.

    Missing weights are downloaded into the cache folder. No code of a model is run. Raises ImportError without the
    extra, CannotFetch, and BrokenWeights for files that cannot be used.
    """
    default = language_model()
    options: dict[str, Any] = {"cache_dir": str(home() / "language")}
    if name in (None, default.name):
        name, options["revision"] = default.name, default.revision
    try:
        import transformers
    except ImportError:
        raise ImportError('a language model needs another package: `pip install "vqclip_nb[prompts]"`') from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if folder := _folder(name):
        return _read(str(folder), local_files_only=True)
    try:
        result = _read(name, local_files_only=True, **options)
    except CannotFetch:
        _check_online(name)
        size = f"{default.size / 1e6:,.0f} MB, " if "revision" in options else ""
        warnings.warn(f"fetching {name} once ({size}into {options['cache_dir']})", PaintWarning, stacklevel=2)
        transformers.logging.enable_progress_bar()
        result = _read(name, **options)
    if "revision" in options:
        _check_hash(options["cache_dir"])
    return result


def _folder(name: str) -> Path | None:
    """The folder that a name means, or None. Raises CannotFetch for a missing folder."""
    folder = expand_home(name)
    if folder.is_dir():
        return folder
    if name.startswith((".", "~", "/", "\\")) or name.count("/") > 1:
        raise CannotFetch(f"model must be an existing folder or the id of a model, got {name!r}")
    return None


def _read(name: str, **options: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options["trust_remote_code"] = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **options)
        network = AutoModelForCausalLM.from_pretrained(name, dtype="auto", **options)
    except OSError as error:
        raise CannotFetch(f"the language model {name!r} could not be read: {_first_line(error)}") from None
    except Exception as error:  # tokenizers and file formats raise many kinds of errors
        raise BrokenWeights(f"{name!r} cannot be read as a causal language model: {_first_line(error)}") from None
    return network.eval().requires_grad_(False), tokenizer


def _check_online(name: str) -> None:
    """Raise CannotFetch when there is no connection: transformers would try for a minute."""
    import requests

    problem = f"the language model {name!r} is not on the disk and"
    if os.environ.get("VQCLIP_OFFLINE"):
        raise CannotFetch(f"{problem} VQCLIP_OFFLINE is set; unset it, or name a folder with --model")
    try:
        requests.head(os.environ.get("HF_ENDPOINT", HUB), timeout=10)
    except requests.RequestException:
        raise CannotFetch(f"{problem} huggingface.co cannot be reached; try again later") from None


def _check_hash(cache: str) -> None:
    """Compare the weights of the catalog's model with their published hash. Raises BrokenWeights."""
    import pooch
    from huggingface_hub import try_to_load_from_cache

    model = language_model()
    path = try_to_load_from_cache(model.name, model.file, cache_dir=cache, revision=model.revision)
    if not isinstance(path, str) or (sha256 := pooch.file_hash(path)) != model.sha256:
        actual = f"sha256 {sha256}" if isinstance(path, str) else "no such file"
        expected = f"{model.name} must have {model.file} of sha256 {model.sha256}"
        raise BrokenWeights(f"{expected}, got {actual}; delete {cache}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
