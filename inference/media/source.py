"""From a path to a job's source."""

from __future__ import annotations

from pathlib import Path

from ..common.failures import ClipError
from ..contract.job import Source
from ..contract.untrusted import absolute
from . import movie, sequence, stills


def describe(path: str | Path, first: int | None = None, last: int | None = None, *, stream: int = 0) -> Source:
    """The source for a path: a movie, a folder that holds one numbered sequence of images, or one frame of a sequence.

    The path is made absolute; the values that Blender would set are None. A sequence may lack other frames than `first`
    to `last`. `stream` is the index of a movie's video stream, from 0.

    Raises
    ------
    ClipError
        One sentence: there is nothing at the path, the folder has no images or more than one sequence, a requested
        frame is missing, the file is not a movie, or it has no such stream.
    """
    path = absolute(path)
    try:
        found = path.exists()
    except OSError as error:
        raise ClipError(f"{path} cannot be read ({error.strerror})", "check its permissions") from error
    if not found:
        raise ClipError(f"There is nothing at {path}", "choose a movie, a folder of frames or one frame")
    if path.is_dir() or path.suffix.lower() in stills.EXTENSIONS:
        if stream:
            raise ClipError(f"{path} is no movie and has no stream with the index {stream}", "leave the stream out")
        return sequence.describe(path, first, last)
    return movie.describe(path, stream=stream)
