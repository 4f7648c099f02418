"""Where the windows lie in which a long shot was estimated: there an estimate is most likely to jump or to drift."""

from __future__ import annotations

from dataclasses import dataclass

from ..depth_sequence import DepthSequence

STRETCH = 25
"""Frames over which drift is measured in a shot that was estimated as a whole: as many as windows usually share."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows of `length` frames, each beginning `length` - `overlap` frames after the one before."""

    length: int
    overlap: int

    def starts(self, first: int, last: int) -> list[int]:
        """First frame of every window of a shot, whose frames are `first` to `last`."""
        if last - first < self.length:
            return [first]
        return list(range(first, last + 1 - self.overlap, self.length - self.overlap))

    def borders(self, first: int, last: int) -> list[int]:
        """Frames from which on other windows count than in the frame before: one comes in, or one ends."""
        came_in = self.starts(first, last)[1:]
        return sorted({frame for start in came_in for frame in (start, start + self.overlap)})


def windows_of(sequence: DepthSequence) -> Windows | None:
    """The windows of a depth sequence by its parameters; None where its estimator has none."""
    if sequence.parameters.get("stage") == "1":  # stereo matching alone, which takes a shot as a whole
        return None
    length, overlap = (sequence.parameters.get(name) for name in ("window", "overlap"))
    if not isinstance(length, int) or not isinstance(overlap, int) or not 0 <= overlap < length:
        return None
    return Windows(length=length, overlap=overlap)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Two frames between which the background is compared.

    Attributes
    ----------
    first, last : int
        The frames.
    border : bool
        Whether windows change in between.
    windows : bool
        Whether the shot has several windows at all.
    begin, end : int
        Frames around, from `begin` to `first` and from `last` to `end`, within which no window changes.
    """

    first: int
    last: int
    border: bool
    windows: bool
    begin: int
    end: int


def spans(first: int, last: int, windows: Windows | None) -> list[Span]:
    """Between which frames of a shot the background is compared, to see whether it drifts.

    Across a border: from the last frame that only one window made to the first that only the next one made. For
    comparison, as many frames in the middle between two borders where there is room, which one window made alone. In a
    shot without windows, or within a single one: from every `STRETCH`-th frame to the next.
    """
    came_in = [] if windows is None else windows.starts(first, last)[1:]
    if windows is None or not came_in:
        firsts = range(first, last + 1 - STRETCH, STRETCH)
        return [Span(first=at, last=at + STRETCH, border=False, windows=False, begin=first, end=last) for at in firsts]
    shared, length = windows.overlap, windows.overlap + 1
    alone = list(zip([first, *(start + shared for start in came_in)], [*(start - 1 for start in came_in), last]))
    found = []
    for index, (begin, end) in enumerate(alone):  # frames that one window made alone, if there are any
        middle = begin + (end - begin - length) // 2
        if begin <= middle:
            found.append(Span(first=middle, last=middle + length, border=False, windows=True, begin=begin, end=end))
        if index + 1 < len(alone):
            after, last_after = alone[index + 1]
            around = {"begin": min(begin, end), "end": max(after, last_after)}
            found.append(Span(first=end, last=after, border=True, windows=True, **around))
    return found
