"""Pairs laid into one world, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from ..base import Refused
from . import tree
from .focal import focal_length
from .pairs import Pair, PointMap, known
from .registration import NoPoints, Similarity, register

Read = Callable[[Pair, int], PointMap]
"""Gives the view of a frame in a pair; of which it is asked is what `tree.may_join` and `tree.may_pose` leave."""


class Walk:
    """A walk through a shot's pairs.

    Parameters
    ----------
    read : callable
    robust : bool
        See `registration.register`.
    numbers : sequence of int
        The frames' source numbers, for messages.

    Attributes
    ----------
    to_world : Places
        For each placed pair the similarity from its own axes and unit to the strongest pair's.
    used : dict
        For each placed frame the pair that placed it.
    """

    def __init__(self, read: Read, robust: bool, numbers: Sequence[int]) -> None:
        self._read, self._robust, self._numbers = read, robust, numbers
        self.to_world = Places(2 * len(numbers))
        self.used: dict[int, Pair] = {}

    def place(self, pairs: list[Pair], scores: Mapping[Pair, float]) -> Iterator[int]:
        """Place all frames of a tree; yields each as it is placed, but for the strongest pair's two.

        Raises
        ------
        Refused
            The network found no points in a frame.
        """
        root = pairs[0]
        self.to_world[root] = Similarity.identity()
        self.used = dict.fromkeys(root, root)
        for step in tree.placements(pairs, scores):
            self.place_pair(step.pair, step.anchor)
            self.used[step.frame] = step.pair
            yield step.frame

    def place_pair(self, pair: Pair, frame: int) -> None:
        """Place a pair, unless it is, by a frame of it that is placed; errors as for `place`."""
        if pair in self.to_world:
            return
        used = self.used[frame]
        source, target = self._read(pair, frame), self._read(used, frame)
        try:
            # Onto the view that places the frame, and then as that: the same as onto the points placed.
            found = register(source.points, target.points, source.confidence, target.confidence, robust=self._robust)
        except NoPoints:
            raise self._without_points(frame) from None
        self.to_world[pair] = self.to_world[used].after(found)

    def focal_length(self, pair: Pair) -> float:
        """As the first frame of a pair implies it; NaN where it implies none; errors as for `place`."""
        view = self._read(pair, pair[0])
        if not (known(view.points, view.confidence) > 0).any():
            raise self._without_points(pair[0])
        return focal_length(view.points) or np.nan

    def _without_points(self, frame: int) -> Refused:
        return Refused(
            f"The network found no usable points in frame {self._numbers[frame]}.",
            "Leave this frame out, or choose another estimator for this shot.",
        )


class Places:
    """Similarities by pair, all in one block of memory.

    Between the large arrays that come and go with every pair, small ones that stay would keep the allocator from
    using their room again: memory would grow with the shot by about an array a pair.

    Parameters
    ----------
    most : int
        How many there can be.
    """

    def __init__(self, most: int) -> None:
        self._rows: dict[Pair, int] = {}
        self._table = torch.empty(most, 13, dtype=torch.float64)

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._rows

    def __getitem__(self, pair: Pair) -> Similarity:
        row = self._table[self._rows[pair]]
        return Similarity(float(row[0]), row[1:10].reshape(3, 3), row[10:])

    def __setitem__(self, pair: Pair, place: Similarity) -> None:
        row = self._table[self._rows.setdefault(pair, len(self._rows))]
        row[0] = place.scale
        row[1:10], row[10:] = place.rotation.reshape(9), place.translation
