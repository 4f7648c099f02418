"""Reports of everything that can be measured, for the command line and the demo."""

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
from ..accuracy.over_time import consistency_of, skipped_pairs
from ..stability.consistency import Consistency
from ..stability.temporal_stability import ShotStability, TemporalStability, notes, stability_by_shot
from ..suites.outcomes import APART, Outcome, by_clip, ranked, region_metrics
from ..suites.suite import slug
from ..table import Table
from . import shots, tables, write
from .shots import MIDDLE, Extras, OnDisk, Shot, Slice
from .write import Report

Log = Callable[[str], None]

_Frames = Part | depth_sequence.Shot


class _Found:
    """Measurements other than errors, collected estimate by estimate."""

    def __init__(self) -> None:
        self.more: dict[tuple[str, int], Extras] = defaultdict(Extras)
        """By name of the estimate and first source frame of the shot."""
        self.notes: list[str] = []
        self._steady: list[tuple[str, TemporalStability]] = []
        self._space: list[tuple[str, Part, Consistency]] = []

    def add_stability(self, name: str, by_shot: Sequence[ShotStability], parts: Sequence[Part] | None = None) -> None:
        """Add the shots of an estimate, with notes on what was skipped; `parts` are the report's own ranges, if any."""
        for shot, found in by_shot:
            label = _label(name, shot, several=len(by_shot) > 1)
            if not isinstance(found, TemporalStability):
                self.notes.append(f"{label}, temporal stability: {found}")
                continue
            self._steady.append((label, found))
            self.notes += [f"{label}, temporal stability: {note}" for note in notes(found)]
            shown = shot if parts is None else max(parts, key=lambda part: _overlap(part, shot))
            if _overlap(shown, shot):
                self.more[name, shown.first_frame] += tables.of_stability(found)

    def add_consistency(self, name: str, comparison: Comparison) -> None:
        """Add the distances in space of every part, or a note on why there are none."""
        for part in comparison.parts:
            label = _label(name, part, several=len(comparison.parts) > 1)
            try:
                found = consistency_of(comparison, part)
            except MetricsError as error:
                self.notes.append(f"{label}: {error}")
                continue
            self._space.append((label, part, found))
            self.notes += [f"{label}: {note}" for note in skipped_pairs([found])]
            self.more[name, part.first_frame] += tables.of_consistency(found, numbers=comparison.numbers)

    def made(self) -> Iterator[Table | None]:
        """The tables; estimates of one shot are adjacent, so that the best can be marked."""
        steady = sorted(self._steady, key=lambda row: row[1].first_frame)
        space = sorted(self._space, key=lambda row: row[1].first_frame)
        if steady:
            yield tables.stability_table(steady)
            yield tables.jumps_table(steady)
        if space:
            groups = tuple(f"{part.first_frame}-{part.last_frame}" for _, part, _ in space)
            yield tables.consistency_table([(label, found) for label, _, found in space], groups=groups)


def against_ground_truth(
    title: str,
    comparisons: Mapping[str, Comparison],
    *,
    slices: tuple[Slice, ...] = MIDDLE,
    log: Log = lambda text: None,
) -> Report:
    """A report on one clip, compared with ground truth: errors, distances in space, and temporal stability.

    The comparisons, by the estimates' names, all have the same ground truth and protocol. What cannot be measured, such
    as distances without a camera path, becomes a note. `log` receives a line before each step.
    """
    found = _Found()
    for name, each in comparisons.items():
        log(f"Measuring the consistency of {name}")
        found.add_consistency(name, each)
        log(f"Measuring the temporal stability of {name}")
        found.add_stability(name, stability_by_shot(each.folder, each.sequence), each.parts)
    first = next(iter(comparisons.values()))
    counts = "frame" if first.protocol.average == "frames" else "pixel"
    reading = f"Clip {first.ground_truth.name}; in the means every {counts} has the same weight."
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
            *unsupported_shots(sequences),
        ),
    )


def alone(
    title: str,
    estimates: Sequence[OnDisk],
    steady: Mapping[str, Sequence[ShotStability]],
    *,
    slices: tuple[Slice, ...] = MIDDLE,
) -> Report:
    """A report on depth sequences of one plate, without ground truth; the first one defines the shots.

    `steady` has the results of `temporal_stability.stability_by_shot` by the estimates' names.
    """
    found = _Found()
    for each in estimates:
        found.add_stability(each.name, steady[each.name])
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
        notes=(*found.notes, *unsupported_shots(sequences)),
    )


def write_suite(
    title: str,
    outcomes: Sequence[Outcome],
    metrics: Sequence[str],
    folder: str | Path,
    *,
    log: Log = lambda text: None,
) -> Path:
    """Write the report of a suite: its table, and a self-contained page for each clip; returns the page with the table.

    The pages show the first of several runs; the table is over all.
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
        log(f"Drawing {set_name}, {clip}")
        place = f"{slug(set_name)}/{slug(clip)}"
        if f"{place}/{write.PAGE}" in pages:  # two names that differ only in characters a path cannot have
            place = f"{place}-{len(pages)}"
        pages[write.write(against_ground_truth(name, compared), folder / place).relative_to(folder).as_posix()] = name
    made = [ranked(outcomes, metrics, title="All sets")]
    apart = region_metrics(outcomes, metrics)
    made += [ranked(outcomes, apart, region, title=where) for region, where in APART.items()] if apart else []
    made += [by_clip(outcomes, metrics, compared=True)] if len(clips) > 1 else []
    report = Report(
        title=title,
        shots=(),
        tables=tuple(made),
        notes=tuple(message for each in outcomes for message in each.messages()),
        pages=tuple((name, page) for page, name in pages.items()),
    )
    return write.write(report, folder)


def unsupported_shots(sequences: Mapping[str, DepthSequence]) -> Iterator[str]:
    """A sentence for every shot that an estimator does not support."""
    for name, sequence in sequences.items():
        for shot in sequence.unsupported_shots:
            frames = f"{shot.first_frame}-{shot.last_frame}"
            yield f"{name} does not support the frames {frames}: {as_options(shot.reason or '')}"


def _grouped(comparisons: Mapping[str, Comparison]) -> list[dict[str, Part]]:
    """Groups of parts of different estimates that overlap most, by the estimates' names; in order of time."""
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
    """The shot with a note on the estimates that are missing."""
    notes = (f"{', '.join(absent)} has no depth of this shot.",) if absent else ()
    return replace(shot, notes=shot.notes + notes)


def _present(*made: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in made if table is not None)
