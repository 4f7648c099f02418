"""The files of a depth sequence's maps: that they are there, and that Blender can read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

from ..inference.contract import depth_sequence, exr_windows
from ..inference.contract.depth_sequence import DepthSequence
from ..inference.contract.untrusted import in_a_line, is_file, is_there
from . import memory

_AGAIN = "copy the folder again, or estimate the clip again."


def missing(folder: Path, sequence: DepthSequence) -> str | None:
    """One sentence where maps are not there that ``depth.json`` promises, None where all are.

    It takes as many steps as there are files, whatever frames ``depth.json`` tells of. Links are not followed: where
    they lead may be a server.
    """
    try:
        with os.scandir(folder) as entries:
            present = {entry.name: entry.is_symlink() or entry.is_file(follow_symlinks=False) for entry in entries}
    except OSError as error:
        return f"{folder} cannot be read ({error.strerror}); check its permissions."
    names = _names(sequence)
    wanted = len(names) * sum(shot.last_frame - shot.first_frame + 1 for shot in sequence.done_shots)
    found = 0
    first: tuple[int, str] | None = None
    for shot in sequence.done_shots:
        for frame in range(shot.first_frame, shot.last_frame + 1):
            here = [name(frame) for name in names if name(frame) in present]
            found += len(here)
            odd = next((name for name in here if not present[name]), None)
            if odd is not None:
                return f"{folder / odd} is no file: {_AGAIN}"
            if first is None and len(here) < len(names):
                first = frame, next(name(frame) for name in names if name(frame) not in present)
            if first is not None and frame > first[0] + len(present):
                break  # there cannot be as many frames as it says
    if first is None:
        return None
    more = f" and {wanted - found - 1} more" if wanted - found > 1 else ""
    return (
        f"{folder} is incomplete: frame {first[0]} ({first[1]}){more} is missing; copy the whole folder again, or "
        "estimate the clip again."
    )


def unreadable(folder: Path, sequence: DepthSequence) -> str | None:
    """One sentence where a map is none of Fathom's, or larger than ``depth.json`` or memory allows; else None.

    Blender waits for ever for a pipe, tells by a file's content of what format it is, and takes as much memory as it
    says that it needs. A file that is missing, empty or too small is shown as a missing one. Opens every map.
    """
    shortfall = memory.shortage(sequence.width, sequence.height)
    if shortfall is not None:
        return f"The maps in {folder} are {shortfall}: close other programs, or estimate the clip at a smaller size."
    for shot in sequence.done_shots:
        for frame, name in product(range(shot.first_frame, shot.last_frame + 1), _names(sequence)):
            problem = _problem(folder / name(frame), sequence)
            if problem is not None:
                return f"{problem}: {_AGAIN}"
    return None


def _problem(path: Path, sequence: DepthSequence) -> str | None:
    """What is wrong with a map that is there."""
    windows = exr_windows.of_file(path)
    if windows is None:
        if not is_there(path) or (is_file(path) and not path.stat().st_size):
            return None
        return f"{path} is {'no OpenEXR image' if is_file(path) else 'no file'}"
    if windows.channels != (depth_sequence.CHANNEL,):
        names = in_a_line(", ".join(windows.channels)) or "none"
        return f"{path} has the channels {names}, and a depth map has {depth_sequence.CHANNEL} alone"
    (width, height), *_ = map(exr_windows.size, windows.data)
    if width > sequence.width or height > sequence.height:
        return f"{path} is {width}x{height}, and the depth maps here are {sequence.width}x{sequence.height}"
    return None


def _names(sequence: DepthSequence) -> list[Callable[[int], str]]:
    with_confidence = sequence.confidence is not None
    return [depth_sequence.disparity_name, *([depth_sequence.confidence_name] if with_confidence else [])]
