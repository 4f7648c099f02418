"""On which constant-rate timeline Blender shows a movie."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Frame numbers of a movie and the times in the file that they stand for.

    Attributes
    ----------
    rate : Fraction
        Frames per second.
    origin : Fraction
        Time stamp in seconds at which frame 1 is looked for.
    frame_count : int
    """

    rate: Fraction
    origin: Fraction
    frame_count: int

    @classmethod
    def of(cls, container: Any, stream: Any, *, fps: float | None, frame_count: int | None) -> Timeline:
        """The timeline of an open PyAV container; `fps` and `frame_count` are Blender's word where it gave it."""
        rate = Fraction(stream.guessed_rate or stream.average_rate or stream.base_rate or 25)
        if fps is not None and abs(float(rate) - fps) > 1e-4 * fps:
            rate = Fraction(fps).limit_denominator(1001)
        origin = Fraction((stream.start_time or 0) * stream.time_base)
        count = frame_count or stream.frames or _count_from_duration(container, stream, rate)
        return cls(rate=rate, origin=origin, frame_count=max(1, count))

    def time_of(self, number: int) -> Fraction:
        """Time stamp in seconds whose picture is shown as frame `number`."""
        return self.origin + (number - 1) / self.rate

    def still_shown(self, number: int, end: Fraction) -> bool:
        """Whether a picture that lasts until `end` seconds is still shown at frame `number`."""
        return self.time_of(number) < end + Fraction(1, 2) / self.rate


def _count_from_duration(container: Any, stream: Any, rate: Fraction) -> int:
    if stream.duration:
        seconds = Fraction(stream.duration * stream.time_base)
    else:
        seconds = Fraction(container.duration or 0, 1_000_000)
    return int(seconds * rate + Fraction(1, 2))
