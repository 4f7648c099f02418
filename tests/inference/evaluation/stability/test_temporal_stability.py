"""Steadiness without ground truth, of disparity whose unsteadiness is known."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.evaluation.datasets.protocols import MetricsError
from inference.evaluation.stability.drift import Windows
from inference.evaluation.stability.temporal_stability import measure_stability, stability_by_shot
from inference.media.exr import write_map
from inference.media.source import describe
from tests.inference.support.static_scenes import HEIGHT, WIDTH, Plane, noise, walk

PICTURE = noise(3, (HEIGHT, WIDTH))
RAMP = np.linspace(0, 1, HEIGHT)[:, None] * np.ones(WIDTH)
PLANE = Plane()


def locked(disparity, count=24, *, first=1, **options):
    """A camera that stands before something that does not move."""
    frames = range(first, first + count)
    options = {"spread": 1.0, **options}
    return measure_stability(((n, PICTURE) for n in frames), disparity, first=first, last=frames[-1], **options)


def walking(disparity, count=24, *, windows=None, step=0.02):
    """A camera that moves before a plane, frames counted from 0; `disparity` takes the frame and the exact one."""
    poses = walk(count, step)
    spread = float(np.ptp(1 / PLANE.depth(poses[0])))
    return measure_stability(
        ((n, PLANE.image(poses[n])) for n in range(count)),
        lambda n: disparity(n, 1 / PLANE.depth(poses[n])),
        first=0,
        last=count - 1,
        spread=spread,
        windows=windows,
    )


def test_exact_depth_of_a_static_shot_has_no_flicker():
    found = locked(lambda n: RAMP, 40)
    assert found.flicker == 0
    assert found.steps == ()
    assert found.still > 0.99
    assert found.flicker_by_frame[1:-1] == (0.0,) * 38
    assert np.isnan([found.flicker_by_frame[0], found.flicker_by_frame[-1]]).all()
    (drift,) = found.drift
    assert (drift.first, drift.last, drift.size, drift.shift) == (1, 26, 0, 0)
    assert not drift.camera_moves
    assert drift.followed > 0.9


def test_exact_depth_of_a_moving_camera_has_next_to_none():
    found = walking(lambda n, exact: exact, 34)
    assert found.flicker < 0.001
    assert found.jumps == ()
    assert found.drift[0].camera_moves
    assert found.drift[0].size is None  # a slow drift cannot be told from the camera's motion


@pytest.mark.parametrize("scene", [lambda change: locked(lambda n: RAMP + change(n)), None])
def test_flicker_has_the_size_that_was_put_in(scene):
    def up_and_down(n):
        return 0.01 * (-1) ** n

    if scene is None:
        spread = float(np.ptp(1 / PLANE.depth(walk(1)[0])))
        found = walking(lambda n, exact: exact + spread * up_and_down(n))
    else:
        found = scene(up_and_down)
    assert found.flicker == pytest.approx(0.02, rel=0.05)
    assert found.jumps == ()  # no step stands out


def test_noise_gives_the_flicker_that_is_promised():
    rng = np.random.default_rng(0)
    found = locked(lambda n: RAMP + 0.01 * rng.normal(size=RAMP.shape))
    assert found.flicker == pytest.approx(0.01 * np.sqrt(1.5) * np.sqrt(2 / np.pi), rel=0.02)


def test_flicker_is_told_frame_by_frame():
    found = locked(lambda n: RAMP + (0.1 if n == 10 else 0), 20)
    assert found.flicker_by_frame[9] == pytest.approx(0.1)
    assert found.flicker_by_frame[8] == pytest.approx(0.05)
    assert found.flicker_by_frame[6] == 0


@settings(max_examples=8)
@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_another_scale_and_shift_changes_nothing(scale, shift):
    def unsteady(n):
        return RAMP + 0.02 * np.sin(n) + (0.05 if n > 7 else 0)

    plain = locked(unsteady, 12)
    other = locked(lambda n: scale * unsteady(n) + shift, 12, spread=scale)
    assert other.flicker == pytest.approx(plain.flicker, rel=1e-6)
    assert [step.frame for step in other.steps] == [step.frame for step in plain.steps]


@pytest.mark.parametrize("frame", [13, 17])  # where the second window comes in, and where the first one ends
def test_a_jump_at_a_window_border_is_named_by_its_frame(frame):
    windows = Windows(length=16, overlap=4)
    for found in (
        locked(lambda n: RAMP * (1.1 if n >= frame else 1), windows=windows),
        walking(lambda n, exact: exact * (1.1 if n >= frame - 1 else 1), windows=windows),
    ):
        begin = found.first_frame
        assert [step.frame - begin for step in found.jumps] == [frame - 1]
        assert [step.frame - begin for step in found.steps] == [12, 16]
        (jump,) = found.jumps
        assert jump.border
        assert jump.size > 0.03
        assert jump.shift > 0
        assert jump.typical < 0.002
    assert locked(lambda n: RAMP, windows=windows).jumps == ()


def test_a_jump_has_its_size_wherever_it_is():
    for frame in (2, 3, 12, 23, 24):
        (step,) = locked(lambda n, at=frame: RAMP - (0.03 if n >= at else 0)).steps
        assert (step.frame, step.border, step.jump) == (frame, False, True)
        assert step.size == pytest.approx(0.03)
        assert step.shift == pytest.approx(-0.03)


def test_background_that_drifts_from_window_to_window_is_told_from_what_stays():
    windows = Windows(length=24, overlap=8)  # the second begins with frame 17, the first ends with frame 24

    def faded(n):
        return float(np.clip((n - 16) / 8, 0, 1))

    found = locked(lambda n: RAMP + 0.04 * faded(n), 40, windows=windows)
    assert [(drift.first, drift.last, drift.border) for drift in found.drift] == [
        (4, 13, False),
        (16, 25, True),
        (28, 37, False),
    ]
    assert [drift.size for drift in found.drift] == [0, pytest.approx(0.04), 0]
    assert found.drift[1].shift == pytest.approx(0.04)
    assert found.jumps == ()
    moving = walking(lambda n, exact: exact * (1 + 0.2 * faded(n + 1)), 40, windows=windows, step=0.01)
    inside, between, after = moving.drift
    assert between.camera_moves
    assert between.size > 0.05
    assert between.size > 5 * max(inside.size, after.size)


def test_what_moves_does_not_count():
    still, patch = PICTURE.copy(), noise(5, (16, 16), blur=1.0)

    def image(n):  # a square goes to the right, 2 pixels a frame
        drawn = still.copy()
        drawn[16:32, 2 * n : 2 * n + 16] = patch
        return drawn

    def disparity(n):
        drawn = RAMP.copy()
        drawn[16:32, 2 * n : 2 * n + 16] = 2 + 0.2 * (-1) ** n
        return drawn

    def square(n):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[14:34, max(2 * n - 2, 0) : 2 * n + 20] = True
        return mask

    def measured(**options):
        images = ((n, image(n)) for n in range(16))
        return measure_stability(images, disparity, first=0, last=15, spread=1.0, **options)

    told, shown = measured(), measured(moving=square)
    everything = measured(moving=lambda n: np.zeros((HEIGHT, WIDTH), bool))
    assert everything.flicker > 0.01
    assert told.flicker < 0.1 * everything.flicker
    assert shown.flicker < 0.001
    assert 0.5 < told.still < 0.95


def test_edges_of_a_standing_camera_count_and_those_of_a_moving_one_do_not():
    wobbling = locked(lambda n: np.where(np.arange(WIDTH) < 30 + n % 2, 0.0, 1.0) * np.ones((HEIGHT, 1)))
    assert wobbling.flicker == pytest.approx(1 / WIDTH, rel=0.1)


def test_images_without_texture_are_refused_in_one_sentence():
    with pytest.raises(MetricsError, match="of 4 pairs of frames, 4 have too little texture") as told:
        measure_stability(
            ((n, np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)) for n in range(1, 6)),
            lambda n: RAMP,
            first=1,
            last=5,
            spread=1.0,
        )
    assert str(told.value).count(". ") == 0


def test_images_that_move_all_over_are_refused_in_one_sentence():
    def churned(n):  # every small square goes its own way
        rng = np.random.default_rng(n)
        shifts = cv2.resize(rng.normal(0, 6, (6, 8, 2)), (160, 120), interpolation=cv2.INTER_CUBIC)
        y, x = np.mgrid[:120, :160]
        where = (np.stack([x, y], axis=-1) + shifts).astype(np.float32)
        return cv2.remap(noise(4, (120, 160)), where[..., 0], where[..., 1], cv2.INTER_LINEAR)

    with pytest.raises(MetricsError, match="share no motion"):
        measure_stability(
            ((n, churned(n)) for n in range(4)), lambda n: np.ones((120, 160)), first=0, last=3, spread=1.0
        )


def test_frames_that_cannot_be_measured_are_counted():
    blank = np.full_like(PICTURE, 90)

    def images():
        return ((n, blank if n in (8, 9) else PICTURE) for n in range(1, 31))

    def holed(n):
        return None if n == 20 else np.where(RAMP < 0.1, np.nan, RAMP)

    found = measure_stability(images(), holed, first=1, last=30, spread=1.0)
    assert found.pairs == 29
    assert found.without_depth == 2
    assert found.without_texture + found.without_still == 3
    assert found.unusable == 29 * np.count_nonzero(RAMP < 0.1)
    assert found.flicker == 0
    assert np.isnan(found.flicker_by_frame[18])
    assert found.drift[0].size is None  # nothing could be followed across the blank frames


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_shots_have_what_can_be_measured(count):
    found = locked(lambda n: RAMP, count)
    assert found.flicker == (0 if count == 3 else None)
    assert len(found.flicker_by_frame) == count
    assert found.pairs == count - 1
    assert found.drift == ()


def test_disparity_that_is_the_same_everywhere_is_refused():
    with pytest.raises(MetricsError, match="frames 1-24 is constant"):
        locked(lambda n: RAMP, spread=0.0)


def test_images_too_small_for_motion_are_refused():
    with pytest.raises(MetricsError, match="Frame 1 has 8x6 pixels"):
        measure_stability([(1, np.zeros((6, 8, 3)))], lambda n: np.ones((6, 8)), first=1, last=1, spread=1.0)


def test_a_long_shot_takes_no_more_memory():
    def peak(count):
        tracemalloc.start()
        locked(lambda n: RAMP.copy(), count)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(5)  # what is imported late
    assert peak(110) < 1.1 * peak(60)


def write_sequence(folder, clip, maps, *, parameters, size=(WIDTH, HEIGHT)):
    """A finished depth sequence of a folder of images, in one shot."""
    folder.mkdir()
    for number, values in maps.items():
        write_map(folder / disparity_name(number), values)
    first, last = min(maps), max(maps)
    shot = Shot(first_frame=first, last_frame=last, status="done", range=Range(minimum=0, maximum=2, p1=0.0, p99=2.0))
    refused = Shot(first_frame=last + 1, last_frame=last + 4, status="refused", reason="too short")
    sequence = DepthSequence(
        source=describe(clip),
        first_frame=first,
        last_frame=last + 4,
        width=size[0],
        height=size[1],
        quantity="relative_disparity",
        shots=(shot, refused),
        estimator="any",
        fingerprint="",
        parameters=parameters,
    )
    depth_sequence.save(sequence, folder)
    return depth_sequence.load(folder)


def write_plate(folder, count, first=1001):
    folder.mkdir()
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"plate.{number}.png"), PICTURE[..., ::-1])
    return folder


def test_a_depth_sequence_on_disk_is_measured_against_its_plate(tmp_path):
    plate = write_plate(tmp_path / "plate", 24)
    maps = {n: 2 * RAMP + (0.1 if n >= 1013 else 0) for n in range(1001, 1021)}
    sequence = write_sequence(tmp_path / "depth", plate, maps, parameters={"window": 16, "overlap": 4})
    ((_, found),) = stability_by_shot(tmp_path / "depth", sequence)
    assert (found.first_frame, found.last_frame, found.spread) == (1001, 1020, 2)
    assert found.windows == Windows(length=16, overlap=4)
    (jump,) = found.jumps
    assert (jump.frame, jump.border) == (1013, True)
    assert jump.size == pytest.approx(0.05)
    (tmp_path / "depth" / disparity_name(1005)).unlink()
    assert stability_by_shot(tmp_path / "depth", sequence)[0][1].without_depth == 2


def test_mattes_say_what_moves(tmp_path):
    plate = write_plate(tmp_path / "plate", 10)
    wild = np.zeros((HEIGHT, WIDTH), bool)
    wild[:, 32:] = True
    maps = {n: 2 * RAMP + np.where(wild, 0.2 * (-1) ** n, 0) for n in range(1001, 1007)}
    sequence = write_sequence(tmp_path / "depth", plate, maps, parameters={})
    (tmp_path / "mattes").mkdir()
    for number in range(1001, 1011):
        cv2.imwrite(str(tmp_path / "mattes" / f"{number}.png"), wild.astype(np.uint8) * 255)
    assert stability_by_shot(tmp_path / "depth", sequence)[0][1].flicker > 0.05
    assert stability_by_shot(tmp_path / "depth", sequence, mattes=tmp_path / "mattes")[0][1].flicker < 1e-6


def test_large_maps_are_measured_at_a_working_size(tmp_path):
    plate = write_plate(tmp_path / "plate", 8)
    large = cv2.resize(2 * RAMP, (1280, 960), interpolation=cv2.INTER_LINEAR)
    sequence = write_sequence(
        tmp_path / "depth", plate, dict.fromkeys((1001, 1002, 1003), large), parameters={}, size=(1280, 960)
    )
    ((_, found),) = stability_by_shot(tmp_path / "depth", sequence)
    assert found.flicker < 1e-6
    assert found.unusable == 0
