"""On which constant-rate timeline Blender shows a movie.

Found by experiment with Blender 4.2, 4.5, 5.0 and 5.2 on movies whose pictures carry their own number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Frame numbers of a movie and the time stamps in the file that they stand for.

    Attributes
    ----------
    rate : Fraction
        Frames per second.
    tick : Fraction
        Seconds of one unit of the file's time stamps.
    origin : int
        Time stamp of frame 1, in ticks.
    frame_count : int
    """

    rate: Fraction
    tick: Fraction
    origin: int
    frame_count: int

    def time_of(self, number: int) -> int:
        """Time stamp of a frame in ticks: the last picture that starts at or before it is shown.

        Blender rounds to whole ticks, halves upwards.
        """
        return self.origin + math.floor((number - 1) / (self.rate * self.tick) + Fraction(1, 2))

    def lasts(self, number: int, end: int) -> bool:
        """Whether the last picture of a movie that ends at time stamp `end` is rightly shown at a frame.

        Half a frame beyond the end is allowed, since the count of frames is rounded.
        """
        return self.time_of(number) < end + 1 / (2 * self.rate * self.tick)


def of_stream(
    container: av.container.InputContainer, stream: av.VideoStream, *, fps: float | None, frame_count: int | None
) -> Timeline:
    """The timeline of an open movie; `fps` and `frame_count` are Blender's word where Blender gave it."""
    rate = Fraction(stream.guessed_rate or stream.average_rate or stream.base_rate or 25)
    if fps is not None and abs(float(rate) - fps) > 1e-4 * fps:  # Blender tells it as a 32-bit float
        rate = Fraction(fps).limit_denominator(1001)
    tick = stream.time_base or Fraction(1, av.time_base)
    return Timeline(
        rate=rate,
        tick=tick,
        origin=stream.start_time or 0,
        frame_count=frame_count or max(1, math.floor(_duration(container, stream, tick) * rate + Fraction(1, 2))),
    )


def _duration(container: av.container.InputContainer, stream: av.VideoStream, tick: Fraction) -> Fraction:
    """Seconds, as Blender takes them: the stream's word, else the container's less where the stream starts."""
    if stream.duration:
        return stream.duration * tick
    return Fraction(container.duration or 0, av.time_base) - (stream.start_time or 0) * tick
