"""Writing a report: a folder with one page that stands by itself, and its figures as files of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ... import faults
from ...records import readable
from . import contact, curves, page, profile, spectra, style
from .data import Column, Report, Shot, Table, Value
from .gather import Gathered, gather
from .scale import Scale, scale_of

PAGE = "index.html"
FIGURES = "figures"


def write(report: Report, folder: str | Path) -> Path:
    """Draw a report's figures and write its page.

    Parameters
    ----------
    report : Report
    folder : path
        Made where it is not there. ``index.html`` holds all figures and may be passed on alone; ``figures/`` has each
        as a PNG, for use elsewhere. An earlier report in the folder is replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ReportError
        A shot has no map at all, or frames of different sizes.
    ClipError
        A depth map or the truth cannot be read.
    Failure
        The folder cannot be written.
    """
    folder = Path(folder)
    pages = [_page(shot) for shot in report.shots]
    html = page.render(report, pages)
    place = folder
    try:
        figures = folder / FIGURES
        figures.mkdir(parents=True, exist_ok=True)
        for place in figures.glob("shot*.png"):
            place.unlink()
        for number, each in enumerate(pages, start=1):
            for drawn in each.figures:
                place = figures / f"shot{number}_{drawn.name}.png"
                place.write_bytes(drawn.png)
        place = folder / PAGE
        temporary = folder / f".{PAGE}.{os.getpid()}.tmp"
        temporary.write_text(readable(html), encoding="utf-8")
        temporary.replace(place)
    except OSError as error:
        raise faults.unwritable(error, place, needed_bytes=len(html) * 2) from error
    return folder / PAGE


def _page(shot: Shot) -> page.ShotPage:
    gathered = gather(shot)
    scale = scale_of(gathered)
    notes = [*shot.notes, *gathered.notes, *scale.notes]
    with style.styled():
        figures = _figures(shot, gathered, scale, notes)
    return page.ShotPage(
        title=shot.title,
        notes=tuple(notes),
        facts=_facts(shot, gathered),
        figures=tuple(figures),
        bands=tuple(spectra.tables(shot)),
    )


def _figures(shot: Shot, gathered: Gathered, scale: Scale, notes: list[str]) -> list[style.Drawn]:
    """Every figure that the shot has something for; what it is too short for goes into the notes."""
    drawn: list[style.Drawn] = []

    def add(name: str, title: str, reading: str, make: Callable[[], Figure]) -> None:
        picture = style.png(make())
        alternative = f"{title} of {shot.title}: {', '.join(estimate.name for estimate in shot.estimates)}."
        drawn.append(style.Drawn(name=name, title=title, reading=reading, alternative=alternative, png=picture))

    several = len(shot.estimates) > 1
    if several or gathered.plate or gathered.truth:
        reading = contact.COMPARISON if several else contact.BESIDE
        add("side_by_side", "Side by side", reading, lambda: contact.side_by_side(gathered, scale))
    if any(track.errors for track in gathered.estimates):
        add("errors", "Where the errors are", contact.ERRORS, lambda: contact.error_maps(gathered))
    if len(shot.frames) > 1:
        for index, each in enumerate(shot.slices):
            title = f"Temporal profile of a {each.kind} ({100 * each.at:.0f} % of the way {_across(each.kind)})"
            name = f"profile_{_unique(each.kind, index, [s.kind for s in shot.slices])}"
            add(name, title, profile.reading(shot), lambda i=index: profile.profile(shot, gathered, scale, i))  # type: ignore[misc]
        add("mean", "Mean over time", curves.mean_reading(shot), lambda: curves.mean_disparity(shot, gathered, scale))
        if curves.measures(shot):
            add("errors_by_frame", "Errors by frame", curves.by_frame_reading(shot), lambda: curves.errors(shot))
        if any(estimate.series for estimate in shot.estimates):
            add("steadiness", "Steadiness by frame", curves.series_reading(shot), lambda: curves.series(shot))
    else:
        notes.append("The shot has one frame, so there is nothing to see over time: no profiles, curves or spectra.")
    if spectra.analysed(shot):
        reading = spectra.READING + (spectra.RATIO if several else "")
        add("spectra", "Errors by frequency", reading, lambda: spectra.spectra(shot))
    elif 1 < len(shot.frames) < spectra.SHORTEST and curves.measures(shot):
        notes.append(f"A spectrum needs {spectra.SHORTEST} frames and the shot has {len(shot.frames)}.")
    for number, track in enumerate(gathered.estimates, start=1):
        name = re.sub(r"[^A-Za-z0-9]+", "-", track.name).strip("-").lower()[:40]
        title = f"Contact sheet: {track.name}" if several else "Contact sheet"
        add(f"sheet{number}_{name}", title, contact.SHEET, lambda t=track: contact.sheet(t, scale))  # type: ignore[misc]
    return drawn


def _facts(shot: Shot, gathered: Gathered) -> Table:
    """What was looked at, and the values that the colours stand for."""
    rows = []
    for track in gathered.estimates:
        there = np.isfinite(track.missing)
        low, high = np.percentile(track.samples, [1, 99]) if len(track.samples) else (None, None)
        scale, shift = track.alignment or (None, None)
        missing = 100 * float(track.missing[there].mean())
        values: tuple[Value, ...] = (int(there.sum()), missing, low, high, scale, shift)
        rows.append((track.name, values if gathered.truth else values[:4]))
    columns = (
        Column(name="frames", digits=0),
        Column(name="pixels without a value", unit="%", digits=2),
        Column(name="1 % of its values", digits=4),
        Column(name="99 % of its values", digits=4),
        Column(name="scale", digits=6),
        Column(name="shift", unit="1/m", digits=6),
    )
    return Table(
        title="What was looked at",
        reading=f"{_told_frames(shot.frames)}. The percentiles "
        "are of the whole shot, in the estimator's own unit (larger is nearer)"
        + ("; scale and shift bring it to true inverse depth." if gathered.truth else "."),
        columns=columns if gathered.truth else columns[:4],
        rows=tuple(rows),
    )


def _told_frames(frames: tuple[int, ...]) -> str:
    return f"{len(frames)} frames from {frames[0]} to {frames[-1]}" if len(frames) > 1 else f"Frame {frames[0]} alone"


def _across(kind: str) -> str:
    return "across" if kind == "column" else "down"


def _unique(kind: str, index: int, kinds: list[str]) -> str:
    """The kind, with its place among several of the kind."""
    return kind if kinds.count(kind) == 1 else f"{kind}{kinds[: index + 1].count(kind)}"
