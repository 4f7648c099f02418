"""How many pairs the network sees together, from which pair on: the same in every run of a job.

With other batches a network's results differ by rounding, so what an earlier run used is used again, also where memory
ran out in the midst of it. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ... import records
from ...run.files import write_text
from .pairs import Pair

_Count = Annotated[int, records.Bounds(0, 2**31 - 1)]


@dataclass(frozen=True)
class Batching:
    """Sizes of batches.

    Attributes
    ----------
    steps : tuple of (int, int)
        First pair, by its place in `pairs.pairs`, and the number of pairs that are decoded together from there on; the
        first step begins at 0.
    """

    steps: tuple[tuple[_Count, _Count], ...]

    def problems(self) -> Iterator[str]:
        """What makes it none, for the door that it comes in by (`records`)."""
        places = [place for place, _ in self.steps]
        if places[:1] != [0] or sorted(set(places)) != places or not all(size for _, size in self.steps):
            yield "has steps that do not begin at 0, or are not in order"

    @staticmethod
    def of(size: int) -> Batching:
        """The same size throughout."""
        return Batching(((0, size),))

    def smaller_from(self, place: int) -> Batching | None:
        """Half the size from a batch's first pair on; None where there is no smaller one."""
        size = self.steps[-1][1]
        if size == 1:
            return None
        return Batching((*(step for step in self.steps if step[0] < place), (place, size // 2)))

    def batch(self, pairs: Sequence[Pair], place: int) -> tuple[int, Sequence[Pair]]:
        """Size and pairs of the batch that begins at a place; the last of a size may be short."""
        ends = [first for first, _ in self.steps[1:]] + [len(pairs)]
        size, end = next((size, end) for (_, size), end in zip(self.steps, ends) if place < end)
        return size, pairs[place : min(place + size, end)]


def group(frame: int, size: int, count: int) -> range:
    """The frames that are encoded together with one, where so many pairs are decoded together.

    They depend on nothing else, so that a frame's states are the same whenever they are asked for. A frame takes about
    as much memory to encode as a tenth of a pair to decode.

    Parameters
    ----------
    frame : int
    size : int
        Of the batch of pairs.
    count : int
        Frames of the shot.
    """
    together = max(1, size // 2)
    first = frame // together * together
    return range(first, min(first + together, count))


def save(batching: Batching, path: Path) -> None:
    """Keep it for a later run."""
    write_text(path, records.dumps(batching, indent=None))


def load(path: Path) -> Batching | None:
    """What an earlier run used; None where there is none that can be read."""
    try:
        return records.load(Batching, path, strict=True)
    except (OSError, records.RecordError):
        return None
