"""Everything that can be measured of some depth, as a report: what the command line and the demo make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ... import depth_sequence
from ..comparison import Comparison, Part
from ..consistency import Consistency
from ..metrics import MetricsError
from ..steadiness import Steadiness
from ..steady_measures import consistency_of, left_out
from ..steady_shots import ShotSteadiness, notes, steadiness_by_shot
from ..suite import slug
from ..suite_run import Measured
from ..table import APART, grid, told_apart
from . import compose, stability, write
from .data import Report, Slice, Table
from .sources import MIDDLE, NOTHING_ELSE, Extras, OnDisk

Tell = Callable[[str], None]


@dataclass(kw_only=True)
class _Found:
    """What was measured beside the errors, as it comes."""

    more: dict[tuple[str, int], Extras] = field(default_factory=dict)
    steady: list[tuple[str, Steadiness]] = field(default_factory=list)
    space: list[tuple[str, Part, Consistency]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, first_frame: int, extras: Extras) -> None:
        key = (name, first_frame)
        self.more[key] = self.more.get(key, NOTHING_ELSE) + extras

    def tables(self) -> Iterator[Table]:
        """Estimates of one shot below each other, so that the best of them can be told."""
        if self.steady:
            steady = sorted(self.steady, key=lambda row: row[1].first_frame)
            groups = tuple(f"{each.first_frame}-{each.last_frame}" for _, each in steady)
            yield stability.steadiness_table(steady, groups=groups)
            jumps = stability.jumps_table(steady)
            if jumps is not None:
                yield jumps
        if self.space:
            space = sorted(self.space, key=lambda row: row[1].first_frame)
            groups = tuple(f"{part.first_frame}-{part.last_frame}" for _, part, _ in space)
            yield stability.consistency_table([(label, each) for label, _, each in space], groups=groups)


def against_truth(
    title: str,
    comparisons: Mapping[str, Comparison],
    *,
    slices: tuple[Slice, ...] = MIDDLE,
    tell: Tell = lambda text: None,
) -> Report:
    """A report on one clip, compared with truth: errors, distances in space, and steadiness.

    What cannot be measured, such as distances without a camera path, is a note.

    Parameters
    ----------
    title : str
    comparisons : mapping
        By the estimates' names.
    slices : tuple of Slice
        Lines for temporal profiles.
    tell : callable
        Takes a line before each step.
    """
    found = _Found()
    clip = [compose.Compared(name=name, comparison=each) for name, each in comparisons.items()]
    for each in clip:
        comparison = each.comparison
        tell(f"Measuring the consistency of {each.name}")
        for part in comparison.parts:
            _space(found, each.name, comparison, part)
        tell(f"Measuring the steadiness of {each.name}")
        shots = steadiness_by_shot(comparison.folder, comparison.sequence)
        _note_steady(found, each.name, shots)
        for shot, steady in shots:
            part = max(comparison.parts, key=lambda part: _shared(part, shot))
            if isinstance(steady, Steadiness) and _shared(part, shot) > 0:
                found.add(each.name, part.first_frame, stability.of_steadiness(steady))
    names = {each.comparison.truth.name for each in clip}
    return compose.of_comparisons(
        title,
        [clip],
        more=dict.fromkeys(names, found.more),
        slices=slices,
        tables=tuple(found.tables()),
        notes=tuple(found.notes),
    )


def alone(
    title: str,
    estimates: Sequence[OnDisk],
    steady: Mapping[str, Sequence[ShotSteadiness]],
    *,
    slices: tuple[Slice, ...] = MIDDLE,
) -> Report:
    """A report on depth sequences of one plate, without any truth.

    Parameters
    ----------
    title : str
    estimates : sequence of OnDisk
    steady : mapping
        By the estimates' names, what `steady_shots.steadiness_by_shot` found of each.
    slices : tuple of Slice
        Lines for temporal profiles.
    """
    found = _Found()
    for each in estimates:
        _note_steady(found, each.name, steady[each.name])
        for shot, measured in steady[each.name]:
            if isinstance(measured, Steadiness):
                found.add(each.name, shot.first_frame, stability.of_steadiness(measured))
    return compose.of_sequences(
        title,
        estimates,
        more=found.more,
        slices=slices,
        tables=tuple(found.tables()),
        notes=tuple(found.notes),
    )


def write_suite(
    title: str,
    measured: Sequence[Measured],
    metrics: Sequence[str],
    folder: str | Path,
    *,
    slices: tuple[Slice, ...] = MIDDLE,
    tell: Tell = lambda text: None,
) -> Path:
    """Write the report of a suite: its table, and a page for each clip, which stands by itself.

    Of several runs with different seeds the first is shown; the table is over all.

    Parameters
    ----------
    title : str
    measured : sequence of Measured
        What `suite_run.run` found.
    metrics : sequence of str
        Those of the table.
    folder : path
    slices : tuple of Slice
    tell : callable

    Returns
    -------
    Path
        The page with the table.
    """
    folder = Path(folder)
    outcomes = [each.outcome for each in measured]
    pages: list[tuple[str, str]] = []
    taken: set[str] = set()
    for set_name, clip in dict.fromkeys((each.set, each.clip) for each in outcomes):
        own = [each for each in measured if (each.outcome.set, each.outcome.clip) == (set_name, clip)]
        shown = {e.outcome.estimator: e.comparison for e in own if e.comparison is not None and not e.outcome.run}
        if not shown:
            continue
        tell(f"Drawing {set_name}, {clip}")
        place = f"{slug(set_name)}/{slug(clip)}"
        if place in taken:  # two names that differ only in what a path cannot have
            place = f"{place}-{len(taken)}"
        taken.add(place)
        page = write.write(against_truth(f"{set_name}: {clip}", shown, slices=slices), folder / place)
        pages.append((f"{set_name}: {clip}", page.relative_to(folder).as_posix()))
    said = [remark for each in outcomes for remark in each.remarks()]
    tables = [compose.ranked_table("All sets", grid(outcomes, metrics))]
    apart = told_apart(outcomes, metrics)
    if apart:
        for region, where in APART.items():
            tables.append(compose.ranked_table(where, grid(outcomes, apart, region)))
    if len({(each.set, each.clip) for each in outcomes}) > 1:
        tables.append(compose.clips_table(outcomes, metrics))
    return write.write(
        Report(title=title, shots=(), tables=tuple(tables), notes=tuple(said), pages=tuple(pages)), folder
    )


def _space(found: _Found, name: str, comparison: Comparison, part: Part) -> None:
    label = name if len(comparison.parts) == 1 else f"{name}, frames {part.first_frame}-{part.last_frame}"
    try:
        measured = consistency_of(comparison, part)
    except MetricsError as error:
        found.notes.append(f"{label}: {error}")
        return
    found.space.append((label, part, measured))
    found.notes += [f"{label}: {note}" for note in left_out([measured])]
    found.add(name, part.first_frame, stability.of_consistency(measured, numbers=comparison.numbers))


def _note_steady(found: _Found, name: str, shots: Sequence[ShotSteadiness]) -> None:
    """Take what was measured into the tables; notes for what was left out, and for each shot that could not be."""
    for shot, measured in shots:
        label = f"{name}, frames {shot.first_frame}-{shot.last_frame}" if len(shots) > 1 else name
        if isinstance(measured, Steadiness):
            found.steady.append((label, measured))
            found.notes += [f"{label}, steadiness: {note}" for note in notes(measured)]
        else:
            found.notes.append(f"{label}, steadiness: {measured}")


def _shared(part: Part, shot: depth_sequence.Shot) -> int:
    return min(part.last_frame, shot.last_frame) - max(part.first_frame, shot.first_frame) + 1
