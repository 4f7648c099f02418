"""Figures of several estimators over several sets, as a table with average rank: Markdown, CSV and JSON.

The average rank over many columns is that of StereoDiff's Tables 1 and 8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ...contract.untrusted import in_a_line
from ..accuracy.metrics import METRIC, REGIONS
from ..accuracy.over_time import BY_BAND
from ..stability.spectrum import mean_bands

APART = {"static": "Where nothing moves", "moving": "Where something moves"}
"""The regions that have tables of their own, and what those are called."""
_MARKS = re.compile(r"[\\`*\[\]<>&#]")
"""What Markdown takes for its own; a vertical line is seen to where it counts."""
Values = Mapping[str, Mapping[str, float | None]]
"""By region and metric, as `metrics.summary` gives them."""
Better = Literal["lower", "higher"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out of one estimator on one clip in one run.

    Attributes
    ----------
    estimator, set, clip : str
    run : int
        From 0.
    values : mapping or None
        By region and metric; None where there is no figure.
    failure : str
        One sentence: why there is none.
    notes : tuple of str
        Sentences: what was left out.
    facts : dict
        Whatever else is worth keeping, as JSON has it.
    """

    estimator: str
    set: str
    clip: str
    run: int = 0
    values: Values | None = None
    failure: str = ""
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def remarks(self) -> list[str]:
        """The failure and the notes, each a sentence that says of what."""
        about = f"{self.estimator} on {self.set}, {self.clip}"
        return [f"{about}: {said.removeprefix(f'{self.clip}: ')}" for said in (self.failure, *self.notes) if said]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A figure: the mean over the runs, and its sample standard deviation where there are several."""

    mean: float
    spread: float | None = None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: rows are estimators, columns are metrics of sets.

    Attributes
    ----------
    columns : tuple of (set, metric)
    rows : dict of list of Cell or None
    rank : dict of float or None
        Average over the columns.
    """

    columns: tuple[tuple[str, str], ...]
    rows: dict[str, list[Cell | None]]
    rank: dict[str, float | None]


def grid(outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all") -> Grid:
    """Means over the clips of a set, then over the runs.

    A row has a figure for a set only if every clip of it, in every run, was measured: a mean over easier clips would
    not compare. A clip that no row was measured on, as one without moving objects, does not count.
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
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Cell(mean=float(np.mean(means)), spread=spread)


def told_apart(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> list[str]:
    """Those of the metrics that somewhere have a figure of what moves."""
    return [name for name in metrics if any(_value(each, name, "moving") is not None for each in outcomes)]


def _value(outcome: Outcome, metric: str, region: str) -> float | None:
    return None if outcome.values is None else outcome.values[region].get(metric)


def markdown(
    outcomes: Sequence[Outcome],
    metrics: Sequence[str],
    *,
    title: str = "",
    reference: str = "",
    by_clip: bool = False,
) -> str:
    """The table with average rank, best in bold and second best underlined; then the regions, where masks tell them.

    Parameters
    ----------
    outcomes : sequence of Outcome
    metrics : sequence of str
    title : str
    reference : str
        Name of a row: its differences to each other row, by region, as in StereoDiff's Tables 4 and 5.
    by_clip : bool
        Whether a table of all clips follows; it does in any case where some estimator has no figure for one.
    """
    parts = [f"## {_plain(title)}"] if title else []
    parts.append(_as_markdown(grid(outcomes, metrics)))
    own = told_apart(outcomes, metrics)
    if own:
        for region, heading in APART.items():
            parts += [f"### {heading}", _as_markdown(grid(outcomes, own, region))]
        if reference:
            parts += _leads(outcomes, own, reference)
    if any(each.failure for each in outcomes) or by_clip:
        parts += ["### By clip", clips_as_markdown(outcomes, metrics)]
        for region, heading in APART.items() if own else ():
            parts += [f"### {heading}, by clip", clips_as_markdown(outcomes, own, region)]
    by_band = bands_as_markdown(outcomes)
    parts += [by_band] if by_band else []
    return "\n\n".join(parts) + "\n"


def clips_as_markdown(outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all") -> str:
    """Every clip's figures, a line an estimator: means over the runs that were measured."""
    lines = [["Set", "Clip", "Estimator", *(METRIC[metric].label for metric in metrics)]]
    lines.append(["---"] * 3 + ["---:"] * len(metrics))
    for name, clip, estimator, means in sorted(clip_means(outcomes, metrics, region), key=lambda row: row[:2]):
        lines.append(
            [_plain(name), _plain(clip), _plain(estimator), *("–" if mean is None else f"{mean:.4f}" for mean in means)]
        )
    return _lines(lines)


def clip_means(
    outcomes: Sequence[Outcome], metrics: Sequence[str], region: str = "all"
) -> list[tuple[str, str, str, tuple[float | None, ...]]]:
    """Set, clip, estimator and the means over the runs that were measured; a clip's estimators follow each other."""
    rows = []
    for place in dict.fromkeys((each.set, each.clip) for each in outcomes):
        here = [each for each in outcomes if (each.set, each.clip) == place]
        for estimator in dict.fromkeys(each.estimator for each in here):
            own = [each for each in here if each.estimator == estimator]
            rows.append((*place, estimator, tuple(_mean(own, metric, region) for metric in metrics)))
    return rows


def _mean(runs: Sequence[Outcome], metric: str, region: str) -> float | None:
    known = [value for each in runs if (value := _value(each, metric, region)) is not None]
    return float(np.mean(known)) if known else None


def bands_as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Errors by frequency, as in StereoDiff's Tables 2 and 3; empty where no outcome has bands."""
    known = [each for each in outcomes if each.facts.get("bands")]
    parts = []
    for name in dict.fromkeys(each.set for each in known):
        for metric, label in BY_BAND.items():
            rows = {}
            for row in dict.fromkeys(each.estimator for each in known):
                own = [each for each in known if (each.set, each.estimator) == (name, row)]
                rows[row] = mean_bands([shot for each in own for shot in each.facts["bands"][metric]])
            most = max(len(row) for row in rows.values())
            lines = [["Estimator", *(f"F{at}" for at in range(most))], ["---", *["---:"] * most]]
            for row, found in rows.items():
                lines.append([_plain(row), *(f"{band.value:.4f}" for band in found), *["–"] * (most - len(found))])
            parts += [f"### {_plain(name)}: {label} by band of frequency", _lines(lines)]
    return "\n\n".join(parts)


def _plain(text: str) -> str:
    """A name from elsewhere as Markdown shows it: in one line, and as it is written."""
    return _MARKS.sub(r"\\\g<0>", in_a_line(text))


def _lines(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)


def _as_markdown(table: Grid) -> str:
    shown = [_shown(table, at) for at in range(len(table.columns))]
    heads = ["Estimator"]
    for name, metric in table.columns:
        label = METRIC[metric].label + (f" [{METRIC[metric].unit}]" if METRIC[metric].unit else "")
        heads.append(f"{_plain(name)} {label} {'↓' if METRIC[metric].better == 'lower' else '↑'}")
    lines = [[*heads, "Average rank ↓"]]
    lines.append(["---", *["---:"] * len(table.columns), "---:"])
    for place, (name, rank) in enumerate(table.rank.items()):
        lines.append([_plain(name), *(column[place] for column in shown), "–" if rank is None else f"{rank:.1f}"])
    return _lines(lines)


def _shown(table: Grid, at: int) -> list[str]:
    """The cells of a column."""
    cells = [row[at] for row in table.rows.values()]
    means = [None if cell is None else round(cell.mean, 4) for cell in cells]
    places = ranks(means, METRIC[table.columns[at][1]].better)
    second = min((place for place in places if place is not None and place > 1), default=None)
    compared = sum(place is not None for place in places) > 1
    shown = []
    for cell, place in zip(cells, places, strict=True):
        text = "–" if cell is None else f"{cell.mean:.4f}"
        if cell is not None and cell.spread is not None:
            text += f" ± {cell.spread:.4f}"
        if compared and place == 1:
            text = f"**{text}**"
        elif compared and place is not None and place == second:
            text = f"<u>{text}</u>"
        shown.append(text)
    return shown


def _leads(outcomes: Sequence[Outcome], metrics: Sequence[str], reference: str) -> list[str]:
    """Differences of the reference to each other row: its figure minus the other's, by set and region."""
    tables = {region: grid(outcomes, metrics, region) for region in REGIONS}
    parts = []
    for other in tables["all"].rows:
        if other == reference:
            continue
        parts.append(f"### {_plain(reference)} minus {_plain(other)}")
        columns = tables["all"].columns
        lines = [
            ["Set", "Region", *(METRIC[metric].label for metric in metrics)],
            ["---", "---", *["---:"] * len(metrics)],
        ]
        for name in dict.fromkeys(name for name, _ in columns):
            for region, heading in (("moving", "moving"), ("all", "overall"), ("static", "static")):
                words = []
                for at, (own, _) in enumerate(columns):
                    if own == name:
                        ours, theirs = (tables[region].rows[row][at] for row in (reference, other))
                        words.append("–" if ours is None or theirs is None else f"{ours.mean - theirs.mean:+.4f}")
                lines.append([_plain(name), heading, *words])
        parts.append(_lines(lines))
    return parts


def _cell_text(text: str) -> str:
    """A name from elsewhere for a spreadsheet: one that it would take for a formula begins with an apostrophe."""
    plain = in_a_line(text).replace("\t", " ")
    return f"'{plain}" if plain.lstrip().startswith(("=", "+", "-", "@")) else plain


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """Every figure on a line of its own: estimator, set, region, metric, mean, spread over the runs, average rank."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["estimator", "set", "region", "metric", "mean", "spread", "average_rank_of_region"])
    for region in REGIONS:
        table = grid(outcomes, tuple(METRIC), region)
        for name, row in table.rows.items():
            for (own, metric), cell in zip(table.columns, row, strict=True):
                if cell is not None:
                    spread = "" if cell.spread is None else f"{cell.spread:.6g}"
                    writer.writerow(
                        [
                            _cell_text(name),
                            _cell_text(own),
                            region,
                            metric,
                            f"{cell.mean:.6g}",
                            spread,
                            f"{table.rank[name]:.3f}",
                        ]
                    )
    return text.getvalue()


def as_json(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> dict[str, Any]:
    """The table, every clip's figures, and what was left out, for ``json.dumps``."""
    table = grid(outcomes, metrics)
    return {
        "table": [
            {
                "estimator": name,
                "average_rank": table.rank[name],
                "values": [
                    {"set": own, "metric": metric, "mean": cell and cell.mean, "spread": cell and cell.spread}
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


def by_frame(parts: Sequence[Any]) -> list[dict[str, Any]]:
    """Error sequences of the parts of a `comparison.Comparison`, NaN as null."""
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


def ranks(values: Sequence[float | None], better: Better) -> list[int | None]:
    """Rank of each value in its column, from 1; equal values share the better rank, None has none."""
    known = [value for value in values if value is not None and np.isfinite(value)]
    if better == "higher":
        return [None if value is None else 1 + sum(other > value for other in known) for value in values]
    return [None if value is None else 1 + sum(other < value for other in known) for value in values]


def average_ranks(rows: Mapping[str, Sequence[float | None]], better: Sequence[Better]) -> dict[str, float | None]:
    """Mean over the columns of each row's rank in them.

    Parameters
    ----------
    rows : mapping
        Name of an estimator to its value in each column; None where it has none. A row counts in the columns that it
        has, as in StereoDiff's Table 1, and is ranked there among the others that have them.
    better : sequence of 'lower' or 'higher'
        For each column, which values are better.

    Returns
    -------
    dict
        None for a row without any value.
    """
    columns = [ranks([row[at] for row in rows.values()], kind) for at, kind in enumerate(better)]
    found: dict[str, float | None] = {}
    for place, name in enumerate(rows):
        own = [rank for column in columns if (rank := column[place]) is not None]
        found[name] = float(np.mean(own)) if own else None
    return found
