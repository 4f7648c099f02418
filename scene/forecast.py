"""What an estimate will take, before it is begun: time, memory and disk, by runs measured on this computer."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..inference.contract import depth_sequence, measured
from ..inference.contract.catalogue import EstimatorFacts
from ..inference.contract.events import Done
from ..inference.contract.job import Job
from ..inference.contract.measured import Forecast, Measured
from ..inference.contract.untrusted import is_there
from .current_run import duration

_GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a run will take.

    Attributes
    ----------
    frames : int
    forecast : Forecast or None
        None where no run of the estimator was measured.
    most_disk_bytes : int
        Of the maps, uncompressed.
    free_bytes : int or None
        On the disk of the output folder.
    """

    frames: int
    forecast: Forecast | None
    most_disk_bytes: int
    free_bytes: int | None


def of(job: Job, facts: EstimatorFacts, *, home: Path, root: Path) -> Outlook | None:
    """What a job will take; None where the size of its clip, or its range, is not known. Looks at the disk."""
    wanted = _measure(job, default_size=facts.default_size)
    if wanted is None:
        return None
    maps = 2 if facts.has_confidence else 1
    place = next((each for each in (root, *root.parents) if is_there(each)), None)
    free = None
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(place).free if place is not None else None
    return Outlook(
        frames=wanted.frames,
        forecast=measured.forecast(measured.load(home), wanted),
        most_disk_bytes=4 * maps * wanted.frames * wanted.map_pixels,
        free_bytes=free,
    )


def seconds(job: Job, *, default_size: int | None, home: Path) -> float | None:
    """How long a job will take, by the runs that were measured; None where that is not known."""
    wanted = _measure(job, default_size=default_size)
    found = measured.forecast(measured.load(home), wanted) if wanted is not None else None
    return found.seconds if found is not None else None


def note(job: Job, done: Done, *, home: Path) -> None:
    """Remember what a run took that was not resumed; nothing where the data folder cannot be written."""
    folder = Path(done.folder)
    with contextlib.suppress(OSError, depth_sequence.DepthSequenceError):
        sequence = depth_sequence.read(folder)
        run = _measure(job, default_size=max(sequence.processing_size or (0,)), frames=done.frames)
        if run is None:
            return
        taken = sum(path.stat().st_size for path in folder.glob("*.exr"))
        measured.add(
            home,
            Measured(
                estimator=run.estimator,
                settings=run.settings,
                frames=run.frames,
                pixels=run.pixels,
                map_pixels=sequence.width * sequence.height,
                seconds=done.seconds,
                peak_bytes=done.peak_bytes,
                disk_bytes=taken,
            ),
        )


def describe(outlook: Outlook) -> list[str]:
    """An outlook in sentences for the panel."""
    found, frames = outlook.forecast, f"{outlook.frames} frames" if outlook.frames != 1 else "1 frame"
    if found is None:
        lines = [f"{frames}, {_size(outlook.most_disk_bytes)} on disk at most. Preview measures how long it takes here"]
        needed = outlook.most_disk_bytes
    else:
        memory = f", {_size(found.peak_bytes)} of memory" if found.peak_bytes else ""
        needed = found.disk_bytes
        lines = [
            f"{frames}: about {duration(found.seconds)}{memory}, {_size(needed)} on disk, by a run of {found.frames} "
            "frames on this computer"
        ]
    if outlook.free_bytes is not None and outlook.free_bytes < needed:
        lines.append(f"Only {_size(outlook.free_bytes)} are free there")
    return lines


def _measure(job: Job, *, default_size: int | None, frames: int | None = None) -> Measured | None:
    """A job's size as runs are compared by it."""
    source, long_side = job.source, job.size or default_size
    if source.width is None or source.height is None or not long_side:
        return None
    if frames is None:
        if job.first_frame is None or job.last_frame is None:
            return None
        frames = job.last_frame - job.first_frame + 1
    if frames < 1:
        return None
    plate = source.width * source.height
    scale = min(1.0, long_side / max(source.width, source.height))
    pixels = max(1, round(plate * scale * scale))
    return Measured(
        estimator=job.estimator,
        settings=json.dumps(job.parameters, sort_keys=True, ensure_ascii=True)[:900],
        frames=frames,
        pixels=pixels,
        map_pixels=plate if job.full_size else pixels,
        seconds=0.0,
    )


def _size(count: float) -> str:
    """Bytes for people.

    >>> _size(2.5e9), _size(31e6), _size(12)
    ('2.5 GB', '31 MB', '1 MB')
    """
    return f"{count / _GB:.1f} GB" if count >= 0.95 * _GB else f"{max(1, round(count / 1e6))} MB"
