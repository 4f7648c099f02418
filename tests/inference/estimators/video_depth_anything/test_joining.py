"""Windows of unknown scale and shift become one clip, without drift and without steps."""

import cv2
import numpy as np
import pytest

from inference.estimators.video_depth_anything import joining, windows

HEIGHT, WIDTH = 36, 64


def clip(frames):
    """Disparity of a floor, a wave that runs over it and a slow rise and fall [T, H, W]."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / np.array([HEIGHT, WIDTH])[:, None, None]
    time = np.arange(frames)[:, None, None]
    return (1.5 + y + 0.5 * np.sin(6 * x + time / 17) + 0.4 * np.cos(time / 90)).astype(np.float32)


def looked_at(truth, fed, seed, *, error, metric=False):
    """What a network makes of a window: a scale and shift of its own, and errors that are smooth in the image."""
    rng = np.random.default_rng(seed)
    scale, shift = np.exp(rng.normal(0, 0.25)), 0.0 if metric else rng.normal(0, 0.15)

    def smooth():
        return cv2.resize(rng.normal(size=(4, 4)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    wrong = smooth() + np.stack([smooth() for _ in fed])
    return np.maximum(scale * (truth[fed] + error * wrong) + shift, 0).astype(np.float32)


def windows_of(truth, seed=0, **options):
    """The maps of all windows, the anchor last where there is one."""
    frames = len(truth)
    fed = [windows.window_frames(index, frames) for index in range(windows.window_count(frames))]
    fed += [joining.anchor_frames(frames)] if joining.anchor_frames(frames) else []
    return [looked_at(truth, each, 1000 * seed + index, **options) for index, each in enumerate(fed)]


def at(maps):
    return lambda window, place: maps[window][place]


def levels_of(maps, frames, **options):
    return joining.levels_of(at(maps), frames, **options)


def together(maps, frames, **options):
    return np.stack(list(joining.joined_together(at(maps), frames, levels_of(maps, frames, **options))))


def drift_of(found, truth):
    """How much the level of 22 frames together varies along the clip, after one fit for all of it."""
    scale, shift = joining.fitted(found, truth)
    levels = (scale * found + shift - truth).mean(axis=(1, 2))
    return levels[: len(levels) // 22 * 22].reshape(-1, 22).mean(axis=1).std()


@pytest.mark.parametrize("frames", [1, 2, 22, 23, 32, 33, 45, 60, 200])
def test_windows_that_differ_in_scale_and_shift_alone_become_the_clip(frames):
    truth = clip(frames)
    found = together(windows_of(truth, error=0), frames)
    assert found.shape == truth.shape
    scale, shift = joining.fitted(found, truth)
    assert np.abs(scale * found + shift - truth).max() < 1e-3


@pytest.mark.parametrize("frames", [1, 22, 23, 33, 45, 60])
def test_the_chain_gives_every_frame_once(frames):
    truth = clip(frames)
    found = np.stack(list(joining.joined_in_turn(at(windows_of(truth, error=0)), frames)))
    assert found.shape == truth.shape
    scale, shift = joining.fitted(found, truth)
    assert np.abs(scale * found + shift - truth).max() < 1e-3


def test_a_long_take_drifts_less_than_in_the_chain():
    frames = 700
    truth, drift = clip(frames), {"chain": [], "together": []}
    for seed in range(4):
        maps = windows_of(truth, seed, error=0.03)
        chain = np.stack(list(joining.joined_in_turn(at(maps), frames)))
        drift["chain"].append(drift_of(chain, truth))
        drift["together"].append(drift_of(together(maps, frames), truth))
    assert np.mean(drift["together"]) < 0.75 * np.mean(drift["chain"])


def test_a_window_that_went_wrong_in_part_pulls_no_other_along():
    frames = 120
    truth = clip(frames)
    maps = windows_of(truth, error=0.005)
    sound = levels_of(maps, frames)
    maps[2] = maps[2].copy()
    maps[2][:, :12, :20] *= 3  # somebody walks in whom this window alone took for near
    found = levels_of(maps, frames)
    assert np.abs(found[:, 0] / sound[:, 0] - 1).max() < 0.05


def test_depth_in_meters_is_scaled_and_never_shifted():
    frames = 120
    truth = clip(frames)
    maps = windows_of(truth, error=0.01, metric=True)
    found = levels_of(maps, frames, metric=True)
    assert not found[:, 1].any()
    assert abs(np.log(found[:, 0]).mean()) < 1e-9, "the unit is that of all windows together"
    out = together(maps, frames, metric=True)
    ratio = (out / truth).mean(axis=(1, 2))
    assert ratio.std() / ratio.mean() < 0.02


def test_pixels_beyond_what_is_measured_say_nothing_of_scale():
    one = clip(4)
    other = 2 * one - 1.5
    assert joining.compare(0, 1, one, np.maximum(other, 0)).scale == pytest.approx(2, rel=0.02)
    assert joining.compare(0, 1, one, np.zeros_like(one)) is None
    assert joining.compare(0, 1, np.ones_like(one), other) is None
    assert joining.compare(0, 1, one, one.max() + 1 - one) is None, "the opposite of a map is none of its scale"


def test_windows_that_nothing_ties_keep_their_level():
    assert joining.levels([], 3) == pytest.approx(np.array([[1.0, 0.0]] * 3))


def shown(frame, phase):
    """A frame of a clip whose patterns drift apart, as the network takes it [3, H, W]."""
    y, x = np.mgrid[:56, :98] / 56
    waves = (
        np.sin(4 * x + phase + frame / 15),
        np.sin(5 * y - frame / 23 + 2 * np.sin(3 * x)),
        np.cos(3 * x * y + frame / 40),
    )
    return (0.5 + 0.5 * np.stack(waves)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("phase", [0, 2])
def test_known_changes_of_a_networks_windows_drift_less_than_in_the_chain(phase):
    """A network with random weights, whose windows do not quite agree, each with a scale and a shift besides.

    A frame's ground truth is the mean of what the windows make of it before that.
    """
    torch = pytest.importorskip("torch", reason="the packages of the network estimators are not installed")
    from tests.inference.support.tiny_video_depth import tiny_network

    frames, network = 400, tiny_network()
    fed = [windows.window_frames(index, frames) for index in range(windows.window_count(frames))]
    fed.append(joining.anchor_frames(frames))
    with torch.inference_mode():
        clips = (torch.from_numpy(np.stack([shown(frame, phase) for frame in each])) for each in fed)
        seen = [network(each[None])[0].numpy() for each in clips]
    places = list(zip(np.concatenate(fed), np.concatenate(seen), strict=True))
    truth = np.stack([np.mean([maps for number, maps in places if number == frame], axis=0) for frame in range(frames)])
    drift = {"chain": [], "together": []}
    for seed in range(2):
        random = np.random.default_rng(seed)
        changed = [np.exp(random.normal(0, 0.3)) * maps + random.uniform(0, 2) * (maps > 0) for maps in seen]
        changed = [maps.astype(np.float32) for maps in changed]
        drift["chain"].append(drift_of(np.stack(list(joining.joined_in_turn(at(changed), frames))), truth))
        drift["together"].append(drift_of(together(changed, frames), truth))
    assert np.mean(drift["together"]) < 0.85 * np.mean(drift["chain"])
