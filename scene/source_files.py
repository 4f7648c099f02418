"""Movies and image sequences as Blender reads them, as sources of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import bpy

from ..inference.job import Source, frame_number, sequence_key
from . import versions


class SourceError(ValueError):
    """What the artist chose cannot be estimated as it is; the message is one sentence that says what to do."""


def of_clip(clip: bpy.types.MovieClip) -> tuple[Source, int, int]:
    """A clip's source, the number of its first frame and how many frames Blender counts.

    Raises
    ------
    SourceError
        Its file is missing, Blender cannot read it, or a frame is missing amid the sequence.
    """
    path = Path(absolute(clip.filepath, clip))
    if not path.is_file():
        raise SourceError(
            f"The file {path} of clip {clip.name} is missing; restore it, or relink it with "
            "File > External Data > Find Missing Files."
        )
    width, height = clip.size
    count = clip.frame_duration
    if width < 1 or height < 1 or count < 1:
        raise SourceError(f"Blender cannot read {path}; copy or render it again, or convert it to an image sequence.")
    shared = Source(
        kind="movie",
        path=str(path),
        width=width,
        height=height,
        fps=clip.fps or None,
        colorspace=clip.colorspace_settings.name,
        ocio_config=ocio_config(),
    )
    if clip.source == "MOVIE":
        rotation = None if versions.APPLIES_ROTATION else 0
        return replace(shared, rotation=rotation, frame_count=count), 1, count
    first = frame_number(path.name)
    source = replace(
        shared, kind="sequence", path=str(path.parent), files=tuple(_counted(path, first, count)), rotation=0
    )
    gap = first + count
    later = [n for n in map(frame_number, same_sequence(path)) if n > gap]
    if count > 1 and later:  # Blender ends the clip at the gap without a word
        raise SourceError(
            f"Frame {gap} is missing from the sequence {path.parent}, which goes on with frame {min(later)}; "
            "restore it and reload the clip, or move the later frames away."
        )
    return source, first, count


def of_movie(path: str, colorspace: str | None) -> Source:
    """A movie file as Blender reads it; `colorspace` None: Blender's default for it.

    Raises
    ------
    SourceError
        The file is missing or Blender cannot read it.
    """
    if not Path(path).is_file():
        raise SourceError(
            f"The movie {path} is missing; restore it, or relink it with File > External Data > Find Missing Files."
        )
    with _temporary_clip(path) as clip:
        source = of_clip(clip)[0]
    return replace(source, colorspace=colorspace or source.colorspace)


def of_pictures(path: Path) -> Source:
    """The sequence in a folder, or that a file belongs to.

    Raises
    ------
    SourceError
        There are no pictures, more than one sequence, a frame is missing or there twice.
    """
    folder = path if path.is_dir() else path.parent
    names = _pictures(folder) if path.is_dir() else same_sequence(path)
    if not names:
        raise SourceError(f"{folder} has no pictures in it; choose a folder of numbered frames, or a movie file.")
    kinds = sorted({sequence_key(name) for name in names})
    if len(kinds) > 1:
        raise SourceError(f"{folder} holds more than one sequence; choose one frame of the sequence that you mean.")
    names.sort(key=frame_number)
    for before, name in pairwise(names):
        number = frame_number(before) + 1
        if frame_number(name) != number:
            what = f"Frame {number} is missing" if frame_number(name) > number else f"Frame {number - 1} is there twice"
            raise SourceError(f"{what} in the sequence in {folder}; correct it and choose the sequence again.")
    with _temporary_clip(str(folder / names[0])) as clip:
        width, height = clip.size
        colorspace = clip.colorspace_settings.name
    return Source(
        kind="sequence",
        path=str(folder),
        files=tuple(names),
        width=width or None,
        height=height or None,
        rotation=0,
        colorspace=colorspace,
        ocio_config=ocio_config(),
    )


def ocio_config() -> str | None:
    """The colour configuration that this Blender uses: the variable OCIO's, or the one that it ships."""
    own = os.environ.get("OCIO", "")
    if own.startswith("ocio://") or Path(own).is_file():
        return own
    folders = (
        bpy.utils.user_resource("DATAFILES", path="colormanagement"),
        bpy.utils.system_resource("DATAFILES", path="colormanagement"),
    )
    configs = (Path(folder) / "config.ocio" for folder in folders if folder)
    return next((str(config) for config in configs if config.is_file()), None)


def absolute(path: str, owner: bpy.types.ID | None) -> str:
    """A path of Blender's without ``//``; `owner` is the datablock that it stands in, which may be linked."""
    library = owner.library if owner is not None else None
    return os.path.normpath(bpy.path.abspath(path, library=library))


def _counted(path: Path, first: int, count: int) -> Iterator[str]:
    head, tail = sequence_key(path.name)
    digits = len(path.name) - len(head) - len(tail)
    if count == 1 or digits < 1:
        yield path.name
        return
    for number in range(first, first + count):
        yield f"{head}{number:0{digits}d}{tail}"


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


def _pictures(folder: Path) -> list[str]:
    try:
        files = [entry.name for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read ({error.strerror}); check its permissions.") from error
    return [n for n in files if Path(n).suffix.lower() in bpy.path.extensions_image and not n.startswith(".")]


def same_sequence(file: Path) -> list[str]:
    """Names of the files beside a file that are frames of its sequence, itself among them, in no order.

    Raises
    ------
    SourceError
        The folder cannot be read.
    """
    key = sequence_key(file.name)
    return [name for name in _pictures(file.parent) if sequence_key(name) == key]
