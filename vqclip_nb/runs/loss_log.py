"""The loss log: all losses of a run in compact arrays, and their table, losses.csv."""

import csv
import io
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from vqclip_nb.safe_files import read

HEADER = ("step", "picture", "name", "value")  # pictures count from 1


class LossLog:
    """The losses of a run in the order of steps. Each takes twelve bytes, because a long run has a million of them."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._steps, self._pictures, self._name_ids, self._values = array("i"), array("H"), array("H"), array("f")

    @classmethod
    def read(cls, path: Path, until: int, *, picture: int | None = None) -> Self:
        """Read losses.csv up to the step `until`; invalid rows are skipped.

        picture: read only the losses of this picture, from 1, which becomes the first one.
        """
        losses = cls()
        try:
            rows = csv.reader(read(path).decode("utf-8", "replace").splitlines())
            for step, number, name, value in (row for row in rows if len(row) == 4 and row[0].isdecimal()):
                if int(step) <= until and picture in (None, int(number)):
                    losses._append(int(step), int(number) if picture is None else 1, name, float(value))
        except (OSError, csv.Error, ValueError, OverflowError):  # the rows before a damaged one are used
            pass
        return losses

    def add(self, step: int, name: str, values: Iterable[float]) -> None:
        """Add the values of one loss at a step, one for each picture."""
        for picture, value in enumerate(values, 1):
            self._append(step, picture, name, value)

    def last(self) -> dict[str, float]:
        """The losses at the last step, by name, for the first picture."""
        last_step = self._steps[-1] if self._steps else 0
        return {name: value for step, picture, name, value in self._rows() if (step, picture) == (last_step, 1)}

    def sums(self, names: Iterable[str]) -> dict[int, float]:
        """The sum of the losses with these names at each step, for the first picture."""
        names, sums = set(names), dict[int, float]()
        for step, picture, name, value in self._rows():
            if picture == 1 and name in names:
                sums[step] = sums.get(step, 0.0) + value
        return sums

    def table(self) -> bytes:
        """The content of losses.csv, with values to six digits."""
        file = io.BytesIO()
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(text).writerow(HEADER)
        csv.writer(text).writerows((step, picture, name, f"{value:.6g}") for step, picture, name, value in self._rows())
        text.flush()
        return file.getvalue()

    def _rows(self) -> Iterator[tuple[int, int, str, float]]:
        """The step, picture, name and value of each loss."""
        names = list(self._ids)
        for step, picture, name_id, value in zip(
            self._steps, self._pictures, self._name_ids, self._values, strict=True
        ):
            yield step, picture, names[name_id], value

    def _append(self, step: int, picture: int, name: str, value: float) -> None:
        self._pictures.append(picture)
        self._steps.append(step)
        self._name_ids.append(self._ids.setdefault(name, len(self._ids)))
        self._values.append(value)
