"""How much of the disk Fathom's data folder takes: an environment in it has tens of thousands of files."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from . import current_run, preferences
from .beside import Beside

PARTS = {"environments": "environments", "huggingface": "weights"}
"""Folders in the data folder, and what is in each."""


@dataclass(frozen=True)
class Sizes:
    """Bytes in the data folder: of all, and of each of `PARTS` by what is in it."""

    total: int
    parts: dict[str, int]


def known() -> Sizes | None:
    """The sizes as far as they are known, None where nothing is yet; panels ask. With each run they are counted."""
    return _counted.of((preferences.data_folder(), current_run.count_ended()))


def count(home: Path) -> Sizes:
    """Count now; files that go away meanwhile do not count, and links count as themselves."""
    parts = {name: _bytes_in(home / folder) for folder, name in PARTS.items()}
    return Sizes(_bytes_in(home, without=PARTS) + sum(parts.values()), parts)


_counted: Beside[tuple[Path, int], Sizes] = Beside(lambda key: count(key[0]))


def _bytes_in(folder: Path, *, without: Collection[str] = ()) -> int:
    total, waiting = 0, [str(folder)]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if place == str(folder) and entry.name in without:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total
