"""The loss log: the losses of a run, stored compactly, and their table, losses.csv."""

import csv
import io
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from vqclip_nb.safe_files import read

HEAD = ("step", "picture", "name", "value")  # pictures count from 1


class LossLog:
    """Losses in the order of their steps, twelve bytes each: a long run has a million of them."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._steps, self._pictures, self._named, self._values = array("i"), array("H"), array("H"), array("f")

    @classmethod
    def read(cls, path: Path, until: int, *, only: int | None = None) -> Self:
        """Read a table up to a step; invalid rows are skipped. With `only`, one picture, which becomes the first."""
        losses = cls()
        try:
            rows = csv.reader(read(path).decode("utf-8", "replace").splitlines())
            for step, picture, name, value in (row for row in rows if len(row) == 4 and row[0].isdecimal()):
                if int(step) <= until and only in (None, int(picture)):
                    losses._append(int(step), int(picture) if only is None else 1, name, float(value))
        except (OSError, csv.Error, ValueError, OverflowError):  # rows before the damage are kept
            pass
        return losses

    def add(self, step: int, name: str, values: Iterable[float]) -> None:
        """Add the values of one loss at a step, one for each picture."""
        for picture, value in enumerate(values, 1):
            self._append(step, picture, name, value)

    def last(self) -> dict[str, float]:
        """The losses of the last step, by name, of the first picture."""
        names, latest = list(self._names), self._steps[-1] if self._steps else 0
        rows = zip(self._steps, self._pictures, self._named, self._values, strict=True)
        return {names[of]: value for step, picture, of, value in rows if (step, picture) == (latest, 1)}

    def of(self, names: Iterable[str]) -> dict[int, float]:
        """The sum of the losses of these names after each step, of the first picture."""
        wanted_names, sums = {self._names[name] for name in names if name in self._names}, dict[int, float]()
        for step, picture, of, value in zip(self._steps, self._pictures, self._named, self._values, strict=True):
            if picture == 1 and of in wanted_names:
                sums[step] = sums.get(step, 0.0) + value
        return sums

    def table(self) -> bytes:
        """The content of losses.csv, with values to six digits."""
        file, names = io.BytesIO(), list(self._names)
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        rows = zip(self._steps, self._pictures, self._named, self._values, strict=True)
        csv.writer(text).writerow(HEAD)
        csv.writer(text).writerows((step, picture, names[of], f"{value:.6g}") for step, picture, of, value in rows)
        text.flush()
        return file.getvalue()

    def _append(self, step: int, picture: int, name: str, value: float) -> None:
        self._pictures.append(picture)
        self._steps.append(step)
        self._named.append(self._names.setdefault(name, len(self._names)))
        self._values.append(value)
