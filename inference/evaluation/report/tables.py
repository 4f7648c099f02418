"""What was measured of shots, as series and tables of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...contract.depth_sequence import DepthSequence
from ..accuracy.metrics import METRICS, REGIONS
from ..stability.consistency import Consistency
from ..stability.drift import Step
from ..stability.temporal_stability import Steadiness
from ..suites.outcomes import Values
from ..table import Column, Table, Value
from .shots import Extras, Series

_SHARE = "% of the shot's spread"
_APART = (
    "Every shot has a scale and a shift of its own and is measured by itself: sizes and colours of one say nothing "
    "about those of another. "
)
_MEASURES = (
    "Errors of depth after one scale and one shift, over all measured pixels. AbsRel: mean of |Z - Z*| / Z*; "
    "RMSE: root of the mean squared error; delta: share of pixels within a factor of 1.25, its square and its "
    "third power."
)
_FLOW = {"given": "the optical flow that comes with the truth", "measured": "optical flow measured in the plate"}
FLICKER = (
    "how far a still thing's disparity is from what the frames before and after let expect, in percent of the shot's "
    "spread of disparity, along the plate's own motion. Steady depth stays low; a level of 8 bits is 0.4 %."
)
WARP = (
    "how far depth carried into the next frame by the true camera is from the depth estimated there, for what stands "
    "still. Lower is steadier."
)


def of_steadiness(found: Steadiness) -> Extras:
    """Flicker by frame, window borders and jumps of a shot."""
    frames = tuple(range(found.first_frame, found.last_frame + 1))
    flicker = Series(
        label="flicker",
        unit=_SHARE,
        frames=frames,
        values=100 * np.asarray(found.flicker_by_frame, np.float64),
        reading=FLICKER,
    )
    borders = () if found.windows is None else tuple(found.windows.borders(frames[0], frames[-1]))
    return Extras(series=(flicker,), borders=borders, jumps=tuple(step.frame for step in found.jumps))


def of_consistency(found: Consistency, *, numbers: Sequence[int]) -> Extras:
    """The distance between neighbours in space, frame by frame.

    Parameters
    ----------
    found : Consistency
    numbers : sequence of int
        Source frame of every frame of the truth.
    """
    neighbours = found.neighbours
    series = Series(
        label="warp error",
        unit="m",
        frames=tuple(numbers[frame] for frame in neighbours.frames),
        values=np.asarray(neighbours.by_pair, np.float64),
        reading=WARP,
    )
    return Extras(series=(series,))


def shots_table(sequences: Mapping[str, DepthSequence], *, apart: bool = True) -> Table | None:
    """Every shot with its frames and what each estimator did; None for clips of one shot that all made depth of.

    Parameters
    ----------
    sequences : mapping
        By the estimates' names.
    apart : bool
        Whether each shot is measured by itself, by a scale and a shift of its own.
    """
    by_shot = [{(s.first_frame, s.last_frame): s.status for s in sequence.shots} for sequence in sequences.values()]
    shots = sorted({shot for each in by_shot for shot in each})
    if len(shots) < 2 and all(status == "done" for each in by_shot for status in each.values()):
        return None
    words = {"done": "depth", None: "cut elsewhere"}
    done = [[each.get(shot) for each in by_shot] for shot in shots]
    alike = all(list(each) == list(by_shot[0]) for each in by_shot)
    return Table(
        title="Shots and cuts",
        reading=("There is a cut between each shot and the next. " if alike else "Cuts were found in unlike places. ")
        + (_APART if apart else "")
        + "Why a shot has no depth stands in the notes.",
        columns=(
            Column(name="Shot"),
            Column(name="length", unit="frames", digits=0),
            *(Column(name=name) for name in sequences),
        ),
        rows=tuple(
            (f"frames {first}-{last}", float(last - first + 1), *(words.get(status, status) for status in statuses))
            for (first, last), statuses in zip(shots, done, strict=True)
        ),
    )


def metrics_tables(rows: Sequence[tuple[str, Values]], *, reading: str = "") -> list[Table]:
    """The papers' measures, a row an estimate; what is static and what moves apart, if anything does.

    Parameters
    ----------
    rows : sequence of (name, values)
        As `metrics.summary` gives them.
    reading : str
        How the figures were averaged.
    """
    moves = any(value is not None for _, values in rows for value in values.get("moving", {}).values())
    made = []
    for region in REGIONS if moves else REGIONS[:1]:  # where nothing moves, what stands still is everything
        where = {"all": "", "static": " where nothing moves", "moving": " where something moves"}[region]
        what = f"The same measures, only{where}." if where else _MEASURES
        made.append(
            Table(
                title=f"Against truth{where}",
                reading=f"{what} {reading}".strip(),
                columns=(Column(name="Estimate"), *(metric.column() for metric in METRICS)),
                rows=tuple((name, *(values[region].get(metric.name) for metric in METRICS)) for name, values in rows),
            )
        )
    return made


def steadiness_table(rows: Sequence[tuple[str, Steadiness]]) -> Table:
    """How steady shots are, a row an estimate's shot."""
    return Table(
        title="Steadiness of what stands still",
        reading="Measured without any truth, in percent of the shot's spread of disparity (between its 1 % and 99 % "
        "percentile). Drift is how far the still background moves away from where it should be: across the borders of "
        "windows, and for comparison within them, over as many frames. Jumps are steps far beyond those around them. A "
        "dash: there is none, or it cannot be told, such as drift where the camera moves and there are no windows.",
        groups=tuple(f"{found.first_frame}-{found.last_frame}" for _, found in rows),
        columns=(
            Column(name="Estimate"),
            Column(name="flicker", unit="%", better="lower", digits=3),
            Column(name="jumps", better="lower", digits=0),
            Column(name="largest jump", unit="%", better="lower", digits=2),
            Column(name="drift across windows", unit="%", better="lower", digits=2),
            Column(name="drift within", unit="%", better="lower", digits=2),
            Column(name="still part of the picture", unit="%", digits=0),
        ),
        rows=tuple(
            (
                name,
                _percent(found.flicker),
                float(len(found.jumps)),
                _percent(max((step.size for step in found.jumps if step.size is not None), default=None)),
                _percent(found.mean_drift(border=True)),
                _percent(found.mean_drift(border=False)),
                _percent(found.still if found.pairs else None),
            )
            for name, found in rows
        ),
    )


def jumps_table(rows: Sequence[tuple[str, Steadiness]]) -> Table | None:
    """Every jump and every border of windows, with its frame; None where there is neither."""
    lines: list[tuple[Value, ...]] = [
        (
            f"{name}, frame {step.frame}",
            _kind(step),
            *(_percent(value) for value in (step.size, step.shift, step.typical)),
        )
        for name, found in rows
        for step in found.steps
    ]
    if not lines:
        return None
    return Table(
        title="Steps at window borders, and jumps",
        reading="The frame is the first one after the step. A step is how far the still background moves beyond a "
        "smooth motion; its mean with the sign is above 0 where all comes nearer; typical is the median of the steps "
        "around.",
        columns=(
            Column(name="Estimate"),
            Column(name="what"),
            *(Column(name=name, unit="%", digits=2) for name in ("step", "with sign", "typical")),
        ),
        rows=tuple(lines),
    )


def consistency_table(rows: Sequence[tuple[str, Consistency]], *, groups: tuple[str, ...] = ()) -> Table:
    """Distances in space, as StereoDiff's table 8, and the warp error between neighbours; a row an estimate's shot."""
    apart = " or ".join(map(str, sorted({found.spacing for _, found in rows})))
    ways = " and ".join(sorted({_FLOW[found.correspondences] for _, found in rows}))
    return Table(
        title="Consistency in space",
        reading=f"Mean distance between points that should be one, seen from two frames {apart} apart and from "
        "neighbours, where nothing moves; the part in Z is relative. The floor is what the true depth itself gets on "
        f"the same points: nothing can be told below it. Points are followed by {ways}.",
        groups=groups,
        columns=(
            Column(name="Estimate"),
            Column(name=f"{apart} frames apart", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbours", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbours, in Z", better="lower"),
            Column(name="its floor"),
        ),
        rows=tuple(
            (
                name,
                found.spaced.distance,
                found.spaced.floor,
                found.neighbours.distance,
                found.neighbours.floor,
                found.neighbours.relative,
                found.neighbours.relative_floor,
            )
            for name, found in rows
        ),
    )


def _kind(step: Step) -> str:
    if step.jump:
        return "jump at a window border" if step.border else "jump"
    return "window border"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
