"""Made-up shots, so small that a whole report takes a second or two."""

import cv2
import numpy as np
import pytest

from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, disparity_name
from inference.contract.job import Source
from inference.evaluation.report.shots import Estimate, OnDisk, Shot
from inference.media.exr import write_map

HEIGHT, WIDTH, COUNT = 18, 32, 8


def wall(frame, height=HEIGHT, width=WIDTH):
    """True depth in meters: a slanted wall that comes a little nearer with every frame; no measurement at its top."""
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
    """Shots: by default an exact estimate and one that flickers in every second frame, with plate and ground truth."""

    def shot(count=COUNT, *, estimates=None, plate=True, ground_truth=True, **more):
        frames = tuple(range(1, count + 1))
        if estimates is None:
            estimates = (
                compared("exact", right, count),
                compared("flickering", lambda frame: right(frame) * (1 + 0.2 * (frame % 2)), count),
            )
            if not ground_truth:
                estimates = tuple(Estimate(name=e.name, disparity=e.disparity) for e in estimates)

        def images():
            for frame in frames:
                yield frame, np.full((2 * HEIGHT, 2 * WIDTH, 3), frame / 10, np.float32)

        return Shot(
            **{
                "title": "a shot",
                "frames": frames,
                "estimates": tuple(estimates),
                "plate": images if plate else None,
                "ground_truth": wall if ground_truth else None,
                "fps": 24.0,
                **more,
            }
        )

    shot.wall, shot.right, shot.compared = wall, right, compared
    return shot


@pytest.fixture
def on_disk(tmp_path):
    """A depth sequence of eight frames, 1001 to 1008, of a plate of numbered images; by default one shot of it."""
    return sequence_of(tmp_path, "parallax")


@pytest.fixture
def another(tmp_path):
    """Makes further depth sequences of that plate, by name, shots (first and last frame, status) and factors."""
    return lambda name, **more: sequence_of(tmp_path, name, **more)


def sequence_of(root, name, *, shots=((1001, 1008, "done"),), factor=1.0):
    plate, folder = root / "plate", root / name
    plate.mkdir(exist_ok=True)
    folder.mkdir()
    numbers = range(1001, 1009)
    for number in numbers:
        cv2.imwrite(str(plate / f"p.{number}.png"), np.full((36, 64, 3), number - 1000, np.uint8))
    for first, last, status in shots:
        for number in range(first, last + 1) if status == "done" else ():
            write_map(folder / disparity_name(number), right(number - 1000) * factor ** (number % 2))
    spread = Range(minimum=0, maximum=2, p1=0, p99=2)
    depth_sequence.save(
        DepthSequence(
            source=Source(kind="sequence", path=str(plate), files=tuple(f"p.{n}.png" for n in numbers), fps=24.0),
            first_frame=1001,
            last_frame=1008,
            width=32,
            height=18,
            quantity="relative_disparity",
            shots=tuple(
                depth_sequence.Shot(
                    first_frame=first,
                    last_frame=last,
                    status=status,
                    range=spread if status == "done" else None,
                    reason=None if status == "done" else "The camera stands.",
                )
                for first, last, status in shots
            ),
            estimator="e",
            fingerprint="f",
        ),
        folder,
    )
    return OnDisk(name=name, folder=folder, sequence=depth_sequence.load(folder))
