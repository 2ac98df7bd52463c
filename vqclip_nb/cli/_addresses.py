"""Input pictures from web addresses: they are downloaded when a run starts."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vqclip_nb.settings import Settings

MOST_BYTES = 64 * 2**20


@contextmanager
def fetch_inputs(settings: Settings, allowed_names: Collection[str] | None = None) -> Iterator[Settings]:
    """Download the input pictures that are web addresses; yields the settings with their files instead.

    The files exist inside the `with` block; a run that starts there copies them into its folder. allowed_names: the
    addresses that may be downloaded, or None for all. Those in a settings file, which may come from somebody else, are
    not allowed. Raises CannotFetch.
    """
    from vqclip_nb.models.download import open_source
    from vqclip_nb.runs import metadata

    values = settings.to_dict()
    fields = {name: field for name, field in metadata.input_pictures(values).items() if field != "video"}
    addresses = [name for name in fields if "://" in name and (allowed_names is None or name in allowed_names)]
    if not addresses:
        yield settings
        return
    with ExitStack() as stack:
        files = {name: stack.enter_context(open_source(name, most=MOST_BYTES)) for name in addresses}
        yield settings.replace(**_replace_names(settings, files))


def _replace_names(settings: Settings, files: dict[str, Path]) -> dict[str, object]:
    """The fields with input pictures, with each name in `files` replaced by its file."""
    from vqclip_nb.runs import metadata

    def local_path(name: str) -> str:
        return str(files.get(name, name))

    single = {field: local_path(name) for field in metadata.PICTURES if (name := getattr(settings, field)) in files}
    lists = {field: getattr(settings, field) for field in metadata.PICTURE_LISTS}
    return single | {field: metadata.rename_pictures(lines, local_path) for field, lines in lists.items() if lines}
