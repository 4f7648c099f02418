"""A set's clips as estimators are given them: the protocol's frames, cropped, as a numbered sequence of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from .. import own_files, records
from ..faults import unwritable
from ..run.files import write_text
from ..run.folders import make_folder
from ..untrusted import read_text
from .protocols import Protocol
from .truth import Truth, TruthError

_NOTE, _FRAMES = "clip.json", "rgb"
_NAMES = own_files.Names((_NOTE, f"{_FRAMES}/#####.png"))


def clip(truth: Truth, protocol: Protocol, folder: Path, *, anew: Callable[[], None] = lambda: None) -> Path:
    """Write a clip's pictures, unless they are there from an earlier run; returns the folder.

    Pictures are written without loss, as ``00000.png`` and so on.

    Parameters
    ----------
    truth : Truth
        With the protocol's frames and crop already (see `protocols.applied`).
    protocol : Protocol
    folder : Path
        Made, or made anew, if need be.
    anew : callable
        Called before pictures are written: what was made of others that lay there is of no more use.

    Raises
    ------
    TruthError
        The truth has no pictures, or one cannot be read.
    Failure
        The folder cannot be written.
    """
    note = json.dumps(
        {
            "clip": truth.name,
            "protocol": protocol.name,
            "frames": truth.frame_numbers,
            "pictures": [[str(path), path.stat().st_mtime_ns] for path in truth.rgb_files if path.is_file()],
        }
    )
    frames = folder / _FRAMES
    try:
        if (folder / _NOTE).read_text(encoding="utf-8") == note and len(list(frames.glob("*.png"))) == len(truth):
            return frames
    except OSError:
        pass  # not there yet, or broken off before it was complete
    make_folder(folder)
    try:
        own_files.make_folder(frames)
        own_files.clear(folder, _NAMES)
        own_files.make_folder(frames)
    except OSError as error:
        raise unwritable(error, folder) from error
    anew()
    try:
        for index in range(len(truth)):
            own_files.create(frames / f"{index:05d}.png")
            (frames / f"{index:05d}.png").write_bytes(_png(truth, index))
        write_text(folder / _NOTE, note)
    except OSError as error:
        raise unwritable(error, error.filename or folder) from error
    return frames


def protocol_of(pictures: str | Path) -> str | None:
    """Name of the protocol that a folder of pictures was written for by `clip`; None where it was not."""
    folder = Path(pictures)
    try:
        told = records.parse(read_text(folder.parent / _NOTE), where=_NOTE)
    except (OSError, records.RecordError):
        return None
    known = folder.name == _FRAMES and isinstance(told, dict) and isinstance(told.get("protocol"), str)
    return told["protocol"] if known else None


def _png(truth: Truth, index: int) -> bytes:
    picture = truth.picture(index)
    if picture is None:
        raise TruthError(
            f"{truth.name} has truth and no pictures to estimate it from; put them where its layout has them."
        )
    return cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()
