"""Everything that can be measured of some depth, as a report: what the command line and the demo make."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...contract import depth_sequence
from ...contract.depth_sequence import DepthSequence
from ...contract.hints import as_options
from ..accuracy.comparison import Comparison, Part
from ..accuracy.metrics import MetricsError
from ..accuracy.over_time import consistency_of, left_out
from ..stability.consistency import Consistency
from ..stability.temporal_stability import ShotSteadiness, Steadiness, notes, steadiness_by_shot
from ..suites.outcomes import APART, Outcome, by_clip, ranked, told_apart
from ..suites.suite import slug
from ..table import Table
from . import shots, tables, write
from .shots import MIDDLE, Extras, OnDisk, Shot, Slice
from .write import Report

Tell = Callable[[str], None]

_Frames = Part | depth_sequence.Shot


class _Found:
    """What was measured beside the errors, as it comes."""

    def __init__(self) -> None:
        self.more: dict[tuple[str, int], Extras] = defaultdict(Extras)
        """By the name of an estimate and the first source frame of a shot."""
        self.notes: list[str] = []
        self._steady: list[tuple[str, Steadiness]] = []
        self._space: list[tuple[str, Part, Consistency]] = []

    def take_steadiness(
        self, name: str, by_shot: Sequence[ShotSteadiness], parts: Sequence[Part] | None = None
    ) -> None:
        """Shots of an estimate, with notes for what was left out; `parts` are what the report shows in their place."""
        for shot, found in by_shot:
            label = _label(name, shot, several=len(by_shot) > 1)
            if not isinstance(found, Steadiness):
                self.notes.append(f"{label}, steadiness: {found}")
                continue
            self._steady.append((label, found))
            self.notes += [f"{label}, steadiness: {note}" for note in notes(found)]
            shown = shot if parts is None else max(parts, key=lambda part: _overlap(part, shot))
            if _overlap(shown, shot):
                self.more[name, shown.first_frame] += tables.of_steadiness(found)

    def take_consistency(self, name: str, comparison: Comparison) -> None:
        """Distances in space of every part, or a note on why there are none."""
        for part in comparison.parts:
            label = _label(name, part, several=len(comparison.parts) > 1)
            try:
                found = consistency_of(comparison, part)
            except MetricsError as error:
                self.notes.append(f"{label}: {error}")
                continue
            self._space.append((label, part, found))
            self.notes += [f"{label}: {note}" for note in left_out([found])]
            self.more[name, part.first_frame] += tables.of_consistency(found, numbers=comparison.numbers)

    def made(self) -> Iterator[Table | None]:
        """Estimates of one shot below each other, so that the best of them can be told."""
        steady = sorted(self._steady, key=lambda row: row[1].first_frame)
        space = sorted(self._space, key=lambda row: row[1].first_frame)
        if steady:
            yield tables.steadiness_table(steady)
            yield tables.jumps_table(steady)
        if space:
            groups = tuple(f"{part.first_frame}-{part.last_frame}" for _, part, _ in space)
            yield tables.consistency_table([(label, found) for label, _, found in space], groups=groups)


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
        By the estimates' names, all by the same truth and protocol.
    slices : tuple of Slice
        Lines for temporal profiles.
    tell : callable
        Takes a line before each step.
    """
    found = _Found()
    for name, each in comparisons.items():
        tell(f"Measuring the consistency of {name}")
        found.take_consistency(name, each)
        tell(f"Measuring the steadiness of {name}")
        found.take_steadiness(name, steadiness_by_shot(each.folder, each.sequence), each.parts)
    first = next(iter(comparisons.values()))
    counts = "frame" if first.protocol.average == "frames" else "pixel"
    reading = f"Clip {first.truth.name}; in the means every {counts} counts alike."
    sequences = {name: each.sequence for name, each in comparisons.items()}
    shown = []
    for group in _grouped(comparisons):
        compared = {name: (comparisons[name], part, found.more[name, part.first_frame]) for name, part in group.items()}
        shown.append(_without(shots.of_parts(compared, slices=slices), [n for n in comparisons if n not in group]))
    return Report(
        title=title,
        shots=tuple(shown),
        tables=_present(
            tables.shots_table(sequences, apart=first.protocol.align == "shot"),
            *tables.metrics_tables([(name, each.values()) for name, each in comparisons.items()], reading=reading),
            *found.made(),
        ),
        notes=(
            *found.notes,
            *(f"{name}: {note}" for name, each in comparisons.items() for note in each.notes()),
            *refusals(sequences),
        ),
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
        The first says where the shots are.
    steady : mapping
        By the estimates' names, what `temporal_stability.steadiness_by_shot` found of each.
    slices : tuple of Slice
        Lines for temporal profiles.
    """
    found = _Found()
    for each in estimates:
        found.take_steadiness(each.name, steady[each.name])
    sequences = {each.name: each.sequence for each in estimates}
    shown = []
    for shot in estimates[0].sequence.done_shots:
        here = [each for each in estimates if any(_overlap(own, shot) for own in each.sequence.done_shots)]
        with_more = [(each, found.more[each.name, shot.first_frame]) for each in here]
        absent = [each.name for each in estimates if each not in here]
        shown.append(_without(shots.of_sequences(shot, with_more, slices=slices), absent))
    return Report(
        title=title,
        shots=tuple(shown),
        tables=_present(tables.shots_table(sequences), *found.made()),
        notes=(*found.notes, *refusals(sequences)),
    )


def write_suite(
    title: str,
    outcomes: Sequence[Outcome],
    metrics: Sequence[str],
    folder: str | Path,
    *,
    tell: Tell = lambda text: None,
) -> Path:
    """Write the report of a suite: its table, and a page for each clip, which stands by itself.

    Of several runs with different seeds the first is shown; the table is over all.

    Parameters
    ----------
    title : str
    outcomes : sequence of Outcome
        What `run.run` found.
    metrics : sequence of str
        Those of the table.
    folder : path
    tell : callable

    Returns
    -------
    Path
        The page with the table.
    """
    folder = Path(folder)
    pages: dict[str, str] = {}
    clips = dict.fromkeys((each.set, each.clip) for each in outcomes)
    for set_name, clip in clips:
        own = [each for each in outcomes if (each.set, each.clip) == (set_name, clip) and not each.run]
        compared = {each.estimator: each.comparison for each in own if each.comparison is not None}
        if not compared:
            continue
        name = f"{set_name}: {clip}"
        tell(f"Drawing {set_name}, {clip}")
        place = f"{slug(set_name)}/{slug(clip)}"
        if f"{place}/{write.PAGE}" in pages:  # two names that differ only in what a path cannot have
            place = f"{place}-{len(pages)}"
        pages[write.write(against_truth(name, compared), folder / place).relative_to(folder).as_posix()] = name
    made = [ranked(outcomes, metrics, title="All sets")]
    apart = told_apart(outcomes, metrics)
    made += [ranked(outcomes, apart, region, title=where) for region, where in APART.items()] if apart else []
    made += [by_clip(outcomes, metrics, compared=True)] if len(clips) > 1 else []
    report = Report(
        title=title,
        shots=(),
        tables=tuple(made),
        notes=tuple(remark for each in outcomes for remark in each.remarks()),
        pages=tuple((name, page) for page, name in pages.items()),
    )
    return write.write(report, folder)


def refusals(sequences: Mapping[str, DepthSequence]) -> Iterator[str]:
    """A sentence for every shot that an estimator refused."""
    for name, sequence in sequences.items():
        for shot in sequence.refused_shots:
            yield f"{name} refused the frames {shot.first_frame}-{shot.last_frame}: {as_options(shot.reason or '')}"


def _grouped(comparisons: Mapping[str, Comparison]) -> list[dict[str, Part]]:
    """Parts of different estimates that overlap most, by the estimates' names; in order of time."""
    groups: list[dict[str, Part]] = []
    for name, comparison in comparisons.items():
        for part in comparison.parts:
            free = [group for group in groups if name not in group and _shared(group, part)]
            if free:
                max(free, key=lambda group: _shared(group, part))[name] = part
            else:
                groups.append({name: part})
    return sorted(groups, key=lambda group: min(part.first_frame for part in group.values()))


def _shared(group: Mapping[str, Part], part: Part) -> int:
    return _overlap(next(iter(group.values())), part)


def _overlap(one: _Frames, other: _Frames) -> int:
    """How many frames two ranges share."""
    return max(0, min(one.last_frame, other.last_frame) - max(one.first_frame, other.first_frame) + 1)


def _label(name: str, frames: _Frames, *, several: bool) -> str:
    return f"{name}, frames {frames.first_frame}-{frames.last_frame}" if several else name


def _without(shot: Shot, absent: Sequence[str]) -> Shot:
    """The shot with a note on the estimates that it lacks."""
    notes = (f"There is no depth of this shot by {', '.join(absent)}.",) if absent else ()
    return replace(shot, notes=shot.notes + notes)


def _present(*made: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in made if table is not None)
