"""What was measured of steadiness and of consistency in space, as series and tables of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..stability.consistency import Consistency
from ..stability.drift import Step
from ..stability.temporal_stability import Steadiness
from .data import Column, Series, Table, Value
from .shots import Extras

_SHARE = "% of the shot's spread"
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


def steadiness_table(rows: Sequence[tuple[str, Steadiness]], *, groups: tuple[str, ...] = ()) -> Table:
    """How steady shots are, a row an estimate's shot; `groups` as of `Table`."""
    return Table(
        title="Steadiness of what stands still",
        reading="Measured without any truth, in percent of the shot's spread of disparity (between its 1 % and 99 % "
        "percentile). Drift is how far the still background moves away from where it should be: across the borders of "
        "windows, and for comparison within them, over as many frames. Jumps are steps far beyond those around them. A "
        "dash: there is none, or it cannot be told, such as drift where the camera moves and there are no windows.",
        groups=groups,
        columns=(
            Column(name="flicker", unit="%", better="lower", digits=3),
            Column(name="jumps", better="lower", digits=0),
            Column(name="largest jump", unit="%", better="lower", digits=2),
            Column(name="drift across windows", unit="%", better="lower", digits=2),
            Column(name="drift within", unit="%", better="lower", digits=2),
            Column(name="still part of the picture", unit="%", digits=0),
        ),
        rows=tuple((label, _steadiness_row(found)) for label, found in rows),
    )


def jumps_table(rows: Sequence[tuple[str, Steadiness]]) -> Table | None:
    """Every jump and every border of windows, with its frame; None where there is neither."""
    lines = [
        (
            f"{label}, frame {step.frame}",
            (
                _kind(step),
                _percent(step.size),
                _percent(step.shift),
                _percent(step.typical),
            ),
        )
        for label, found in rows
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
            Column(name="what"),
            Column(name="step", unit="%", digits=2),
            Column(name="with sign", unit="%", digits=2),
            Column(name="typical", unit="%", digits=2),
        ),
        rows=tuple(lines),
    )


def consistency_table(rows: Sequence[tuple[str, Consistency]], *, groups: tuple[str, ...] = ()) -> Table:
    """Distances in space, as StereoDiff's table 8, and the warp error between neighbours; a row an estimate's shot."""
    spacings = sorted({found.spacing for _, found in rows})
    apart = " or ".join(map(str, spacings))
    ways = " and ".join(sorted({_FLOW[found.correspondences] for _, found in rows}))
    return Table(
        title="Consistency in space",
        reading=f"Mean distance between points that should be one, seen from two frames {apart} apart and from "
        "neighbours, where nothing moves; the part in Z is relative. The floor is what the true depth itself gets on "
        f"the same points: nothing can be told below it. Points are followed by {ways}.",
        groups=groups,
        columns=(
            Column(name=f"{apart} frames apart", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbours", unit="m", better="lower"),
            Column(name="its floor", unit="m"),
            Column(name="neighbours, in Z", better="lower"),
            Column(name="its floor"),
        ),
        rows=tuple(
            (
                label,
                (
                    found.spaced.distance,
                    found.spaced.floor,
                    found.neighbours.distance,
                    found.neighbours.floor,
                    found.neighbours.relative,
                    found.neighbours.relative_floor,
                ),
            )
            for label, found in rows
        ),
    )


def _steadiness_row(found: Steadiness) -> tuple[Value, ...]:
    sizes = [step.size for step in found.jumps if step.size is not None]
    across = [each.size for each in found.drift if each.border and each.size is not None]
    within = [each.size for each in found.drift if not each.border and each.size is not None]
    return (
        _percent(found.flicker),
        float(len(found.jumps)),
        _percent(max(sizes, default=None)),
        _percent(float(np.mean(across)) if across else None),
        _percent(float(np.mean(within)) if within else None),
        _percent(found.still if found.pairs else None),
    )


def _kind(step: Step) -> str:
    if step.jump:
        return "jump at a window border" if step.border else "jump"
    return "window border"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
