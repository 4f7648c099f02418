"""Series and tables of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...contract.depth_sequence import DepthSequence
from ..accuracy.metrics import METRICS, REGIONS
from ..stability.consistency import Consistency
from ..stability.drift import Step
from ..stability.temporal_stability import TemporalStability
from ..suites.outcomes import Values
from ..table import Column, Table, Value
from .shots import Extras, Series

_SHARE = "% of the shot's disparity range"
_APART = (
    "Every shot has its own scale and shift and is measured independently: sizes and colors are not comparable "
    "between shots. "
)
_MEASURES = (
    "Errors of depth after alignment by one scale and one shift, over all valid pixels. AbsRel: mean of |Z - Z*| / Z*; "
    "RMSE: root of the mean squared error; delta: share of pixels within a factor of 1.25, its square and its "
    "third power."
)
_FLOW = {"given": "the optical flow that comes with the ground truth", "measured": "optical flow measured in the plate"}
FLICKER = (
    "difference of a static point's disparity from the mean of the previous and the next frame, along the plate's "
    "motion, in percent of the shot's disparity range. Lower is more stable; one level of 8 bits is 0.4 %."
)
WARP = (
    "difference of depth, reprojected into the next frame by the true camera, from the depth estimated there, in "
    "static regions. Lower is more stable."
)


def of_stability(found: TemporalStability) -> Extras:
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
    """The distance between neighbors in space, by the source frames in `numbers` of the ground truth's."""
    neighbors = found.neighbors
    series = Series(
        label="warp error",
        unit="m",
        frames=tuple(numbers[frame] for frame in neighbors.frames),
        values=np.asarray(neighbors.by_pair, np.float64),
        reading=WARP,
    )
    return Extras(series=(series,))


def shots_table(sequences: Mapping[str, DepthSequence], *, apart: bool = True) -> Table | None:
    """Every shot with its frames and each estimator's status; None for a single shot of which all have depth.

    `apart`: whether each shot has its own scale and shift.
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
        reading=(
            "There is a cut between each shot and the next. "
            if alike
            else "The estimates have cuts at different frames. "
        )
        + (_APART if apart else "")
        + "The notes say why a shot has no depth.",
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
    """The papers' metrics, one row per estimate; static and dynamic regions in further tables, if there are any.

    `rows` are names with the result of `metrics.summary`; `reading` says how the figures were averaged.
    """
    moves = any(value is not None for _, values in rows for value in values.get("moving", {}).values())
    made = []
    for region in REGIONS if moves else REGIONS[:1]:  # without dynamic objects, the static region is everything
        where = {"all": "", "static": " in static regions", "moving": " on dynamic objects"}[region]
        what = f"The same metrics, only{where}." if where else _MEASURES
        made.append(
            Table(
                title=f"Against ground truth{where}",
                reading=f"{what} {reading}".strip(),
                columns=(Column(name="Estimate"), *(metric.column() for metric in METRICS)),
                rows=tuple((name, *(values[region].get(metric.name) for metric in METRICS)) for name, values in rows),
            )
        )
    return made


def stability_table(rows: Sequence[tuple[str, TemporalStability]]) -> Table:
    """Temporal stability, one row per estimate and shot."""
    return Table(
        title="Temporal stability of the static region",
        reading="Measured without ground truth, in percent of the shot's disparity range (between its 1 % and 99 % "
        "percentile). Drift is how far the static background moves away from its expected disparity: across the "
        "borders of windows and, for comparison, within them, over as many frames. Jumps are outliers among the steps "
        "from frame to frame. A dash: none, or not measurable, such as drift under a moving camera without windows.",
        groups=tuple(f"{found.first_frame}-{found.last_frame}" for _, found in rows),
        columns=(
            Column(name="Estimate"),
            Column(name="flicker", unit="%", better="lower", digits=3),
            Column(name="jumps", better="lower", digits=0),
            Column(name="largest jump", unit="%", better="lower", digits=2),
            Column(name="drift across windows", unit="%", better="lower", digits=2),
            Column(name="drift within", unit="%", better="lower", digits=2),
            Column(name="static region of the image", unit="%", digits=0),
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


def jumps_table(rows: Sequence[tuple[str, TemporalStability]]) -> Table | None:
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
        reading="The frame is the first one after the step. A step is the change of the static background beyond a "
        "smooth motion; its signed mean is above 0 where everything comes nearer; typical is the median of the "
        "neighboring steps.",
        columns=(
            Column(name="Estimate"),
            Column(name="type"),
            *(Column(name=name, unit="%", digits=2) for name in ("step", "signed", "typical")),
        ),
        rows=tuple(lines),
    )


def consistency_table(rows: Sequence[tuple[str, Consistency]], *, groups: tuple[str, ...] = ()) -> Table:
    """Distances in space (StereoDiff, table 8) and warp error between neighbors, one row per estimate and shot."""
    apart = " or ".join(map(str, sorted({found.spacing for _, found in rows})))
    ways = " and ".join(sorted({_FLOW[found.correspondences] for _, found in rows}))
    return Table(
        title="Consistency in space",
        reading=f"Mean distance between corresponding static points, estimated from two frames {apart} apart and from "
        "neighbors; the error in Z is relative. The floor is the score of the true depth itself on the same points: "
        f"differences below it mean nothing. Points are tracked by {ways}.",
        groups=groups,
        columns=(
            Column(name="Estimate"),
            Column(name=f"{apart} frames apart", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbors", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbors, in Z", better="lower"),
            Column(name="its floor"),
        ),
        rows=tuple(
            (
                name,
                found.spaced.distance,
                found.spaced.floor,
                found.neighbors.distance,
                found.neighbors.floor,
                found.neighbors.relative,
                found.neighbors.relative_floor,
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
