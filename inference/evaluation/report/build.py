"""Everything that can be measured of some depth, as a report: what the command line and the demo make.

Shots of several estimates are put together with their tables, among them those of a clip's cuts and of the shots that
an estimator made no depth of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence
from ...contract.hints import as_options
from ..accuracy.comparison import Comparison, Part
from ..accuracy.metrics import METRIC, MetricsError
from ..accuracy.over_time import consistency_of, left_out
from ..stability.consistency import Consistency
from ..stability.temporal_stability import ShotSteadiness, Steadiness, notes, steadiness_by_shot
from ..suites import run as suite_run
from ..suites.suite import slug
from ..suites.table import APART, Grid, Outcome, clip_means, grid, told_apart
from . import shots as shots_module
from . import tables, write
from .data import Column, Report, Shot, Slice, Table, Value
from .shots import MIDDLE, NOTHING_ELSE, Extras, Measured, OnDisk

Tell = Callable[[str], None]
More = Mapping[tuple[str, int], Extras]
"""Name of an estimate and first source frame of a shot to what else is known of it."""
_APART = (
    "Every shot has a scale and a shift of its own and is measured by itself: sizes and colours of one say nothing "
    "about those of another. "
)


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
            yield tables.steadiness_table(steady, groups=groups)
            jumps = tables.jumps_table(steady)
            if jumps is not None:
                yield jumps
        if self.space:
            space = sorted(self.space, key=lambda row: row[1].first_frame)
            groups = tuple(f"{part.first_frame}-{part.last_frame}" for _, part, _ in space)
            yield tables.consistency_table([(label, each) for label, _, each in space], groups=groups)


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
    clip = [Compared(name=name, comparison=each) for name, each in comparisons.items()]
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
                found.add(each.name, part.first_frame, tables.of_steadiness(steady))
    names = {each.comparison.truth.name for each in clip}
    return of_comparisons(
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
        By the estimates' names, what `temporal_stability.steadiness_by_shot` found of each.
    slices : tuple of Slice
        Lines for temporal profiles.
    """
    found = _Found()
    for each in estimates:
        _note_steady(found, each.name, steady[each.name])
        for shot, measured in steady[each.name]:
            if isinstance(measured, Steadiness):
                found.add(each.name, shot.first_frame, tables.of_steadiness(measured))
    return of_sequences(
        title,
        estimates,
        more=found.more,
        slices=slices,
        tables=tuple(found.tables()),
        notes=tuple(found.notes),
    )


def write_suite(
    title: str,
    measured: Sequence[suite_run.Measured],
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
        What `run.run` found.
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
    tables = [ranked_table("All sets", grid(outcomes, metrics))]
    apart = told_apart(outcomes, metrics)
    if apart:
        for region, where in APART.items():
            tables.append(ranked_table(where, grid(outcomes, apart, region)))
    if len({(each.set, each.clip) for each in outcomes}) > 1:
        tables.append(clips_table(outcomes, metrics))
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
    found.add(name, part.first_frame, tables.of_consistency(measured, numbers=comparison.numbers))


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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison with truth, and the name that it goes by."""

    name: str
    comparison: Comparison


def of_comparisons(
    title: str,
    clips: Sequence[Sequence[Compared]],
    *,
    more: Mapping[str, More] | None = None,
    slices: tuple[Slice, ...] = MIDDLE,
    tables: tuple[Table, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    """A report on clips that were compared with truth.

    Parameters
    ----------
    title : str
    clips : sequence of sequences of Compared
        For each clip, one or several estimates of it, all measured by the same truth and protocol.
    more : mapping or None
        By the clip's name (that of its truth): see `More`.
    slices : tuple of Slice
    tables : tuple of Table
        Further ones, after those of the metrics.
    notes : tuple of str

    Raises
    ------
    ReportError
        Two estimates of a clip have one name.
    """
    made: list[Table] = []
    shots: list[Shot] = []
    said = list(notes)
    for clip in clips:
        name = clip[0].comparison.truth.name
        average = clip[0].comparison.protocol.average
        reading = f"Clip {name}; in the means every {'frame' if average == 'frames' else 'pixel'} counts alike."
        sequences = [(each.name, each.comparison.sequence) for each in clip]
        found = shots_table(sequences, apart=clip[0].comparison.protocol.align == "shot")
        made += [] if found is None else [found]
        made += shots_module.metrics_tables([(e.name, e.comparison.values()) for e in clip], reading=reading)
        said += [f"{each.name}: {note}" for each in clip for note in each.comparison.notes()]
        said += [note for each in clip for note in refusals(each.name, each.comparison.sequence)]
        shots += _shots(clip, (more or {}).get(name, {}), slices)
    return Report(title=title, shots=tuple(shots), tables=(*made, *tables), notes=tuple(said))


def of_sequences(
    title: str,
    estimates: Sequence[OnDisk],
    *,
    more: More | None = None,
    slices: tuple[Slice, ...] = MIDDLE,
    tables: tuple[Table, ...] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    """A report on depth sequences of one plate, without truth.

    Parameters
    ----------
    title : str
    estimates : sequence of OnDisk
        The first says where the shots are.
    more : mapping or None
        See `More`.
    slices : tuple of Slice
    tables : tuple of Table
    notes : tuple of str

    Raises
    ------
    ReportError
        Two have one name.
    """
    first, shots, said = estimates[0], [], list(notes)
    said += [note for each in estimates for note in refusals(each.name, each.sequence)]
    found = shots_table([(each.name, each.sequence) for each in estimates])
    tables = tables if found is None else (found, *tables)
    for shot in first.sequence.done_shots:
        frames = range(shot.first_frame, shot.last_frame + 1)
        here = [each for each in estimates if _has_a_frame(each, frames)]
        absent = [each.name for each in estimates if each not in here]
        known = [replace(each, extras=(more or {}).get((each.name, shot.first_frame), each.extras)) for each in here]
        shots.append(_with_absent(shots_module.without_truth(shot, known, slices=slices), absent))
    return Report(title=title, shots=tuple(shots), tables=tables, notes=tuple(said))


def ranked_table(title: str, found: Grid) -> Table:
    """A suite's figures: a row an estimator, a column for each set and measure, the average rank last."""
    heads = [
        Column(name=f"{place} {METRIC[name].label}", unit=METRIC[name].unit, better=METRIC[name].better)
        for place, name in found.columns
    ]
    return Table(
        title=title,
        reading="One column for each set and measure; the rank is the mean over the columns of the place that an "
        "estimator takes in them. A figure is the mean over the set's clips; one that no estimator could be measured "
        "on does not count, and an estimator that lacks one that another has gets a dash. The notes say what failed.",
        columns=(*heads, Column(name="average rank", better="lower", digits=1)),
        rows=tuple(
            (name, (*(None if cell is None else cell.mean for cell in row), found.rank[name]))
            for name, row in found.rows.items()
        ),
    )


def clips_table(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> Table:
    """A suite's figures clip by clip, means over the runs that were measured; the best is told within each clip."""
    means = clip_means(outcomes, metrics)
    return Table(
        title="Clip by clip",
        reading="Means over the runs. A dash: it could not be measured, and the notes say why.",
        head="Set, clip: estimate",
        columns=tuple(
            Column(name=METRIC[name].label, unit=METRIC[name].unit, better=METRIC[name].better) for name in metrics
        ),
        rows=tuple((f"{place}, {clip}: {name}", values) for place, clip, name, values in means),
        groups=tuple(f"{place}, {clip}" for place, clip, _, _ in means),
    )


def _shots(clip: Sequence[Compared], more: More, slices: tuple[Slice, ...]) -> list[Shot]:
    """The shots of a clip, each with the parts of all estimates that belong to it."""
    found = []
    for group in _grouped(clip):
        here = [each for each in clip if each.name in group]
        first = here[0].comparison
        shot = shots_module.against_truth(
            first.truth,
            [
                Measured(
                    name=each.name,
                    disparity=each.comparison.disparity,
                    scores=group[each.name].scores,
                    extras=more.get((each.name, group[each.name].first_frame), NOTHING_ELSE),
                )
                for each in here
            ],
            protocol=first.protocol,
            numbers=first.numbers,
            source=first.sequence.source,
            slices=slices,
        )
        found.append(_with_absent(shot, [each.name for each in clip if each.name not in group]))
    return found


def _grouped(clip: Sequence[Compared]) -> list[dict[str, Part]]:
    """Parts of different estimates that overlap most, by the estimates' names; in order of time."""
    groups: list[dict[str, Part]] = []
    for each in clip:
        for part in each.comparison.parts:
            free = [group for group in groups if each.name not in group and _overlap(group, part)]
            if free:
                max(free, key=lambda group: _overlap(group, part))[each.name] = part
            else:
                groups.append({each.name: part})
    return sorted(groups, key=lambda group: min(part.first_frame for part in group.values()))


def _overlap(group: Mapping[str, Part], part: Part) -> int:
    first = next(iter(group.values()))
    return max(0, min(first.last_frame, part.last_frame) - max(first.first_frame, part.first_frame) + 1)


def _has_a_frame(each: OnDisk, frames: range) -> bool:
    return any(s.first_frame < frames.stop and s.last_frame >= frames.start for s in each.sequence.done_shots)


def _with_absent(shot: Shot, absent: Sequence[str]) -> Shot:
    if not absent:
        return shot
    said = f"There is no depth of this shot by {', '.join(absent)}."
    return replace(shot, notes=(*shot.notes, said))


def shots_table(sequences: Sequence[tuple[str, DepthSequence]], *, apart: bool = True) -> Table | None:
    """Every shot with its frames and what each estimator did; None for clips of one shot that all made depth of.

    Parameters
    ----------
    sequences : sequence of (name, DepthSequence)
    apart : bool
        Whether each shot is measured by itself, by a scale and a shift of its own.
    """
    by_shot = [{(s.first_frame, s.last_frame): s.status for s in sequence.shots} for _, sequence in sequences]
    shots = sorted({shot for each in by_shot for shot in each})
    if len(shots) < 2 and all(status == "done" for each in by_shot for status in each.values()):
        return None
    rows: list[tuple[str, tuple[Value, ...]]] = []
    for first, last in shots:
        done = (_told(each.get((first, last))) for each in by_shot)
        rows.append((f"frames {first}-{last}", (float(last - first + 1), *done)))
    alike = all(list(each) == list(by_shot[0]) for each in by_shot)
    return Table(
        title="Shots and cuts",
        reading=("There is a cut between each shot and the next. " if alike else "Cuts were found in unlike places. ")
        + (_APART if apart else "")
        + "Why a shot has no depth stands in the notes.",
        head="Shot",
        columns=(Column(name="length", unit="frames", digits=0), *(Column(name=name) for name, _ in sequences)),
        rows=tuple(rows),
    )


def refusals(name: str, sequence: DepthSequence) -> Iterator[str]:
    """A sentence for every shot that an estimator refused."""
    for shot in sequence.refused_shots:
        yield f"{name} refused the frames {shot.first_frame}-{shot.last_frame}: {as_options(shot.reason or '')}"


def _told(status: str | None) -> str:
    if status is None:
        return "cut elsewhere"
    return {"done": "depth", "refused": "refused"}.get(status, status)
