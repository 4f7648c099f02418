"""Results of several estimators on several sets, and their tables, the one with average rank first.

The average rank over many columns is that of StereoDiff's Tables 1 and 8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..accuracy.comparison import Comparison, Part
from ..accuracy.metrics import METRIC, REGIONS
from ..accuracy.over_time import BY_BAND, measure
from ..stability.spectrum import mean_bands
from ..table import Better, Cell, Column, Table, plain, ranks
from .suite import Suite

APART = {"static": "Static regions", "moving": "Dynamic objects"}
"""The regions that have tables of their own, and their titles."""
Values = Mapping[str, Mapping[str, float | None]]
"""By region and metric, from `metrics.summary`."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one estimator on one clip in one run.

    Attributes
    ----------
    values : mapping or None
        By region and metric; None where there is no figure.
    failure : str
        One sentence: why there is none.
    notes : tuple of str
        Sentences: what was skipped.
    facts : dict
        Further entries for JSON.
    comparison : Comparison or None
        The source of the values.
    """

    estimator: str
    set: str
    clip: str
    run: int = 0
    values: Values | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None

    def messages(self) -> list[str]:
        """The failure and the notes, each preceded by estimator, set and clip."""
        about = f"{self.estimator} on {self.set}, {self.clip}"
        return [
            f"{about}: {sentence.removeprefix(f'{self.clip}: ')}"
            for sentence in (self.failure, *self.notes)
            if sentence
        ]


def outcome_of(
    comparison: Comparison, metrics: Sequence[str], *, notes: Sequence[str] = (), facts: Mapping[str, Any], **names: Any
) -> Outcome:
    """The outcome of a comparison; `names` are further fields of `Outcome`, `facts` come before those of its parts."""
    steady = measure(comparison, metrics)
    values = comparison.values()
    values["all"] |= steady.values
    return Outcome(
        **names,
        values=values,
        notes=(*comparison.notes(), *notes, *steady.notes),
        facts={**facts, "parts": by_frame(comparison.parts)},
        comparison=comparison,
    )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: rows are estimators, columns are metrics of sets; the rank is the average over the columns."""

    columns: tuple[tuple[str, str], ...]
    rows: dict[str, list[Cell | None]]
    rank: dict[str, float | None]


def grid(outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all") -> Grid:
    """Means over the clips of a set, then over the runs.

    A row has a figure for a set only if every clip of it, in every run, was measured: a mean over easier clips would
    not be comparable. Clips that no row was measured on, such as those without dynamic objects, do not count.
    """
    names = list(dict.fromkeys(each.estimator for each in outcomes))
    columns = tuple((name, metric) for name in dict.fromkeys(each.set for each in outcomes) for metric in metrics)
    rows = {name: [_cell(outcomes, name, column, region) for column in columns] for name in names}
    better = [METRIC[metric].better for _, metric in columns]
    means = {name: [None if cell is None else cell.mean for cell in row] for name, row in rows.items()}
    return Grid(columns=columns, rows=rows, rank=average_ranks(means, better))


def _cell(outcomes: Sequence[Outcome], name: str, column: tuple[str, str], region: str) -> Cell | None:
    own_set = [each for each in outcomes if each.set == column[0]]
    counted = {each.clip for each in own_set if _value(each, column[1], region) is not None}
    runs: dict[int, list[float | None]] = {}
    for each in own_set:
        if each.estimator == name and each.clip in counted:
            runs.setdefault(each.run, []).append(_value(each, column[1], region))
    values = [value for run in runs.values() for value in run]
    if not values or any(value is None for value in values):
        return None
    means = [float(np.mean([value for value in run if value is not None])) for run in runs.values()]
    deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Cell(mean=float(np.mean(means)), deviation=deviation)


def region_metrics(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that have a figure for dynamic objects somewhere."""
    return [name for name in metrics if any(_value(each, name, "moving") is not None for each in outcomes)]


def _value(outcome: Outcome, metric: str, region: str) -> float | None:
    return None if outcome.values is None else outcome.values[region].get(metric)


def ranked(outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all", *, title: str = "") -> Table:
    """A row an estimator, a column for each set and measure, the average rank last."""
    found = grid(outcomes, metrics, region)
    return Table(
        title=title,
        reading="One column for each set and metric; the average rank is the mean of an estimator's ranks in the "
        "columns. A figure is the mean over the set's clips, without those on which no estimator could be measured; an "
        "estimator that is missing a clip that another has gets a dash. The notes say what failed.",
        columns=(
            Column(name="Estimator"),
            *(METRIC[name].column(f"{place} ") for place, name in found.columns),
            Column(name="Average rank", better="lower", digits=1),
        ),
        rows=tuple((name, *row, found.rank[name]) for name, row in found.rows.items()),
    )


def by_clip(
    outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all", *, compared: bool = False
) -> Table:
    """One row for each estimator on each clip, grouped by clip: means over the measured runs.

    `compared`: whether the best of each clip is marked.
    """
    rows: list[tuple[str | float | None, ...]] = []
    for set_name, clip in sorted({(each.set, each.clip) for each in outcomes}):
        here = [each for each in outcomes if (each.set, each.clip) == (set_name, clip)]
        for estimator in dict.fromkeys(each.estimator for each in here):
            own = [each for each in here if each.estimator == estimator]
            rows.append((set_name, clip, estimator, *(_mean(own, metric, region) for metric in metrics)))
    known = [METRIC[name] for name in metrics]
    return Table(
        title="Clip by clip",
        reading="Means over the runs. A dash: not measured; the notes say why.",
        labels=3,
        columns=(
            *(Column(name=name) for name in ("Set", "Clip", "Estimator")),
            *(metric.column() if compared else Column(name=metric.label) for metric in known),
        ),
        rows=tuple(rows),
        groups=tuple(f"{row[0]}, {row[1]}" for row in rows),
    )


def _mean(runs: Sequence[Outcome], metric: str, region: str) -> float | None:
    known = [value for each in runs if (value := _value(each, metric, region)) is not None]
    return float(np.mean(known)) if known else None


def formatted(
    outcomes: Sequence[Outcome],
    metrics: Sequence[str],
    *,
    form: str | None = None,
    suite: Suite | None = None,
) -> str:
    """The outcomes as 'json', 'csv' or, by default, Markdown, without a final newline."""
    if form == "json":
        return json.dumps(as_json(outcomes, metrics), indent=2, allow_nan=False)
    if form == "csv":
        return as_csv(outcomes).rstrip("\n")
    if suite is None:
        return markdown(outcomes, metrics).rstrip("\n")
    own = markdown(outcomes, metrics, title=suite.title, reference=suite.reference, clips=suite.by_clip)
    return own.rstrip("\n")


def markdown(
    outcomes: Sequence[Outcome],
    metrics: Sequence[str],
    *,
    title: str = "",
    reference: str = "",
    clips: bool = False,
) -> str:
    """The table with average rank; then the regions, where dynamic objects are known.

    `reference` is the name of a row whose differences to each other row follow, by region, as in StereoDiff's Tables 4
    and 5; with `clips` a table of all clips follows, which it always does where a figure is missing.
    """
    parts = [f"## {plain(title)}"] if title else []
    parts.append(ranked(outcomes, metrics).markdown())
    own = region_metrics(outcomes, metrics)
    regions = APART if own else {}
    for region, heading in regions.items():
        parts += [f"### {heading}", ranked(outcomes, own, region).markdown()]
    if own and reference:
        parts += _leads(outcomes, own, reference)
    if any(each.failure for each in outcomes) or clips:
        parts += ["### By clip", by_clip(outcomes, metrics).markdown()]
        for region, heading in regions.items():
            parts += [f"### {heading}, by clip", by_clip(outcomes, own, region).markdown()]
    return "\n\n".join([*parts, *_by_band(outcomes)]) + "\n"


def _leads(outcomes: Sequence[Outcome], metrics: Sequence[str], reference: str) -> Iterator[str]:
    """Differences of the reference to each other row: its figure minus the other's, by set and region."""
    tables = {region: grid(outcomes, metrics, region) for region in REGIONS}
    columns = tables["all"].columns
    for other in tables["all"].rows:
        if other == reference:
            continue
        rows = []
        for name in dict.fromkeys(name for name, _ in columns):
            for region, heading in (("moving", "moving"), ("all", "overall"), ("static", "static")):
                pairs = zip(columns, *(tables[region].rows[row] for row in (reference, other)), strict=True)
                leads = (
                    "–" if ours is None or theirs is None else f"{ours.mean - theirs.mean:+.4f}"
                    for (own, _), ours, theirs in pairs
                    if own == name
                )
                rows.append((name, heading, *leads))
        heads = ("Set", "Region", *(METRIC[metric].label for metric in metrics))
        table = Table(columns=tuple(Column(name=head) for head in heads), rows=tuple(rows), labels=2)
        yield f"### {plain(reference)} minus {plain(other)}"
        yield table.markdown()


def _by_band(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Errors by frequency, as in StereoDiff's Tables 2 and 3, of the outcomes with bands."""
    known = [each for each in outcomes if each.facts.get("bands")]
    for name in dict.fromkeys(each.set for each in known):
        for metric, label in BY_BAND.items():
            bands = {}
            for row in dict.fromkeys(each.estimator for each in known):
                own = [each for each in known if (each.set, each.estimator) == (name, row)]
                bands[row] = mean_bands([shot for each in own for shot in each.facts["bands"][metric]])
            most = max(map(len, bands.values()))
            table = Table(
                columns=(Column(name="Estimator"), *(Column(name=f"F{at}") for at in range(most))),
                rows=tuple((row, *own, *[None] * (most - len(own))) for row, own in bands.items()),
            )
            yield f"### {plain(name)}: {label} by band of frequency"
            yield table.markdown()


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """One figure per line: estimator, set, region, metric, mean, standard deviation over the runs, average rank."""
    rows: list[tuple[str | float | None, ...]] = []
    for region in REGIONS:
        table = grid(outcomes, tuple(METRIC), region)
        for name, row in table.rows.items():
            rows += [
                (name, own, region, metric, cell.mean, cell.deviation, table.rank[name])
                for (own, metric), cell in zip(table.columns, row, strict=True)
                if cell is not None
            ]
    columns = (
        *(Column(name=name) for name in ("estimator", "set", "region", "metric")),
        *(Column(name=name, digits=None) for name in ("mean", "spread")),
        Column(name="average_rank_of_region", digits=3),
    )
    return Table(columns=columns, rows=tuple(rows), labels=4).csv()


def as_json(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> dict[str, Any]:
    """The table, every clip's figures, and the notes, for ``json.dumps``."""
    table = grid(outcomes, metrics)
    return {
        "table": [
            {
                "estimator": name,
                "average_rank": table.rank[name],
                "values": [
                    {"set": own, "metric": metric, "mean": cell and cell.mean, "spread": cell and cell.deviation}
                    for (own, metric), cell in zip(table.columns, row, strict=True)
                ],
            }
            for name, row in table.rows.items()
        ],
        "clips": [
            {
                "estimator": each.estimator,
                "set": each.set,
                "clip": each.clip,
                "run": each.run,
                "values": None if each.values is None else {name: dict(own) for name, own in each.values.items()},
                "failure": each.failure or None,
                "notes": list(each.notes),
                **each.facts,
            }
            for each in outcomes
        ],
    }


def by_frame(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Error sequences of the parts of a comparison, NaN as null."""
    return [
        {
            "first_frame": part.first_frame,
            "last_frame": part.last_frame,
            "scale": part.scores.alignment.scale,
            "shift": part.scores.alignment.shift,
            "frames": list(part.scores.frames),
            "pixels_without_estimate": part.scores.without_estimate.tolist(),
            **{
                region: {
                    name: [None if np.isnan(value) else float(value) for value in own] for name, own in kept.items()
                }
                for region, kept in part.scores.values.items()
                if part.scores.pixels[region].any()
            },
        }
        for part in parts
    ]


def average_ranks(rows: Mapping[str, Sequence[float | None]], better: Sequence[Better]) -> dict[str, float | None]:
    """Mean over the columns of each row's rank in them; None for a row without any value.

    A row is ranked in the columns in which it has a value, as in StereoDiff's Table 1; `better` says for each column
    which values are better.
    """
    columns = [ranks([row[at] for row in rows.values()], kind) for at, kind in enumerate(better)]
    found: dict[str, float | None] = {}
    for place, name in enumerate(rows):
        own = [rank for column in columns if (rank := column[place]) is not None]
        found[name] = float(np.mean(own)) if own else None
    return found
