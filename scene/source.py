"""What the artist has on the timeline or in the Clip Editor, as a job's source.

Frame numbers, orientation and size are what the running Blender shows, so what Blender knows about a clip is written
into the `Source` for the worker to keep to.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import bpy

from ..inference.contract import numbering
from ..inference.contract.job import JobError, Source
from ..inference.contract.numbering import NumberingError
from ..inference.contract.untrusted import in_a_line, is_file, is_folder, is_there, readable
from . import versions
from .source_files import SourceError, absolute, ocio_config, of_clip, of_frames, of_images, of_movie, of_stream
from .versions import StripTimes

_RANGE = re.compile(r"([0-9]{1,12})(?:\s*-\s*([0-9]{1,12}))?")


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A stretch of a clip, and where it lies on the timeline.

    Source frames, both included, and the scene frame at which the first is shown.
    """

    source: Source
    first_frame: int
    last_frame: int
    scene_start: int

    @property
    def name(self) -> str:
        """The clip's own name, for labels and folders, whatever a strip or a clip of Blender's is called."""
        return readable(numbering.name_of(self.source.path, self.source.files, stream=self.source.stream))

    @property
    def frame_offset(self) -> int:
        """Scene frame less source frame."""
        return self.scene_start - self.first_frame


def from_shown(shown: Any, scene: bpy.types.Scene, frames: str = "") -> Plate:
    """`from_clip` of a movie clip, else `from_strip`."""
    return from_clip(shown, frames) if isinstance(shown, bpy.types.MovieClip) else from_strip(shown, scene, frames)


def from_strip(strip: Any, scene: bpy.types.Scene, frames: str = "") -> Plate:
    """The frames that a strip shows, of the scene whose sequencer holds it.

    Its trims count; its transform, crop, color and modifiers do not, since depth belongs to the plate. `frames` are
    source frames among those, such as ``1001-1040`` or ``1001``; empty: all of them.

    Raises
    ------
    SourceError
        The strip is of another type; it is reversed, retimed, strobed, speed-changed, deinterlaced, undistorted or
        stabilized; a file is missing or cannot be read; its images are not numbered one after the other.
    JobError
        The frames are no range, or not all shown.
    """
    if strip.type not in {"MOVIE", "IMAGE", "MOVIECLIP"}:
        raise SourceError(
            f"Strip {strip.name} is of type {strip.type.replace('_', ' ').capitalize()}; "
            "select a movie, image sequence or clip strip."
        )
    _require_unchanged(strip, scene)
    if strip.type == "IMAGE":
        return _of_image_strip(strip, scene, frames)
    offset, lengths = 0, set()
    if strip.type == "MOVIE":
        source = of_movie(absolute(strip.filepath, scene), strip.colorspace_settings.name)
        lengths.add(source.frame_count or 1)  # the strip keeps that length when its Stream Index is changed
        source = of_stream(source, strip.stream_index) if strip.stream_index else source
        first, count = 1, source.frame_count or 1
    else:
        clip = versions.clip_of(strip) or _clip_by_name(strip)
        source, first, count = of_clip(clip)
        offset = clip.frame_offset
    rate = source.fps or _scene_rate(scene)
    begin, end, start = _shown(
        strip, first=first, count=count, offset=offset, rate=rate, played=_scene_rate(scene), lengths=lengths
    )
    plate = only_frames(Plate(source=source, first_frame=begin, last_frame=end, scene_start=start), frames)
    return _complete(plate)


def _shown(
    strip: Any, *, first: int, count: int, offset: int = 0, rate: float, played: float, lengths: Collection[int] = ()
) -> tuple[int, int, int]:
    """As `shown_frames`, or `SourceError`; `lengths` are others than `count` that the strip may have.

    `rate` and `played` are frames per second of the clip and of the scene.
    """
    times = versions.times_of(strip)
    length = round(times.content_end - times.content_start) + times.trim_start + times.trim_end
    if length not in {count, *lengths}:
        if abs(length - count * played / rate) > 1:  # what Adjust Playback Rate makes of it
            raise SourceError(
                f"Strip {strip.name} has {length} frames, and its clip {count}: if that was replaced since Blender "
                "read it, press Strip > Reload Strips and Adjust Length in the Sequencer."
            )
        raise SourceError(
            f"Strip {strip.name} plays at another speed than its clip; set the scene's frame rate to the clip's "
            f"({rate:g} fps)."
        )
    shown = shown_frames(times, first=first, count=count, offset=offset)
    if shown is None:
        raise SourceError(
            f"Strip {strip.name} shows no frame of its clip; lengthen the strip or correct the clip's Frame Offset."
        )
    return shown


def shown_frames(times: StripTimes, *, first: int, count: int, offset: int = 0) -> tuple[int, int, int] | None:
    """Which source frames a strip shows: first, last and the scene frame of the first; None where it shows none.

    Each counts once, also where it is held before or after the content. `first` and `count` are the number of the
    file's first frame and how many there are, `offset` frames by which the content is shifted (a movie clip's Frame
    Offset).
    """
    start = round(times.content_start)
    # A strip that lies wholly before or after its content holds one frame of it.
    left = min(max(times.left, start), round(times.content_end) - 1)
    right = max(min(times.right, round(times.content_end)), start + 1)
    shift = first + times.trim_start + offset - start
    begin, end = max(left + shift, first), min(max(right - 1, left) + shift, first + count - 1)
    return None if begin > end else (begin, end, begin - shift)


def _require_unchanged(strip: Any, scene: bpy.types.Scene) -> None:
    """Raise `SourceError` for what makes a strip show other frames, or other images, than its file has."""
    for each in versions.with_metas(strip):
        _require_plain(each, scene)


def _require_plain(strip: Any, scene: bpy.types.Scene) -> None:
    name = strip.name
    if strip.use_reverse_frames:
        raise SourceError(f"Strip {name} is reversed; turn off Reverse Frames and estimate the clip forwards.")
    if strip.strobe > 1:  # 0, which scripts leave it at, counts as 1
        raise SourceError(f"Strip {name} strobes; set its Strobe to 1.")
    if len(getattr(strip, "retiming_keys", ())) > 0:
        raise SourceError(f"Strip {name} is retimed; reset its retiming, or render the retimed clip and use that.")
    others = versions.strips_of(scene.sequence_editor, nested=True) if scene.sequence_editor else ()
    for other in others:
        if other.type == "SPEED" and other.input_1 == strip:
            raise SourceError(
                f"Strip {name} is changed in speed by {other.name}; remove that strip, or render the result and use it."
            )
    if getattr(strip, "use_deinterlace", False):
        raise SourceError(f"Strip {name} is deinterlaced; render it without interlacing and use that.")
    for flag, what in (("undistort", "Undistorted"), ("stabilize2d", "Stabilized")):
        if getattr(strip, flag, False):
            raise SourceError(
                f"Strip {name} shows its clip {what.lower()}, which depth of the plate would not fit; turn off {what}, "
                "or render the result and use that."
            )


def _of_image_strip(strip: Any, scene: bpy.types.Scene, frames: str) -> Plate:
    """The frames of an image strip, whose files are whichever the artist chose."""
    names = tuple(element.filename for element in strip.elements)
    for name in names:
        if PurePath(name).name != name:  # such a path would be looked at, whatever server it names
            raise SourceError(
                f"Strip {strip.name} has an image in another folder than its own, {in_a_line(name)}; use one strip for "
                "each folder."
            )
    try:
        numbers = numbering.frame_numbers(names)
    except NumberingError as error:
        raise SourceError(f"Strip {strip.name} cannot be numbered. {error}") from error
    rate = _scene_rate(scene)
    begin, end, start = _shown(strip, first=0, count=len(names), rate=rate, played=rate)
    if frames:
        first, last = frame_range(frames)
        at = next((i for i in range(begin, end + 1) if numbers[i] == first), None)
        if at is None or last < first or at + last - first > end:
            raise _not_shown(strip.name, min(numbers[begin : end + 1]), max(numbers[begin : end + 1]), frames)
        begin, end, start = at, at + last - first, start + at - begin
    for index in range(begin, end):
        if numbers[index + 1] != numbers[index] + 1:
            raise SourceError(
                f"The images of strip {strip.name} are not numbered one after the other: {names[index + 1]} follows "
                f"frame {numbers[index]}; rename them or use one strip for each stretch."
            )
    # Of the files that are not asked for, those that a sequence can have: it is the same for every trim.
    left, right = begin, end
    while left > 0 and numbers[left - 1] < numbers[left]:
        left -= 1
    while right + 1 < len(names) and numbers[right + 1] > numbers[right]:
        right += 1
    size = (strip.elements[0].orig_width, strip.elements[0].orig_height) if left == 0 else (0, 0)
    source = Source(
        kind="sequence",
        path=absolute(strip.directory, scene),
        files=names[left : right + 1],
        width=size[0] or None,  # only the first element's is known
        height=size[1] or None,
        rotation=0,
        fps=rate,
        colorspace=strip.colorspace_settings.name,
        ocio_config=ocio_config(),
    )
    return _complete(Plate(source=source, first_frame=numbers[begin], last_frame=numbers[end], scene_start=start))


def _clip_by_name(strip: Any) -> bpy.types.MovieClip:
    """The clip of a strip that does not tell its clip (4.2)."""
    names = {strip.name, strip.name.rsplit(".", 1)[0] if strip.name[-3:].isdigit() else strip.name}
    found = [clip for clip in bpy.data.movieclips if clip.name in names]
    if len(found) != 1:
        raise SourceError(
            f"This Blender does not tell which clip strip {strip.name} shows; give the strip its clip's name, or "
            "estimate from the Movie Clip Editor."
        )
    return found[0]


def from_clip(clip: bpy.types.MovieClip, frames: str = "") -> Plate:
    """All frames of a clip of the Movie Clip Editor, by its Start Frame and Frame Offset, or some: see `from_strip`."""
    source, first, count = of_clip(clip)
    begin, end = max(first, first + clip.frame_offset), first + count - 1
    if begin > end:
        raise SourceError(f"Clip {clip.name} shows no frame; correct its Frame Offset.")
    if source.kind == "sequence":  # Blender ends the clip at a gap without a word
        end = max(end, *numbering.frame_numbers(source.files))
    # At its Start Frame the clip shows frame `first + frame_offset`.
    start = clip.frame_start + begin - first - clip.frame_offset
    plate = only_frames(Plate(source=source, first_frame=begin, last_frame=end, scene_start=start), frames)
    try:
        if source.kind == "sequence":
            numbering.check(source.files, source.path, plate.first_frame, plate.last_frame)
    except NumberingError as error:
        raise SourceError(f"{error.what}; restore it and reload the clip, or move the later frames away.") from error
    return _complete(plate)


def from_file(path: str | Path, frames: str = "", *, stream: int = 0) -> Plate:
    """All frames of a movie file, of a folder of numbered images, or of the sequence that an image is one of.

    Or some of them, see `from_strip`. `stream` is which of a movie's video streams, from 0. SourceError where nothing
    is there, or it cannot be read, or frames of the sequence that are asked for are missing.
    """
    path = Path(absolute(str(path), None))
    if not is_there(path):
        raise SourceError(
            f"There is nothing at {path} that may be read; choose a movie, a folder of frames or one frame."
        )
    if not (is_folder(path) or is_file(path)):  # Blender would wait for a pipe
        raise SourceError(f"{path} is no file; choose a movie, a folder of frames or one frame.")
    if is_folder(path) or path.suffix.lower() in bpy.path.extensions_image:
        if stream:
            raise SourceError(f"{path} is no movie and has no stream with the index {stream}; leave the stream out.")
        source = of_images(path)
        numbers = numbering.frame_numbers(source.files)
        first, last = numbers[0], numbers[-1]
    else:
        source = of_movie(str(path), None)
        source = of_stream(source, stream) if stream else source
        first, last = 1, source.frame_count or 1
    return _complete(only_frames(Plate(source=source, first_frame=first, last_frame=last, scene_start=first), frames))


def only_frames(plate: Plate, frames: str) -> Plate:
    """A part of a plate, such as ``1001-1040`` or ``1001``; JobError where that is no range, or not all shown."""
    if not frames:
        return plate
    first, last = frame_range(frames)
    if first < plate.first_frame or last > plate.last_frame or last < first:
        raise _not_shown(plate.name, plate.first_frame, plate.last_frame, frames)
    return replace(plate, first_frame=first, last_frame=last, scene_start=plate.scene_start + first - plate.first_frame)


def in_range(plate: Plate, frames: tuple[int, int] | None) -> Plate:
    """The part of a plate that lies in a range of the timeline, first and last scene frame; None: all of it.

    JobError where it shows nothing there.
    """
    if frames is None:
        return plate
    first = max(frames[0] - plate.frame_offset, plate.first_frame)
    last = min(frames[1] - plate.frame_offset, plate.last_frame)
    if last < first:
        raise JobError(
            f"{plate.name} shows nothing between the frames {frames[0]} and {frames[1]} of the timeline: change the "
            "range, or switch it off in Settings."
        )
    return replace(plate, first_frame=first, last_frame=last, scene_start=first + plate.frame_offset)


def frame_range(frames: str) -> tuple[int, int]:
    """First and last frame of a text such as ``1001-1040`` or ``1001``; `JobError` for another text."""
    match = _RANGE.fullmatch(frames.strip())
    if match is None:
        raise JobError(f"'{in_a_line(frames)}' is no range of frames: write it as 1001-1040.")
    return int(match[1]), int(match[2] or match[1])


def _not_shown(name: str, first: int, last: int, frames: str) -> JobError:
    return JobError(f"{name} shows the frames {first}-{last}: choose frames among those, not {frames}.")


def _complete(plate: Plate) -> Plate:
    """The plate with the size of its frames, after checking that the files of all of them are there."""
    source = of_frames(plate.source, plate.first_frame, plate.last_frame)
    for number, file in numbering.by_frame(source.files).items() if source.kind == "sequence" else ():
        if plate.first_frame <= number <= plate.last_frame and not is_file(Path(source.path) / file):
            raise SourceError(
                f"Frame {number} of {plate.name} is missing: there is no file {Path(source.path) / file}; "
                "restore it or trim the strip."
            )
    return replace(plate, source=source)


def _scene_rate(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base
