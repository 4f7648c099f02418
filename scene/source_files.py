"""Movies and image sequences as Blender reads them, as sources of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import bpy

from ..inference.contract import exit_codes, exr_windows, numbering
from ..inference.contract.job import Source
from ..inference.contract.numbering import NumberingError, frame_number
from ..inference.contract.untrusted import is_file, is_folder
from . import places, versions
from .problems import Problem


class SourceError(Problem):
    """What the artist chose cannot be estimated as it is; the message is one sentence that says what to do."""

    code = exit_codes.BAD_CLIP


def of_clip(clip: bpy.types.MovieClip) -> tuple[Source, int, int]:
    """A clip's source, the number of its first frame and how many frames Blender counts.

    Blender ends an image sequence at its first gap; the source has the files behind it as well. SourceError where its
    file is missing, Blender cannot read it, a movie has changed since Blender read it, or Blender does not find the
    other frames of the sequence.
    """
    path = Path(absolute(clip.filepath, clip))
    if not is_file(path):
        raise SourceError(
            f"The file {path} of clip {clip.name} is missing; restore it, or relink it with "
            "File > External Data > Find Missing Files."
        )
    if clip.source == "MOVIE":
        with _temporary_clip(str(path)) as now:
            size = now.size[:] if clip.use_proxy else clip.size[:]  # of a proxy, times what it is smaller by, rounded
            if (*size, clip.frame_duration, clip.fps) != (*now.size, now.frame_duration, now.fps):
                raise SourceError(
                    f"The file {path} has changed since Blender read the clip {clip.name}, which has another size, "
                    "length or frame rate: press Clip > Reload Clip in the Movie Clip Editor."
                )
        source, first, count = _of_clip(clip, path)
        return replace(source, width=size[0] or None, height=size[1] or None), first, count
    source, first, count = _of_clip(clip, path)
    return (replace(source, width=None, height=None) if clip.use_proxy else source), first, count  # see `of_frames`


def _of_clip(clip: bpy.types.MovieClip, path: Path) -> tuple[Source, int, int]:
    """As `of_clip`, of a file that is as Blender knows it."""
    width, height = clip.size
    count = clip.frame_duration
    if count < 1 or (clip.source == "MOVIE" and (width < 1 or height < 1)):
        raise _unreadable(path)
    shared = Source(
        kind="movie",
        path=str(path),
        width=width or None,
        height=height or None,
        fps=clip.fps or None,
        colorspace=clip.colorspace_settings.name,
        ocio_config=ocio_config(),
    )
    if clip.source == "MOVIE":
        rotation = None if versions.APPLIES_ROTATION else 0
        return replace(shared, rotation=rotation, frame_count=count), 1, count
    try:
        names = numbering.around(path.name, _images(path.parent))
    except NumberingError as error:
        raise SourceError(str(error)) from error
    if (missed := numbering.blender_misses(names)) is not None:
        raise SourceError(
            f"Clip {clip.name} does not show its sequence, {names[0]} to {names[-1]}: Blender counts up the last "
            f"number of a file name, so it looks for {missed[1]} in the place of {missed[0]}; add the files as an "
            "image strip in the Sequencer, or rename them so that the frame number comes last and the rest is alike."
        )
    first = frame_number(path.name)
    files = tuple(name for number, name in numbering.by_frame(names).items() if number >= first)
    return replace(shared, kind="sequence", path=str(path.parent), files=files, rotation=0), first, count


def of_movie(path: str, colorspace: str | None) -> Source:
    """A movie file as Blender reads it; `colorspace` None: Blender's default for it."""
    if not is_file(path):
        raise SourceError(
            f"The movie {path} is missing; restore it, or relink it with File > External Data > Find Missing Files."
        )
    with _temporary_clip(path) as clip:
        source = _of_clip(clip, Path(path))[0]
    return replace(source, colorspace=colorspace or source.colorspace)


def of_stream(source: Source, index: int) -> Source:
    """Another video stream of a movie, as Blender counts its frames; SourceError where it has none of that index.

    A strip keeps its length when its Stream Index is changed, so a strip of its own is made and taken away again. The
    size is left open (None): a strip knows only that of the first stream before it is drawn.
    """
    scene = bpy.data.scenes.new("Fathom")
    try:
        strip = versions.strips_of(scene.sequence_editor_create()).new_movie("stream", source.path, 1, 1)
        strip.stream_index = index
        strip.filepath = source.path  # reads the file again, with that stream
        rate, count = strip.fps, versions.length_of(strip)
    finally:
        bpy.data.scenes.remove(scene)
    if rate <= 0:
        raise SourceError(f"{source.path} has no video stream with the index {index}; choose a lower Stream Index.")
    return replace(source, stream=index, width=None, height=None, fps=rate, frame_count=count)


def of_images(path: Path) -> Source:
    """The sequence in a folder, or that a file belongs to; its frames need not be complete, see `of_frames`.

    SourceError where there are no images, more than one sequence, or names that do not say which number is the frame.
    """
    folder = path if is_folder(path) else path.parent
    names = _images(folder)
    try:
        files = numbering.of_folder(names, folder) if is_folder(path) else numbering.around(path.name, names)
    except NumberingError as error:
        raise SourceError(str(error)) from error
    with _temporary_clip(str(folder / files[0])) as clip:
        width, height = clip.size
        colorspace = clip.colorspace_settings.name
    return Source(
        kind="sequence",
        path=str(folder),
        files=tuple(files),
        width=width or None,
        height=height or None,
        rotation=0,
        colorspace=colorspace,
        ocio_config=ocio_config(),
    )


def of_frames(source: Source, first: int, last: int) -> Source:
    """A source with the size of the frames that are asked for, instead of its first frame's.

    Nothing is asked of other frames: they may be missing, or of another size. Where the data windows of EXR files
    differ, the size is that of their display window, in which they are placed. SourceError where a frame is missing or
    there twice, or Blender cannot read the first.
    """
    if source.kind == "movie":
        return source
    try:
        numbering.check(source.files, source.path, first, last)
    except NumberingError as error:
        raise SourceError(str(error)) from error
    wanted = [
        Path(source.path) / name for number, name in numbering.by_frame(source.files).items() if first <= number <= last
    ]
    display = exr_windows.shared_display(wanted)
    if display is not None:
        width, height = exr_windows.size(display)
        return replace(source, width=width, height=height)
    if wanted and is_file(wanted[0]) and (wanted[0].name != source.files[0] or source.width is None):
        with _temporary_clip(str(wanted[0])) as clip:
            width, height = clip.size
        if width < 1 or height < 1:
            raise _unreadable(wanted[0])
        return replace(source, width=width, height=height)
    return source


def _unreadable(path: Path) -> SourceError:
    return SourceError(
        f"Blender cannot read {path}, or cannot tell how long it is; copy or render it again, or convert it, to an MP4 "
        "or to an image sequence of another format."
    )


def ocio_config() -> str | None:
    """The color configuration that this Blender uses: the variable OCIO's, or the one that it ships."""
    own = os.environ.get("OCIO", "")
    if own.startswith("ocio://") or is_file(own):
        return own
    folders = (
        bpy.utils.user_resource("DATAFILES", path="colormanagement"),
        bpy.utils.system_resource("DATAFILES", path="colormanagement"),
    )
    configs = (Path(folder) / "config.ocio" for folder in folders if folder)
    return next((str(config) for config in configs if is_file(config)), None)


def absolute(path: str, owner: bpy.types.ID | None) -> str:
    """A path of Blender's without ``//``; `owner` is the datablock that it stands in, which may be linked."""
    library = owner.library if owner is not None else None
    return os.path.normpath(places.expanded(path, library=library))


@contextmanager
def _temporary_clip(path: str) -> Iterator[bpy.types.MovieClip]:
    """Blender's view of a file, without leaving a clip behind."""
    try:
        clip = bpy.data.movieclips.load(path, check_existing=False)
    except RuntimeError as error:
        raise SourceError(f"Blender cannot open {path}; check the file and its permissions.") from error
    try:
        yield clip
    finally:
        bpy.data.movieclips.remove(clip)


def _images(folder: Path) -> list[str]:
    try:
        files = [entry.name for entry in folder.iterdir() if is_file(entry)]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error
    return [n for n in files if Path(n).suffix.lower() in bpy.path.extensions_image and not n.startswith(".")]


def same_sequence(file: Path) -> list[str]:
    """Names of the frames of a file's sequence that lie beside it, itself among them, in their order."""
    try:
        return numbering.around(file.name, _images(file.parent))
    except NumberingError as error:
        raise SourceError(str(error)) from error
