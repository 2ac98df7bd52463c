"""Addresses: pictures that a person names by where they are on the web, fetched while a run is begun."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from vqclip_nb.settings import Settings

MOST_BYTES = 64 * 2**20


@contextmanager
def fetch_inputs(settings: Settings, typed: Collection[str] | None = None) -> Iterator[Settings]:
    """The settings, with files in the place of pictures that are named by an address.

    The files are there within the `with`, in which a run copies them into its folder. typed: the names that a person
    typed, where others come from a file, whose addresses are not asked. Raises CannotFetch.
    """
    from vqclip_nb.models.download import open_source
    from vqclip_nb.runs import metadata

    values = settings.to_dict()
    fields = {name: field for name, field in metadata.input_pictures(values).items() if field != "video"}
    addresses = [name for name in fields if "://" in name and (typed is None or name in typed)]
    if not addresses:
        yield settings
        return
    with ExitStack() as stack:
        files = {name: stack.enter_context(open_source(name, most=MOST_BYTES)) for name in addresses}
        yield settings.replace(**_with_files(settings, files))


def _with_files(settings: Settings, files: dict[str, Path]) -> dict[str, object]:
    """The fields that name one of these pictures, with its file instead."""
    from vqclip_nb.runs import metadata

    def here(name: str) -> str:
        return str(files.get(name, name))

    single = {field: here(name) for field in metadata.PICTURES if (name := getattr(settings, field)) in files}
    lists = {field: getattr(settings, field) for field in metadata.PICTURE_LISTS}
    return single | {field: metadata.rename_pictures(lines, here) for field, lines in lists.items() if lines}
