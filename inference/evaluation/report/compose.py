"""A whole report from what was measured: shots of several estimates put together, with their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..comparison import Comparison, Part
from ..metrics import METRIC
from ..table import Grid, Outcome, clip_means
from . import cuts, sources
from .data import Column, Report, Shot, Slice, Table
from .sources import MIDDLE, NOTHING_ELSE, Extras, Measured, OnDisk

More = Mapping[tuple[str, int], Extras]
"""Name of an estimate and first source frame of a shot to what else is known of it."""


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
        found = cuts.shots_table(sequences, apart=clip[0].comparison.protocol.align == "shot")
        made += [] if found is None else [found]
        made += sources.metrics_tables([(e.name, e.comparison.values()) for e in clip], reading=reading)
        said += [f"{each.name}: {note}" for each in clip for note in each.comparison.notes()]
        said += [note for each in clip for note in cuts.refusals(each.name, each.comparison.sequence)]
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
    said += [note for each in estimates for note in cuts.refusals(each.name, each.sequence)]
    found = cuts.shots_table([(each.name, each.sequence) for each in estimates])
    tables = tables if found is None else (found, *tables)
    for shot in first.sequence.done_shots:
        frames = range(shot.first_frame, shot.last_frame + 1)
        here = [each for each in estimates if _has_a_frame(each, frames)]
        absent = [each.name for each in estimates if each not in here]
        known = [replace(each, extras=(more or {}).get((each.name, shot.first_frame), each.extras)) for each in here]
        shots.append(_with_absent(sources.without_truth(shot, known, slices=slices), absent))
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
        shot = sources.against_truth(
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
