"""VQGANs by the names that other tools give them."""

from pathlib import Path

from vqclip_nb.errors import SettingsError
from vqclip_nb.models import catalog

_OTHERS = dict.fromkeys(("gumbel_8192", "openimages_8192", "openimages_f16_8192", "gumbel_f8"), "openimages_f8_8192")


def vqgan(name: str, *, config: str = "", weights: str = "") -> str:
    """The catalog's name of a VQGAN, from its name or its file's name, with or without the prefix `vqgan_`.

    Raises SettingsError, with the command that adds it, for an unknown VQGAN.
    """
    stem = Path(name).stem if Path(name).suffix in (".yaml", ".yml", ".ckpt", ".pt", ".safetensors") else name
    plain = stem.removeprefix("vqgan_")
    for candidate in (stem, plain, _OTHERS.get(plain, plain)):
        try:
            return catalog.info(candidate, "vqgan").name
        except catalog.UnknownModel:
            continue
    config, weights = config or f"{stem}.yaml", weights or f"{stem}.ckpt"
    remedy = f"add it with `vqclip models add {stem} --config {config} --weights {weights}`, and type the same again"
    raise SettingsError(f"there is no VQGAN {name!r} here; {remedy}")
