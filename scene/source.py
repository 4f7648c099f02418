"""What the artist has on the timeline or in the Clip Editor, as a job's source.

Frame numbers, orientation and size are what the running Blender shows, so what Blender knows about a clip is written
into the `Source` for the worker to keep to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..inference.job import Source, frame_number, sequence_key
from . import versions
from .source_files import SourceError, absolute, ocio_config, of_clip, of_movie, of_pictures
from .versions import StripTimes


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A stretch of a clip, and where it lies on the timeline.

    Attributes
    ----------
    source : Source
    first_frame, last_frame : int
        Source frames that are shown, both included.
    name : str
        For labels and folders: the strip's, the clip's or the file's.
    scene_start : int
        Scene frame at which `first_frame` is shown.
    """

    source: Source
    first_frame: int
    last_frame: int
    name: str
    scene_start: int

    @property
    def frame_offset(self) -> int:
        """Scene frame less source frame."""
        return self.scene_start - self.first_frame


def from_strip(strip: Any, scene: bpy.types.Scene) -> Plate:
    """The frames that a strip shows.

    Parameters
    ----------
    strip : MOVIE, IMAGE or MOVIECLIP strip
        Its trims count; its transform, crop, colour and modifiers do not, since depth belongs to the plate.
    scene : Scene
        The scene whose sequencer holds it.

    Raises
    ------
    SourceError
        The strip is of another type; it is reversed, retimed, strobed, speed-changed, deinterlaced, undistorted or
        stabilised; a file is missing or cannot be read; its pictures are not numbered one after the other.
    """
    if strip.type not in {"MOVIE", "IMAGE", "MOVIECLIP"}:
        raise SourceError(
            f"Strip {strip.name} is of type {strip.type.replace('_', ' ').capitalize()}; "
            "select a movie, image sequence or clip strip."
        )
    _refuse_changes(strip, scene)
    offset = 0
    if strip.type == "MOVIE":
        source = of_movie(absolute(strip.filepath, scene), strip.colorspace_settings.name)
        first, count = 1, source.frame_count or 1
    elif strip.type == "IMAGE":
        source = _images(strip, scene)
        first, count = frame_number(source.files[0]), len(source.files)
    else:
        clip = versions.clip_of(strip) or _clip_by_name(strip)
        source, first, count = of_clip(clip)
        offset = clip.frame_offset
    times = versions.times_of(strip)
    if round(times.content_end - times.content_start) != count - times.trim_start - times.trim_end:
        raise SourceError(
            f"Strip {strip.name} plays at another speed than its clip; set the scene's frame rate to the clip's "
            f"({source.fps or _scene_rate(scene):g} fps)."
        )
    shown = shown_frames(times, first=first, count=count, offset=offset)
    if shown is None:
        raise SourceError(
            f"Strip {strip.name} shows no frame of its clip; lengthen the strip or correct the clip's Frame Offset."
        )
    _require_files(source, shown[0], shown[1], strip.name)
    return Plate(source=source, first_frame=shown[0], last_frame=shown[1], name=strip.name, scene_start=shown[2])


def shown_frames(times: StripTimes, *, first: int, count: int, offset: int = 0) -> tuple[int, int, int] | None:
    """Which source frames a strip shows.

    Parameters
    ----------
    times : StripTimes
    first, count : int
        Number of the file's first frame, and how many there are.
    offset : int
        Frames by which the content is shifted (a movie clip's Frame Offset).

    Returns
    -------
    (first, last, scene_start) or None
        Source frames, both included, each once: frames that are held before or after the content count once. None
        where the strip shows nothing of the file.
    """
    start = round(times.content_start)
    # A strip that lies wholly before or after its content holds one frame of it.
    left = min(max(times.left, start), round(times.content_end) - 1)
    right = max(min(times.right, round(times.content_end)), start + 1)
    shift = first + times.trim_start + offset - start
    begin, end = max(left + shift, first), min(max(right - 1, left) + shift, first + count - 1)
    return None if begin > end else (begin, end, begin - shift)


def _refuse_changes(strip: Any, scene: bpy.types.Scene) -> None:
    """Refuse what makes a strip show other frames, or other pictures, than its file has."""
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


def _images(strip: Any, scene: bpy.types.Scene) -> Source:
    names = tuple(element.filename for element in strip.elements)
    numbers = [frame_number(name) for name in names]
    for before, after, name in zip(numbers, numbers[1:], names[1:]):
        if after != before + 1:
            raise SourceError(
                f"The pictures of strip {strip.name} are not numbered one after the other: {name} follows frame "
                f"{before}; rename them or use one strip for each stretch."
            )
    first = strip.elements[0]
    return Source(
        kind="sequence",
        path=absolute(strip.directory, scene),
        files=names,
        width=first.orig_width or None,
        height=first.orig_height or None,
        rotation=0,
        fps=_scene_rate(scene),
        colorspace=strip.colorspace_settings.name,
        ocio_config=ocio_config(),
    )


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


def from_clip(clip: bpy.types.MovieClip) -> Plate:
    """All frames of a clip of the Movie Clip Editor, with its Start Frame and Frame Offset.

    Raises
    ------
    SourceError
        A file is missing or cannot be read.
    """
    source, first, count = of_clip(clip)
    begin, end = max(first, first + clip.frame_offset), first + count - 1
    if begin > end:
        raise SourceError(f"Clip {clip.name} shows no frame; correct its Frame Offset.")
    # At its Start Frame the clip shows frame `first + frame_offset`.
    start = clip.frame_start + begin - first - clip.frame_offset
    return Plate(source=source, first_frame=begin, last_frame=end, name=clip.name, scene_start=start)


def from_file(path: str | Path) -> Plate:
    """All frames of a movie file, of a folder of numbered pictures, or of the sequence that a picture is one of.

    Raises
    ------
    SourceError
        Nothing is there, or it cannot be read, or frames of the sequence are missing.
    """
    path = Path(absolute(str(path), None))
    if not path.exists():
        raise SourceError(f"There is nothing at {path}; choose a movie, a folder of frames or one frame.")
    if path.is_dir() or path.suffix.lower() in bpy.path.extensions_image:
        source = of_pictures(path)
        first, last = frame_number(source.files[0]), frame_number(source.files[-1])
        name = path.name if path.is_dir() else (sequence_key(path.name)[0].rstrip("._- ") or path.parent.name)
    else:
        source = of_movie(str(path), None)
        first, last, name = 1, source.frame_count or 1, path.stem
    return Plate(source=source, first_frame=first, last_frame=last, name=name, scene_start=first)


def _require_files(source: Source, first: int, last: int, name: str) -> None:
    for file in source.files:
        number = frame_number(file)
        if first <= number <= last and not (Path(source.path) / file).is_file():
            raise SourceError(
                f"Frame {number} of {name} is missing: there is no file {Path(source.path) / file}; "
                "restore it or trim the strip."
            )


def _scene_rate(scene: bpy.types.Scene) -> float:
    return scene.render.fps / scene.render.fps_base
