"""Movies, decoded by FFmpeg (PyAV) and counted as Blender counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ..common.failures import ClipError
from ..contract.job import Source
from . import aspect, color_tags, containers, interlacing, lens_tags, pixels, stills, timeline
from .color_tags import ColorTag
from .lens_tags import LensTag
from .timeline import Timeline

_SEEK_MARGIN = Fraction(1)
"""Seconds before the wanted frame at which decoding starts, for streams whose key frames come late in their group."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a movie's header says: its stored size, and the degrees clockwise from the stored to the displayed image."""

    width: int
    height: int
    rotation: int
    timeline: Timeline
    color_tag: ColorTag
    lens_tag: LensTag | None
    warnings: tuple[str, ...]


class Movie:
    """An open movie; its source's rotation, fps and frame_count override the file's own."""

    linear = False
    """Movies are sRGB unless they or Blender say otherwise."""
    deep_still = False

    def __init__(self, source: Source) -> None:
        self.path, self._stream = source.path, source.stream
        facts = _facts(source)
        self.timeline, self.warnings = facts.timeline, facts.warnings
        self.color_tag, self.lens_tag = facts.color_tag, facts.lens_tag
        self.fps = float(facts.timeline.rate)
        self.first_frame, self.last_frame = 1, facts.timeline.frame_count
        self._turns = (facts.rotation if source.rotation is None else source.rotation) // 90 % 4
        self._stored = (facts.width, facts.height)
        self.width, self.height = self._stored[:: -1 if self._turns % 2 else 1]

    def read(self, first: int, last: int) -> Iterator[tuple[int, NDArray[np.uint8 | np.uint16]]]:
        """Yield the frames `first` to `last` as [H, W, 3] uint8 or uint16 in the movie's own encoding.

        Raises
        ------
        ClipError
            The movie ends before `last` or cannot be decoded.
        """
        wanted, held, image = first, None, None
        end = 0
        for frame in self._decode(first):
            start = _ticks(frame)
            while held is not None and wanted <= last and self.timeline.time_of(wanted) < start:
                image = self._image(held, wanted) if image is None else image
                yield wanted, image
                wanted += 1
            if wanted > last:
                return
            held, image = frame, None
            end = start + (frame.duration or 0)
        self._check_end(wanted, end)
        while wanted <= last and held is not None:  # Blender shows the last image to the end of its timeline
            image = self._image(held, wanted) if image is None else image
            yield wanted, image
            wanted += 1

    def _check_end(self, wanted: int, end: int) -> None:
        """Reject a movie without images from `end` on, a frame or more before its header says that it ends."""
        frame = 1 / (self.timeline.rate * self.timeline.tick)
        if self.timeline.end is not None and end + frame < self.timeline.end:
            raise ClipError(
                f"{self.path} ends before frame {wanted} although it should have {self.last_frame} frames",
                "the file is cut short or its header is wrong: copy, render or convert it again, or estimate only the "
                "frames before",
            )

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _decode(self, first: int) -> Iterator[av.VideoFrame]:
        """Decoded frames in display order, from one that is shown at or before frame `first`."""
        target = self.timeline.time_of(first) - int(_SEEK_MARGIN / self.timeline.tick)
        if target > self.timeline.origin:
            frames = self._decode_from(target)
            earliest = next(frames, None)
            # A seek can land late where the index is broken: look before trusting it.
            if earliest is not None and _ticks(earliest) <= self.timeline.time_of(first):
                yield earliest
                yield from frames
                return
        yield from self._decode_from(None)

    def _decode_from(self, ticks: int | None) -> Iterator[av.VideoFrame]:
        with containers.opened(self.path) as container:
            stream = containers.video_stream(container, self.path, self._stream)
            stream.thread_type = "AUTO"
            containers.bound_memory(stream, self.path)
            if ticks is not None:
                try:
                    container.seek(ticks, stream=stream)
                except (av.FFmpegError, OSError, OverflowError):  # not seekable; no such time
                    return
            yield from self._frames(container, stream)

    def _frames(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        number = 0
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise ClipError(
                        f"Frame {self._number(packet)} of {self.path} is damaged",
                        "copy or render the file again, or leave that frame out",
                    )
                for frame in packet.decode():
                    if frame.pts is None:
                        frame.pts = frame.dts
                    if frame.pts is None:
                        raise _untimed(self.path)
                    number = self.timeline.number_at(frame.pts)
                    yield frame
        except (av.FFmpegError, OSError, IndexError) as error:  # the last: streams that no header names
            containers.pass_on_memory(error)
            raise ClipError(
                f"{self.path} cannot be decoded after frame {number} ({containers.reason(error)})",
                "copy or render the file again",
            ) from error

    def _number(self, packet: av.Packet) -> int:
        """The frame at which a packet is shown, roughly: packets of B-frames are not in order."""
        time = packet.pts if packet.pts is not None else packet.dts
        return self.timeline.number_at(self.timeline.origin if time is None else time)

    def _image(self, frame: av.VideoFrame, number: int) -> NDArray[np.uint8 | np.uint16]:
        if frame.is_corrupt:
            raise ClipError(
                f"Frame {number} of {self.path} is damaged", "copy or render the file again, or leave that frame out"
            )
        if (frame.width, frame.height) != self._stored:
            raise ClipError(
                f"Frame {number} of {self.path} is {frame.width} x {frame.height} pixels and the clip is "
                f"{self._stored[0]} x {self._stored[1]}",
                "convert the movie to one size",
            )
        return np.rot90(pixels.rgb(frame), -self._turns)


def describe(path: Path, *, stream: int = 0) -> Source:
    """The source for a movie file; see `source.describe`."""
    source = Source(kind="movie", path=str(path), stream=stream)
    _facts(source)
    return source


def _facts(source: Source) -> Facts:
    with containers.opened(source.path) as container:
        if containers.is_still(container):
            raise ClipError(f"{source.path} is an image of a kind that is not read", stills.CONVERT)
        stream = containers.video_stream(container, source.path, source.stream)
        containers.bound_memory(stream, source.path)
        codec = stream.codec_context
        tag = color_tags.of_codes(int(codec.color_primaries), int(codec.color_trc))
        try:
            frame = next(container.decode(stream), None)
        except (av.FFmpegError, OSError, IndexError) as error:
            containers.pass_on_memory(error)
            raise ClipError(
                f"{source.path} cannot be decoded ({containers.reason(error)})", "copy or render the file again"
            ) from error
        if frame is None:
            raise ClipError(f"{source.path} has no frames", "copy or render the file again")
        if frame.pts is None and frame.dts is None:
            raise _untimed(source.path)
        counts = container.format.name == "avi" and not timeline.counts_nothing(stream)
        if counts and stream.frames > (stream.duration or 0) > 0:
            raise ClipError(
                f"{source.path} is cut short: of {stream.frames} frames {stream.duration} are there",
                "copy or render the file again",
            )
        counted = timeline.of_stream(container, stream, fps=source.fps, frame_count=source.frame_count)
        if counted.frame_count > timeline.MOST_FRAMES:
            raise ClipError(
                f"{source.path} has {counted.frame_count} frames by its header, and Blender counts to "
                f"{timeline.MOST_FRAMES}",
                "convert it, to an MP4 or to an image sequence",
            )
        if counted.frame_count == 1 and timeline.is_more(counted.found, 1):
            raise ClipError(
                f"{source.path} has {counted.found} frames, of which only the first is shown since its header is wrong",
                "convert it, to an MP4 or to an image sequence",
            )
        return Facts(
            width=frame.width,
            height=frame.height,
            rotation=-round(frame.rotation / 90) * 90 % 360,
            timeline=counted,
            color_tag=tag,
            lens_tag=lens_tags.of_movie(source.path, container.metadata, stream.metadata),
            warnings=tuple(_warnings(source, stream, frame, counted)),
        )


def _untimed(path: str) -> ClipError:
    return ClipError(
        f"{path} does not say when its frames are shown", "convert the movie, to an MP4 or to an image sequence"
    )


def _warnings(source: Source, stream: av.VideoStream, frame: av.VideoFrame, counted: Timeline) -> Iterator[str]:
    """One sentence for each problem, with what to do."""
    if timeline.is_more(counted.found, counted.frame_count):
        yield (
            f"{source.path} has {counted.found} frames, of which only the first {counted.frame_count} are shown and "
            "estimated since its header is wrong; convert it, to an MP4 or to an image sequence."
        )
    elif counted.said and source.frame_count is None and counted.frame_count != counted.said:
        yield (
            f"{source.path} has {counted.frame_count} frames although its header says {counted.said}, which Blender "
            "will show; convert it before it goes there, to an MP4 or to an image sequence."
        )
    rates = [float(rate) for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate) if rate]
    if source.fps and rates and all(abs(rate / source.fps - 1) > _SAME_RATE for rate in rates):
        yield (
            f"{source.path} has {rates[0]:g} frames/s, and Blender shows it with {source.fps:g}; if it was replaced "
            "since, reload the clip in Blender, then estimate it again."
        )
    longest = max(counted.said, counted.found)
    if longest and source.frame_count is not None and timeline.is_more(source.frame_count, longest):
        yield (
            f"{source.path} has {longest} frames, and Blender shows {source.frame_count}, the last of them one image; "
            "reload the clip in Blender if it was replaced since, else convert it, to an MP4 or to an image sequence."
        )
    if frame.interlaced_frame or stream.codec_context.field_order > _PROGRESSIVE:
        yield interlacing.marked(source.path)
    squeezed = aspect.warning(source.path, stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio)
    if squeezed is not None:
        yield squeezed
    if not frame.format.is_rgb and not pixels.matrix_is_known(int(frame.colorspace)):
        yield (
            f"{source.path} codes its colors in a way that is read as BT.601 for want of better, as in Blender, so "
            "they are wrong; convert it with the color matrix BT.709 or BT.2020."
        )


_SAME_RATE = 0.005
"""Largest relative difference of frame rates that are taken for one."""
_PROGRESSIVE = 1
"""FFmpeg's code for the field order of progressive images; 0 is unknown, those above are interlaced."""


def _ticks(frame: av.VideoFrame) -> int:
    """Where a frame starts, in units of its stream; `_frames` has made sure that it is known."""
    return frame.pts or 0
