"""Maps made steady along the flow."""

import cv2
import numpy as np
import pytest

from inference.depth_maps.along_flow import REACH, ComparedFrame, Step, Window, levels, normalized_brightness, step

COUNT, WIDTH, HEIGHT, STEP = 24, 240, 144, 2


def texture(seed, width, height=HEIGHT):
    random = np.random.default_rng(seed)
    rough = random.uniform(30, 225, (height // 8, width // 8, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clip():
    """Images of a pan past a square that goes the other way, their true maps, and which pixels the square has."""
    wide = texture(1, WIDTH + STEP * COUNT)
    square = texture(2, 72, 72)
    ramp = np.linspace(0.2, 0.6, wide.shape[1], dtype=np.float32)
    images, maps, inside = [], [], []
    for i in range(COUNT):
        image = wide[:, STEP * i : STEP * i + WIDTH].copy()
        true = np.tile(ramp[STEP * i : STEP * i + WIDTH], (HEIGHT, 1))
        x = 20 + 2 * i
        image[30:102, x : x + 72] = square
        true[30:102, x : x + 72] = 1.0
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[30:102, x : x + 72] = True
        images.append(image)
        maps.append(true)
        inside.append(mask)
    return images, maps, inside


def window(images, maps, frames=None):
    looks = [ComparedFrame(normalized_brightness(p), m) for p, m in zip(images, maps, strict=True)]
    deviation = float(np.mean([m.std() for m in maps]))
    return Window(range(len(maps)) if frames is None else frames, looks.__getitem__, deviation=deviation, threads=1)


def test_noise_is_taken_away_along_what_moves(clip):
    images, maps, inside = clip
    random = np.random.default_rng(3)
    noisy = [m + random.normal(0, 0.05, m.shape).astype(np.float32) for m in maps]
    made = window(images, noisy)
    for frame in (3, 12, COUNT - 2):
        steady = made.steady(frame, check=lambda: None)
        core = cv2.erode(inside[frame].astype(np.uint8), np.ones((9, 9))) > 0
        around = ~cv2.dilate(inside[frame].astype(np.uint8), np.ones((9, 9))).astype(bool)
        around[:, :20] = around[:, -20:] = False
        for where in (core, around):
            before = np.abs(noisy[frame] - maps[frame])[where].mean()
            after = np.abs(steady - maps[frame])[where].mean()
            assert after < 0.6 * before, (frame, before, after)


def test_a_frames_own_scale_and_shift_are_those_of_its_neighbors(clip):
    images, maps, _ = clip
    drifting = list(maps)
    drifting[12] = (1.4 * maps[12] - 0.2).astype(np.float32)
    steady = window(images, drifting).steady(12, check=lambda: None)
    assert np.abs(steady - maps[12]).mean() < 0.1 * np.abs(drifting[12] - maps[12]).mean()


def test_a_lone_frame_stays_as_it_is(clip):
    images, maps, _ = clip
    np.testing.assert_array_equal(window(images[:1], maps[:1]).steady(0, check=lambda: None), maps[0])


def test_a_frame_that_is_left_out_changes_nothing(clip):
    images, maps, _ = clip
    spoilt = list(maps)
    spoilt[11] = np.full_like(maps[11], 50.0)
    frames = [i for i in range(COUNT) if i != 11]
    steady = window(images, spoilt, frames).steady(frames.index(12), check=lambda: None)
    assert np.abs(steady - maps[12]).max() < 0.9


def test_only_what_the_window_reaches_is_read(clip):
    images, maps, _ = clip
    asked = set()

    def look(frame):
        asked.add(frame)
        return ComparedFrame(normalized_brightness(images[frame]), maps[frame])

    Window(range(COUNT), look, deviation=0.2, threads=1).steady(2, check=lambda: None)
    assert asked == set(range(2 + REACH + 1))


def test_images_of_any_light_are_compared_alike():
    image = texture(4, 80)
    dark = (image * 0.3).astype(np.uint8)
    assert np.abs(normalized_brightness(dark).astype(int) - normalized_brightness(image)).mean() < 4


def test_a_step_tells_scale_and_shift_between_two_frames(clip):
    images, maps, _ = clip
    unit = {"center": float(maps[5].mean()), "deviation": float(maps[5].std())}
    second = unit["center"] + 1.25 * (maps[6] - unit["center"]) + 0.3 * unit["deviation"]
    found = step(ComparedFrame(images[5], maps[5]), ComparedFrame(images[6], second.astype(np.float32)), **unit)
    assert found.scale == pytest.approx(1 / 1.25, rel=0.03)
    assert found.shift == pytest.approx(-0.3 / 1.25, abs=0.05)
    assert found.moved == pytest.approx(STEP / WIDTH, rel=0.3)


def test_levels_undo_what_a_standing_camera_cannot_have_seen():
    random = np.random.default_rng(5)
    scales, shifts = np.exp(random.normal(0, 0.1, 30)), random.normal(0, 0.2, 30)
    steps = [
        # own * scale + shift = common, so own = (common - shift) / scale
        Step(
            scale=scales[i + 1] / scales[i],
            shift=(shifts[i + 1] - shifts[i]) / scales[i],
            trust=1.0,
            moved=0.0,
        )
        for i in range(29)
    ]
    found = levels(steps)
    common = np.array([-1.0, 1.0])
    brought = found[:, :1] * ((common - shifts[:, None]) / scales[:, None]) + found[:, 1:]
    assert np.abs(np.diff(brought, axis=0)).max() < 0.05


def test_depth_that_a_moving_camera_changes_slowly_keeps_its_change():
    found = levels([Step(scale=1 / 1.02, shift=0.0, trust=1.0, moved=0.02)] * 40)
    assert np.abs(found[10:-10, 0] - 1).max() < 0.01


def test_nothing_is_levelled_across_what_cannot_be_followed():
    lost = Step(scale=1.5, shift=2.0, trust=0.0, moved=1.0)
    found = levels([Step(scale=1.0, shift=0.0, trust=1.0, moved=0.0)] * 5 + [lost])
    np.testing.assert_allclose(found, np.array([[1.0, 0.0]] * 7), atol=2e-3)
    np.testing.assert_array_equal(levels([]), [[1.0, 0.0]])
