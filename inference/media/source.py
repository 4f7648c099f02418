"""From a path to a job's source."""

from __future__ import annotations

from pathlib import Path

from ..common.failures import ClipError
from ..contract.job import Source
from ..contract.untrusted import absolute
from . import movie, sequence, stills


def describe(path: str | Path, first: int | None = None, last: int | None = None, *, stream: int = 0) -> Source:
    """The source for a path.

    Parameters
    ----------
    path : path
        A movie file, a folder that holds one numbered sequence of images, or one frame of a sequence.
    first, last : int or None
        The frames that are asked for, both included: a sequence may lack others. None: the clip's ends.
    stream : int
        Which of a movie's video streams, from 0.

    Returns
    -------
    Source
        With an absolute path; the values that Blender would set are None.

    Raises
    ------
    ClipError
        One sentence: there is nothing at the path, the folder has no images or more than one sequence, a frame
        that is asked for is missing, the file is no movie, or it has no such stream.
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
