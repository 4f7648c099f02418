"""Sizes, times, counts and frames as text. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_RUNS = 12  # ranges of frames in a sentence


def size_text(size: float) -> str:
    """A number of bytes, such as ``3.05 GB``, ``196 MB`` or ``891 bytes``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """A duration, such as ``0:07``, ``12:30`` or ``1:02:03``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as ``1 frame`` or ``2 frames``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def frame_ranges(frames: Sequence[int]) -> str:
    """Frame numbers in order, such as ``frame 7`` or ``frames 3-5, 9``; the middle of very many is left out."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1][1:] = [frame]
        else:
            runs.append([frame])
    words = ["-".join(map(str, run)) for run in runs]
    words = words if len(words) <= _MOST_RUNS else [*words[:_MOST_RUNS], "…", words[-1]]
    return ("frame " if len(frames) == 1 else "frames ") + ", ".join(words)
