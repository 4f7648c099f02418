"""What the jobs of all kinds of farms have in common: planned clips, and Fathom as the farm's computers know it.

Each kind writes a folder of small files, the *bundle*: `openjd`, `flamenco` and `deadline`. None of them schedules
anything: a task is one command of Fathom's on one chunk, as it was planned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..common.failures import Failure, unwritable
from ..common.files import make_folder
from ..contract import depth_sequence, exit_codes, numbering, own_files
from ..contract.untrusted import in_a_line
from . import planning
from .planning import Plan

_TIMES, _LEAST = 20, 3600
"""A task may take that many times the seconds that are estimated for it, and at least so many."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A job of planned clips.

    Attributes
    ----------
    plans : tuple of Plan
    name : str
        In the farm's list of jobs.
    python : str
        Python of the environment with Fathom's packages, as the farm's computers know it.
    fathom : str
        The folder `inference`, as they know it.
    """

    plans: tuple[Plan, ...]
    name: str
    python: str = field(default_factory=lambda: sys.executable)
    fathom: str = field(default_factory=lambda: str(Path(__file__).resolve().parents[1]))


def of_folders(folders: Sequence[Path], *, name: str = "", python: str = "", fathom: str = "") -> Bundle:
    """The job of planned output folders; empty: the name after the clips, and paths as on this computer.

    Raises
    ------
    Failure
        USAGE: a folder has no plan, or two are the same.
    """
    plans = tuple(planning.load(folder.absolute()) for folder in folders)
    places = [plan.job.output for plan in plans]
    if len(set(map(os.path.realpath, places))) < len(places):
        raise Failure(exit_codes.USAGE, "Two of the clips have one output folder.", hint="Choose another for each.")
    own = {key: value for key, value in (("python", python), ("fathom", fathom)) if value}
    return Bundle(plans=plans, name=in_a_line(name, most=100) or _name_of(plans), **own)


def save(folder: Path, files: Mapping[str, str], *, main: str) -> Path:
    """Write a bundle's files, by their paths in its folder, the `main` one last: without it nothing can be sent.

    Raises
    ------
    Failure
        BAD_OUTPUT: they cannot be written.
    """
    make_folder(folder)
    try:
        if own_files.is_file(folder / main):
            (folder / main).unlink()
        for name in sorted(files, key=lambda name: name == main):
            if "/" in name:
                own_files.make_folder((folder / name).parent)
            own_files.save_text(folder / name, files[name])
    except OSError as error:
        raise unwritable(error, error.filename or folder) from error
    return folder


def clip_of(plan: Plan) -> str:
    """The movie, or the folder of the frames."""
    return os.path.abspath(plan.job.source.path)  # noqa: PTH100  keeps links


def labels_of(plans: Sequence[Plan]) -> list[str]:
    """The clips' names for people: clips of one name have that of the next folder beside it, or else a number."""
    names = [_name_of_clip(plan) for plan in plans]
    labels: list[str] = []
    for plan, name in zip(plans, names):
        label = name
        if names.count(name) > 1:
            folders = Path(depth_sequence.plate_file(plan.job.source)).parents
            folder = next((each.name for each in folders if each.name not in ("", name)), "")
            label = in_a_line(f"{name} ({folder})", most=80) if folder else name
        ways = (label, *(f"{label} {number}" for number in range(2, len(plans) + 2)))
        labels.append(next(way for way in ways if way not in labels))
    return labels


def _name_of_clip(plan: Plan) -> str:
    """A clip's name, of an image sequence without the frame's number."""
    source = plan.job.source
    return in_a_line(numbering.name_of(source.path, source.files, stream=source.stream), most=60)


def time_limit(seconds: float) -> int:
    """Seconds after which a task counts as hanging that takes so many, about; 0: unknown."""
    return max(_LEAST, round(_TIMES * seconds))


def _name_of(plans: Sequence[Plan]) -> str:
    more = f" and {len(plans) - 1} more" if len(plans) > 1 else ""
    return in_a_line(f"Depth of {_name_of_clip(plans[0])}{more}", most=100)
