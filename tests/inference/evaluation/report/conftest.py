"""Made-up shots, so small that a whole report takes a second or two."""

import numpy as np
import pytest

from inference.evaluation.report.data import Estimate, Shot

HEIGHT, WIDTH, COUNT = 18, 32, 8


def wall(frame, height=HEIGHT, width=WIDTH):
    """True depth in metres: a slanted wall that comes a little nearer with every frame; no measurement at its top."""
    y, x = np.mgrid[:height, :width]
    depth = 4 + x / width + 2 * y / height - 0.05 * frame
    depth[:3] = 0
    return depth.astype(np.float32)


def right(frame):
    """Its disparity, up to one scale and shift."""
    depth = wall(frame)
    return np.where(depth > 0, 3 / np.where(depth > 0, depth, 1) + 0.5, 0.5).astype(np.float32)


ALIGNMENT = (1 / 3, -0.5 / 3)


def compared(name, disparity, count=COUNT, **more):
    """An estimate with the depth and the errors that the right alignment gives."""

    def depth(frame):
        values = disparity(frame)
        return None if values is None else 1 / np.maximum(values * ALIGNMENT[0] + ALIGNMENT[1], 1e-3)

    errors = np.full(count, np.nan)
    for place in range(count):
        found, true = depth(place + 1), wall(place + 1)
        if found is not None:
            known = (true > 0) & np.isfinite(found)
            errors[place] = np.mean(np.abs(found - true)[known] / true[known])
    measures = {"AbsRel": errors, "delta1": 1 - errors}
    return Estimate(name=name, disparity=disparity, alignment=ALIGNMENT, depth=depth, errors=measures, **more)


@pytest.fixture
def make():
    """Shots: by default an exact estimate and one that flickers in every second frame, with plate and truth."""

    def shot(count=COUNT, *, estimates=None, plate=True, truth=True, **more):
        frames = tuple(range(1, count + 1))
        if estimates is None:
            estimates = (
                compared("exact", right, count),
                compared("flickering", lambda frame: right(frame) * (1 + 0.2 * (frame % 2)), count),
            )
            if not truth:
                estimates = tuple(Estimate(name=e.name, disparity=e.disparity) for e in estimates)

        def pictures():
            for frame in frames:
                yield frame, np.full((2 * HEIGHT, 2 * WIDTH, 3), frame / 10, np.float32)

        return Shot(
            **{
                "title": "a shot",
                "frames": frames,
                "estimates": tuple(estimates),
                "plate": pictures if plate else None,
                "truth": wall if truth else None,
                "fps": 24.0,
                **more,
            }
        )

    shot.wall, shot.right, shot.compared = wall, right, compared
    return shot
