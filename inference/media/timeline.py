"""The constant-rate timeline on which Blender shows a movie.

Found by experiment with Blender 4.2, 4.5, 5.0 and 5.2 on movies whose images show their own number.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from fractions import Fraction

import av


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Frame numbers of a movie and their time stamps in the file.

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
        Time stamp at which the last image ends by the file's header; None where the header does not say.
    said, found : int
        Frames by the file's header (0: it does not say), and those that its images last for.
    """

    rate: Fraction
    tick: Fraction
    origin: int
    frame_count: int
    end: int | None
    said: int = 0
    found: int = 0

    def time_of(self, number: int) -> int:
        """Time stamp of a frame in ticks: the last image that starts at or before it is shown.

        Blender rounds to whole ticks, halves upwards.
        """
        return self.origin + math.floor((number - 1) / (self.rate * self.tick) + Fraction(1, 2))

    def number_at(self, time: int) -> int:
        """The first frame at which an image with the time stamp `time` can be shown, within the clip."""
        number = math.ceil((time - self.origin - Fraction(1, 2)) * self.rate * self.tick) + 1
        return min(max(number, 1), self.frame_count)


def of_stream(
    container: av.container.InputContainer, stream: av.VideoStream, *, fps: float | None, frame_count: int | None
) -> Timeline:
    """The timeline of an open movie, which is read to its end for it.

    A header without the movie's length, or with one far below what is there, is ignored: the packets are counted. `fps`
    and `frame_count` are Blender's, if they are known.
    """
    rate = Fraction(stream.guessed_rate or stream.average_rate or stream.base_rate or 25)
    if fps is not None and abs(float(rate) - fps) > 1e-4 * fps:  # Blender tells it as a 32-bit float
        rate = Fraction(fps).limit_denominator(1001)
    tick = stream.time_base or Fraction(1, av.time_base)
    seconds = _duration(container, stream, tick)
    unknown = seconds <= 0 or counts_nothing(stream)
    packets = _Packets.of(container, stream, tick, rate, whole=unknown)
    origin = packets.start if stream.start_time is None else stream.start_time
    if seconds <= 0 and fps is None and packets.count > 1 and rate > _FASTEST:  # a tick, and no rate
        rate = Fraction(packets.count / float((packets.end - origin) * tick)).limit_denominator(1001)
    said, found = (max(0, math.floor(length * rate + Fraction(1, 2))) for length in (seconds, packets.length(origin)))
    found = found if packets.count else said  # nothing can be read at the end: not every format seeks
    end = None if unknown and frame_count is None else _end(stream, tick)
    alone = len(container.streams) == 1  # others may well go on longer
    too_long = alone and not unknown and is_more(said, found)
    if too_long and end is None:
        end = origin + int(seconds / tick)  # images are missing
    wrong = unknown or is_more(found, said) or (too_long and end is not None and end <= packets.end)
    return Timeline(
        rate=rate,
        tick=tick,
        origin=origin,
        frame_count=frame_count or max(1, found if wrong else said),
        end=end,
        said=0 if container.format.flags & _ESTIMATES else said,
        found=found,
    )


def counts_nothing(stream: av.VideoStream) -> bool:
    """Whether a header has a placeholder as its number of frames, since it was written before them."""
    return stream.frames >= _PLACEHOLDER


def is_more(one: int, other: int) -> bool:
    """Whether one count of frames is so much more than the other that rounding, or a frame of sound, is not why."""
    return one > other + max(2, other / 10)


_ESTIMATES = 0x200
"""FFmpeg's flag of formats whose time stamps may jump (MPEG streams): no header says how long they are."""
_PLACEHOLDER = 1 << 30
"""Frames that FFmpeg writes into an AVI file that it cannot go back in; half a year of them."""
MOST_FRAMES = 1_048_574
"""The last frame that Blender knows (MAXFRAME)."""
_FASTEST = 240
"""Frames per second beyond which a rate is only the tick of a file whose header gives none."""


@dataclass(frozen=True)
class _Packets:
    """Facts from a stream's packets: time stamps of the first and behind the last in ticks, and their number."""

    start: int
    end: int
    count: int
    tick: Fraction

    def length(self, origin: int) -> Fraction:
        """Seconds from `origin` on."""
        return (self.end - origin) * self.tick

    @classmethod
    def of(
        cls,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        tick: Fraction,
        rate: Fraction,
        *,
        whole: bool,
    ) -> _Packets:
        """Read to the end of the file without decoding: `whole`, or from its last key frame on."""
        with contextlib.suppress(av.FFmpegError, OSError):  # not every format seeks
            container.seek(_FIRST if whole else _LAST, stream=stream)
        start, end, count, usual = None, 0, 0, round(1 / (rate * tick))
        try:
            for packet in container.demux(stream):
                time = packet.pts if packet.pts is not None else packet.dts
                if time is not None:
                    start = time if start is None else min(start, time)
                    end, count = max(end, time + (packet.duration or usual)), count + 1
        except (av.FFmpegError, OSError, IndexError):  # cut short, or with streams of which the header does not know
            pass
        return cls(start or 0, end, count, tick)


_FIRST, _LAST = 0, 2**52
"""Time stamps to seek to."""


def _duration(container: av.container.InputContainer, stream: av.VideoStream, tick: Fraction) -> Fraction:
    """Seconds, as Blender 5.2 determines them: the stream's own, else the container's minus where the stream starts.

    (Earlier versions now and then count a frame less in Matroska files with sound; Blender's own count overrides this.)
    """
    if stream.duration:
        return stream.duration * tick
    sound = container.streams.audio[0] if container.streams.audio else None
    heard = (sound.start_time or 0) * (sound.time_base or 0) if sound is not None else 0
    seen = (stream.start_time or 0) * tick
    return Fraction(container.duration or 0, av.time_base) - max(Fraction(0), seen - heard)


def _end(stream: av.VideoStream, tick: Fraction) -> int | None:
    clock = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if clock is not None:  # Matroska's tag: when the track ends, counted from the file's start
        hours, minutes, seconds = clock.groups()
        return int((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) / tick)
    return (stream.start_time or 0) + stream.duration if stream.duration else None
