"""Writing a report: a folder with one self-contained page, and its figures as separate files.

The page has its figures embedded, all text escaped, and loads nothing.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from ...common import failures
from ...common.failures import Failure
from ...contract import exit_codes, own_files, packages
from ...contract.untrusted import readable
from ..table import Column, Table, Value
from .figures import contact, curves, profile, spectra, style
from .figures.scale import Scale, scale_of
from .figures.style import Drawn
from .gather import Gathered, gather
from .shots import Shot

PAGE = "index.html"
FIGURES = "figures"
_FIGURE = re.compile(
    r"shot[0-9]+_(side_by_side|errors|errors_by_frame|mean|steadiness|spectra"
    r"|profile_(column|row)[0-9]*|sheet[0-9]+_[a-z0-9-]*)[.]png"
)
"""Files of a report; other files beside them are not touched."""
_UNFINISHED, _LONG_AGO = ".report-", 86400.0
"""Prefix of the folder of a report that is being written, and seconds after which nobody writes one any more."""
_MARK, _HEAD = b"Made by Fathom ", 1 << 16
"""Text by which a report is recognized, and the leading bytes of the page that contain it."""
_TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a page.

    Attributes
    ----------
    tables : tuple of Table
        Figures over everything, before the shots.
    pages : tuple of (title, path)
        Further pages, from this one's folder, such as one for each clip of a suite.
    notes : tuple of str
        Sentences: what was skipped, and how it was measured.
    """

    title: str
    shots: tuple[Shot, ...]
    tables: tuple[Table, ...] = ()
    pages: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShotPage:
    """A shot's part of the page."""

    title: str
    notes: tuple[str, ...]
    facts: Table
    figures: tuple[Drawn, ...]
    bands: tuple[Table, ...]


def write(report: Report, folder: str | Path) -> Path:
    """Draw a report's figures and write its page, which is returned; memory holds the figures of one shot.

    ``index.html`` embeds all figures and can be shared alone; ``figures/`` has each as a PNG. An earlier report in the
    folder is replaced once this one is complete.

    Raises
    ------
    ReportError
        A shot has no depth map, or frames of different sizes.
    ClipError
        A depth map or the ground truth cannot be read.
    Failure
        The folder cannot be written, or has other files with the names of a report's.
    """
    folder = Path(folder)
    check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as scratch:
            drawn: list[str] = []
            with open(Path(scratch) / PAGE, "x", encoding="utf-8") as file:
                for piece in render_page(report, _pages(report.shots, Path(scratch), drawn)):
                    file.write(readable(piece))
            _publish(Path(scratch), folder, drawn)
    except OSError as error:
        raise failures.unwritable(error, error.filename or folder) from error
    return folder / PAGE


def _remove_leftovers(folder: Path) -> None:
    """Delete what runs that were killed more than a day ago have left of their reports."""
    for left in folder.glob(f"{_UNFINISHED}????????"):
        if left.is_symlink() or not left.is_dir() or time.time() - left.stat().st_mtime < _LONG_AGO:
            continue
        for path in left.iterdir():
            if own_files.is_file(path) and (path.name == PAGE or _FIGURE.fullmatch(path.name)):
                path.unlink()
        with contextlib.suppress(OSError):  # it has files of somebody else
            left.rmdir()


def check(folder: Path) -> None:
    """Check that a folder has no other file with the name of a report's, which is a `Failure`."""
    strange = None
    if (folder / PAGE).is_symlink() or not _is_report(folder / PAGE):
        strange = folder / PAGE
    elif (figures := folder / FIGURES).is_symlink() or (figures.exists() and not figures.is_dir()):
        strange = figures
    if strange is not None:
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{strange} exists and is not part of a report, so no report is written over it.",
            hint="Choose another folder for the report.",
        )


def _is_report(path: Path) -> bool:
    """Whether a page is a report's, or missing."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with open(path, "rb") as file:
            return _MARK in file.read(_HEAD)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError as error:
        raise failures.unwritable(error, path) from error


def _pages(shots: Sequence[Shot], scratch: Path, drawn: list[str]) -> Iterator[ShotPage]:
    """Each shot's part of the page; its figures are written as files, and their names added to `drawn`."""
    for number, shot in enumerate(shots, start=1):
        made = _page(shot)
        for each in made.figures:
            drawn.append(f"shot{number}_{each.name}.png")
            (scratch / drawn[-1]).write_bytes(each.png)
        yield made


def _publish(scratch: Path, folder: Path, drawn: Sequence[str]) -> None:
    """Replace an earlier report with a finished one."""
    figures = folder / FIGURES
    figures.mkdir(exist_ok=True)
    for path in figures.iterdir():
        if _FIGURE.fullmatch(path.name) and path.name not in drawn:
            path.unlink()
    for name in drawn:
        os.replace(scratch / name, figures / name)
    os.replace(scratch / PAGE, folder / PAGE)


def _page(shot: Shot) -> ShotPage:
    gathered = gather(shot)
    scale = scale_of(gathered)
    notes = [*shot.notes, *gathered.notes, *scale.notes]
    with style.styled():
        figures = _figures(shot, gathered, scale, notes)
    return ShotPage(
        title=shot.title,
        notes=tuple(notes),
        facts=_facts(shot, gathered),
        figures=tuple(figures),
        bands=tuple(spectra.tables(shot)),
    )


def _figures(shot: Shot, gathered: Gathered, scale: Scale, notes: list[str]) -> list[Drawn]:
    """Every figure that the shot has data for; the notes name those for which it is too short."""
    drawn: list[Drawn] = []

    def add(name: str, title: str, reading: str, make: Callable[[], Figure]) -> None:
        image = style.png(make())
        alternative = f"{title} of {shot.title}: {', '.join(estimate.name for estimate in shot.estimates)}."
        drawn.append(Drawn(name=name, title=title, reading=reading, alternative=alternative, png=image))

    several = len(shot.estimates) > 1
    if several or gathered.plate or gathered.ground_truth:
        reading = contact.COMPARISON if several else contact.BESIDE
        add("side_by_side", "Side by side", reading, lambda: contact.side_by_side(gathered, scale))
    if any(track.errors for track in gathered.estimates):
        add("errors", "Where the errors are", contact.ERRORS, lambda: contact.error_maps(gathered))
    if len(shot.frames) > 1:
        for index, each in enumerate(shot.slices):
            title = f"Temporal profile of a {each.kind} ({100 * each.at:.0f} % of the way {_across(each.kind)})"
            name = f"profile_{_unique(each.kind, index, [s.kind for s in shot.slices])}"
            add(name, title, profile.reading(shot, gathered), lambda i=index: profile.profile(shot, gathered, scale, i))  # type: ignore[misc]
        add("mean", "Mean over time", curves.mean_reading(shot), lambda: curves.mean_disparity(shot, gathered, scale))
        if curves.measures(shot):
            add("errors_by_frame", "Errors by frame", curves.by_frame_reading(shot), lambda: curves.errors(shot))
        if any(estimate.series for estimate in shot.estimates):
            add("steadiness", "Temporal stability by frame", curves.series_reading(shot), lambda: curves.series(shot))
    else:
        notes.append("The shot has one frame, so there are no profiles, curves or spectra.")
    if spectra.analyzed(shot):
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
    """The frames and value ranges of the estimates."""
    rows: list[tuple[Value, ...]] = []
    for track in gathered.estimates:
        there = np.isfinite(track.missing)
        samples = track.samples
        low, high = np.percentile(samples, [1, 99]).tolist() if len(samples) else (None, None)
        scale, shift = track.alignment or (None, None)
        missing = 100 * float(track.missing[there].mean())
        rows.append((track.name, int(there.sum()), missing, low, high, scale, shift))
    columns = (
        Column(name="Estimate"),
        Column(name="frames", digits=0),
        Column(name="pixels without a value", unit="%", digits=2),
        Column(name="1 % of its values", digits=4),
        Column(name="99 % of its values", digits=4),
        Column(name="scale", digits=6),
        Column(name="shift", unit="1/m", digits=6),
    )
    return Table(
        title="Frames and values",
        reading=f"{_format_frames(shot.frames)}. The percentiles "
        "are of the whole shot, in the estimator's own unit (larger is nearer)"
        + ("; scale and shift align it with true inverse depth." if gathered.ground_truth else "."),
        columns=columns if gathered.ground_truth else columns[:5],
        rows=tuple(row if gathered.ground_truth else row[:5] for row in rows),
    )


def _format_frames(frames: tuple[int, ...]) -> str:
    return f"{len(frames)} frames from {frames[0]} to {frames[-1]}" if len(frames) > 1 else f"Frame {frames[0]} only"


def _across(kind: str) -> str:
    return "across" if kind == "column" else "down"


def _unique(kind: str, index: int, kinds: list[str]) -> str:
    """The kind, numbered if there are several."""
    return kind if kinds.count(kind) == 1 else f"{kind}{kinds[: index + 1].count(kind)}"


def render_page(report: Report, shots: Iterable[ShotPage]) -> Iterator[str]:
    """The page's HTML, piece by piece; each shot is drawn when its turn comes."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    yield from template.generate(
        report=report,
        shots=shots,
        version=packages.fathom_version(),
        embedded=lambda png: base64.b64encode(style.for_page(png)).decode("ascii"),
    )
