"""Align a shot's frames from its stored pairs, also where the network found nothing in some frames.

Frames without a usable point are left out of the alignment; each gets the depth of the nearest frame that has one.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ....common.failures import UnsupportedShot
from ....common.units import frame_ranges
from ....contract import records
from ....contract.hints import setting
from ....contract.numbering import Frame
from . import alignment
from .alignment import Alignment, DepthMap, Read
from .pairs import Pair, PointMap

_UNSURE = 0.1
"""Mean confidence of a frame (0 to 1) below which a warning names it: C, at least 1, is about 1.1 then."""
_TOO_NEAR = 1e-4
"""Share of a frame's median depth; nearer points are outliers, which would dominate the shot's value range."""


@dataclass(frozen=True)
class Findings:
    """Facts of a shot's frames beside the alignment; frames count from the shot's first.

    Attributes
    ----------
    seen : tuple of int
        Frames that are in the alignment, in order: its n-th is frame ``seen[n]``.
    shown : tuple of int
        For each frame the one whose depth it gets: itself, unless it has none.
    unsure : tuple of int
        Frames with hardly any confidence.
    """

    seen: tuple[Frame, ...]
    shown: tuple[Frame, ...]
    unsure: tuple[Frame, ...]


def join(
    count: int,
    scores: Mapping[Pair, float],
    read: Read,
    *,
    robust: bool,
    device: torch.device,
    numbers: Sequence[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Alignment, Findings]:
    """Align a shot's frames in one space, and find those without depth; parameters as for `alignment.align`.

    Raises
    ------
    UnsupportedShot
        There is no depth at all, frames without points split the shot, or no focal length follows.
    """
    useful = {pair: score for pair, score in scores.items() if score > 0}
    seen = sorted({frame for pair in useful for frame in pair})
    _check(seen, useful, numbers)
    position = {frame: index for index, frame in enumerate(seen)}

    def report(done: int, total: int) -> None:
        progress(done, total + len(seen))

    aligned = alignment.align(
        len(seen),
        {(position[first], position[second]): score for (first, second), score in useful.items()},
        among(seen, read),
        robust=robust,
        device=device,
        numbers=[numbers[frame] for frame in seen],
        progress=report,
    )
    good, unsure = [], []
    before = max(len(seen) - 2, 0) + len(seen)  # as `align` counts
    for frame in seen:
        found = depth_map(aligned, seen, read, frame)
        if found.valid.any():
            good.append(frame)
            if float(found.confidence.sum() / found.valid.sum()) < _UNSURE:
                unsure.append(frame)
        progress(before + position[frame] + 1, before + len(seen))
    if not good:
        raise UnsupportedShot(
            f"No point of frames {numbers[0]} to {numbers[-1]} lies in front of its camera.",
            "Choose another estimator for this shot.",
        )
    return aligned, Findings(tuple(seen), tuple(_nearest(good, frame) for frame in range(count)), tuple(unsure))


def _nearest(good: Sequence[int], frame: int) -> int:
    """The nearest to a frame of some frames in order; of two, the earlier."""
    at = bisect.bisect_left(good, frame)
    return min(good[max(at - 1, 0) : at + 1], key=lambda other: abs(other - frame))


def among(seen: Sequence[int], read: Read) -> Read:
    """A `Read` whose frames are positions in `seen`."""

    def renamed(pair: Pair, frame: int) -> PointMap:
        return read((seen[pair[0]], seen[pair[1]]), seen[frame])

    return renamed


def depth_map(aligned: Alignment, seen: Sequence[int], read: Read, frame: int) -> DepthMap:
    """The depth of a frame in `seen`, without outliers near the camera; see `alignment.depth_map`."""
    found = alignment.depth_map(aligned, among(seen, read), bisect.bisect_left(seen, frame))
    if not found.valid.any():
        return found
    # a depth may be so small that its inverse is not finite
    valid = found.valid & (found.depth > _TOO_NEAR * found.depth[found.valid].median()) & (1 / found.depth).isfinite()
    return DepthMap(
        torch.where(valid, found.depth, torch.nan), valid, torch.where(valid, found.confidence, torch.tensor(0.0))
    )


def warnings(findings: Findings, numbers: Sequence[int]) -> list[str]:
    """Warnings about frames without depth, or with hardly any confidence."""
    sentences = []
    without = [numbers[frame] for frame, other in enumerate(findings.shown) if frame != other]
    if without:
        sentences.append(
            f"The network found no usable points in {frame_ranges(without)}; they get the nearest frame's depth."
        )
    if findings.unsure:
        unsure = [numbers[frame] for frame in findings.unsure]
        sentences.append(
            f"The network has hardly any confidence in {frame_ranges(unsure)}, perhaps because texture is missing; the "
            "depth there may be wrong."
        )
    return sentences


def load(path: Path) -> Findings | None:
    """The findings of an earlier run; None where none can be read."""
    try:
        return records.load(Findings, path, strict=True)
    except (OSError, records.RecordError):
        return None


def _check(seen: Sequence[int], useful: Mapping[Pair, float], numbers: Sequence[int]) -> None:
    if not seen:
        raise UnsupportedShot(
            f"The network found no usable points in {frame_ranges(numbers)}.",
            "Choose another estimator for this shot, or, if the precision is fp16 or bf16, "
            f"{setting('precision', 'fp32')}.",
        )
    beside: dict[int, list[int]] = {}
    for first, second in useful:
        beside.setdefault(first, []).append(second)
        beside.setdefault(second, []).append(first)
    joined, waiting = set(), [seen[0]]
    while waiting:
        frame = waiting.pop()
        if frame not in joined:
            joined.add(frame)
            waiting.extend(beside[frame])
    apart = [numbers[frame] for frame in seen if frame not in joined]
    if apart:
        raise UnsupportedShot(
            f"No match connects {frame_ranges(apart)} with the frames before.",
            f"Estimate them as a separate clip ({setting('frames')}), or choose a larger reach "
            f"({setting('reach', 5)}).",
        )
