"""Scale and shift from tracks on depth maps: right whatever some of the tracks do, or declined."""

import numpy as np
import pytest
from bl_ext.dev.fathom.scene import track_fit
from bl_ext.dev.fathom.scene.problems import Problem
from bl_ext.dev.fathom.scene.track_fit import Samples

A, B = 0.35, 0.02


def samples(*, tracks=60, frames=30, noise=0.0, wild=0.0, scale=A, shift=B, near=2.0, far=40.0, seed=0):
    """Tracks over some frames each, whose camera comes nearer; `wild` ones have values of anything.

    `scale` and `shift` may be functions of the frame.
    """
    rng = np.random.default_rng(seed)
    start = np.exp(rng.uniform(np.log(near), np.log(far), tracks))
    parts = []
    for number in range(tracks):
        first = rng.integers(0, frames // 2)
        seen = np.arange(first, min(frames, first + rng.integers(5, frames)))
        distance = start[number] * (1.0 - 0.01 * seen)
        a, b = (each(seen) if callable(each) else each for each in (scale, shift))
        disparity = (1 / distance - b) / a
        disparity = disparity + noise * disparity * rng.normal(size=len(seen))
        if number < wild * tracks:
            disparity = np.full(len(seen), rng.uniform(0.05, 2.0))
        parts.append((np.full(len(seen), number), seen + 100, disparity, distance))
    track, frame, disparity, distance = (np.concatenate(each) for each in zip(*parts))
    return Samples(track=track, frame=frame, disparity=disparity, distance=distance)


def fit(given, **how):
    return track_fit.fit(given, int(given.track.max()) + 1, **{"with_shift": True} | how)


def test_exact_tracks_give_scale_and_shift_exactly():
    found = fit(samples())
    assert np.allclose([found.scale[0], found.shift[0]], [A, B], rtol=1e-6)
    assert found.inlier.all() and found.residual < 1e-6 and len(found.frames) == 1


@pytest.mark.parametrize("wild", [0.2, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_wild_tracks_do_not_matter(wild, seed):
    given = samples(noise=0.03, wild=wild, seed=seed)
    found = fit(given)
    distance = np.geomspace(2, 40, 20)
    fitted = 1 / found.inverse((1 / distance - B) / A, np.full(20, 100))
    assert np.abs(fitted / distance - 1).max() < 0.04
    is_wild = np.arange(60) < wild * 60
    assert found.inlier[~is_wild].mean() > 0.85 and found.inlier[is_wild].mean() < 0.2


def test_noise_of_the_maps_does_not_draw_the_scale_to_nothing():
    found = fit(samples(noise=0.15, tracks=300, frames=20))
    assert found.scale[0] == pytest.approx(A, rel=0.03)


@pytest.mark.parametrize("wild", [0.0, 0.3])
def test_a_scale_alone(wild):
    found = fit(samples(shift=0.0, noise=0.02, wild=wild), with_shift=False)
    assert found.scale[0] == pytest.approx(A, rel=0.01) and found.shift[0] == 0


def test_slow_changes_are_followed_and_a_stiff_fit_takes_their_middle():
    def scale(frame):
        return A * (1 + 0.3 * frame / 60)

    given = samples(frames=60, tracks=120, noise=0.02, wild=0.2, scale=scale)
    loose, stiff = fit(given, spacing=15), fit(given)
    assert list(loose.frames) == [100, 115, 130, 144, 159]
    wanted = scale(loose.frames - 100)
    assert np.abs(loose.scale / wanted - 1).max() < 0.03
    assert loose.residual < 0.015 and stiff.residual > 2 * loose.residual


def test_keys_without_tracks_take_after_their_neighbors():
    given = samples(frames=60, tracks=100)
    found = fit(given.only((given.frame < 110) | (given.frame > 150)), spacing=10)
    assert np.allclose(found.scale, A, rtol=1e-4) and np.allclose(found.shift, B, atol=1e-4)


def test_few_tracks_are_declined():
    with pytest.raises(Problem, match="Only 7 solved tracks lie on its depth, and a fit takes 8"):
        fit(samples(tracks=7))
    assert fit(samples(tracks=7, shift=0.0), with_shift=False).scale[0] == pytest.approx(A)


def test_tracks_at_one_distance_are_declined():
    with pytest.raises(Problem, match="all lie at about one distance"):
        fit(samples(near=5.0, far=5.2, frames=10, noise=0.01))


@pytest.mark.parametrize("with_shift", [True, False])
def test_another_clips_tracks_are_declined(with_shift):
    given = samples(shift=0.0)
    rng = np.random.default_rng(5)
    other = rng.permutation(60)
    values = {number: rng.uniform(0.07, 1.4) for number in other}
    mixed = np.array([values[number] for number in given.track])
    with pytest.raises(Problem, match="do not agree"):
        fit(
            Samples(track=given.track, frame=given.frame, disparity=mixed, distance=given.distance),
            with_shift=with_shift,
        )


def test_reversed_depth_is_declined():
    given = samples()
    with pytest.raises(Problem, match="do not agree"):
        fit(Samples(track=given.track, frame=given.frame, disparity=2 - given.disparity, distance=given.distance))


def test_a_track_beyond_infinity_is_an_outlier_and_has_no_finite_error():
    given = samples()
    values = np.where(given.track == 3, -5.0, given.disparity)
    found = fit(Samples(track=given.track, frame=given.frame, disparity=values, distance=given.distance))
    assert not found.inlier[3] and found.error[3] == np.inf and found.residual < 1e-6
