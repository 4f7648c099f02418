"""On which constant-rate timeline Blender shows a movie.

Found by experiment with Blender 4.2, 4.5, 5.0 and 5.2 on movies whose pictures carry their own number.
"""

from __future__ import annotations

import math
import re
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
    end : int or None
        Time stamp at which the last picture ends by the file's header; None where the header does not say.
    """

    rate: Fraction
    tick: Fraction
    origin: int
    frame_count: int
    end: int | None

    def time_of(self, number: int) -> int:
        """Time stamp of a frame in ticks: the last picture that starts at or before it is shown.

        Blender rounds to whole ticks, halves upwards.
        """
        return self.origin + math.floor((number - 1) / (self.rate * self.tick) + Fraction(1, 2))

    def number_at(self, time: int) -> int:
        """The first frame at which a picture with the time stamp `time` can be shown, within the clip."""
        number = math.ceil((time - self.origin - Fraction(1, 2)) * self.rate * self.tick) + 1
        return min(max(number, 1), self.frame_count)


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
        end=_end(stream, tick),
    )


def _duration(container: av.container.InputContainer, stream: av.VideoStream, tick: Fraction) -> Fraction:
    """Seconds, as Blender 5.2 takes them: the stream's word, else the container's less where the stream starts.

    (Earlier versions now and then count a frame less in Matroska files with sound; Blender's word settles that.)
    """
    if stream.duration:
        return stream.duration * tick
    sound = container.streams.audio[0] if container.streams.audio else None
    heard = (sound.start_time or 0) * (sound.time_base or 0) if sound is not None else 0
    seen = (stream.start_time or 0) * tick
    return Fraction(container.duration or 0, av.time_base) - max(Fraction(0), seen - heard)


def _end(stream: av.VideoStream, tick: Fraction) -> int | None:
    if stream.duration:
        return (stream.start_time or 0) + stream.duration
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock is None:
        return None
    hours, minutes, seconds = clock.groups()  # Matroska's tag: when the track ends, counted from the file's start
    return int((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) / tick)
