"""What runs measured on this computer say of the next one."""

import pytest

from inference.contract import measured
from inference.contract.measured import Measured


def run(estimator="parallax", *, settings="{}", frames=100, pixels=1000, seconds=50.0, **more):
    return Measured(
        estimator=estimator, settings=settings, frames=frames, pixels=pixels, map_pixels=pixels, seconds=seconds, **more
    )


def test_time_grows_with_frames_and_pixels():
    known = [run(peak_bytes=400, disk_bytes=8000)]
    found = measured.forecast(known, run(frames=200, pixels=3000, seconds=0))
    assert (found.seconds, found.peak_bytes, found.disk_bytes, found.frames) == (300, 1200, 48000, 100)
    found = measured.forecast(known, run(frames=10, pixels=500, seconds=0))
    assert (found.seconds, found.peak_bytes, found.disk_bytes) == (2.5, 400, 400), "memory has what it needs at least"


def test_the_most_alike_run_counts():
    known = [
        run(frames=24, seconds=24),
        run(frames=200, seconds=100),
        run(frames=200, seconds=90),
        run(frames=200, seconds=900, settings='{"reach": 4}'),
        run("quick", frames=150, seconds=3),
    ]
    wanted = run(frames=100, seconds=0)
    assert measured.forecast(known, wanted).seconds == 45, "the newest of those with the same settings"
    assert measured.forecast(known, run(frames=100, seconds=0, settings='{"reach": 4}')).seconds == 450
    assert measured.forecast(known, run("stereodiff", seconds=0)) is None
    assert measured.forecast(known, run("quick", settings="{'x': 1}", frames=150, seconds=0)).seconds == 3


def test_runs_are_remembered_the_newest_of_them(tmp_path):
    home = tmp_path / "home"
    assert measured.load(home) == ()
    for number in range(measured._KEPT + 2):
        measured.add(home, run(frames=number + 1))
    assert [each.frames for each in measured.load(home)] == list(range(3, measured._KEPT + 3))
    (home / measured.NAME).write_text("damaged")
    assert measured.load(home) == ()
    measured.add(home, run())
    assert measured.load(home) == (run(),)


def test_a_damaged_number_is_no_run(tmp_path):
    (tmp_path / measured.NAME).write_text('{"runs": [{"estimator": "x", "settings": "", "frames": 0}]}')
    assert measured.load(tmp_path) == ()
    with pytest.raises(OSError):
        measured.add(tmp_path / measured.NAME / "inside", run())
