"""Confidence says what share of the pixels that have it has right depth, and shots with too little are unsupported."""

from itertools import pairwise

import numpy as np
import pytest

from inference.common.failures import UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import calibration, given_camera, unsupported

SHAPE = (30, 48)


def full(value):
    return np.full(SHAPE, value, np.float32)


def test_agreement_is_the_share_of_the_other_frames_that_see_the_same():
    values = np.stack([full(1.0), full(1.05), full(0.8), full(1.3)])
    every, two = np.stack([full(1.0)] * 4), np.stack([full(3.0), full(0.0), full(1.0), full(0.0)])
    np.testing.assert_allclose(calibration.agreement(values, every, full(1.0)), 0.5)
    np.testing.assert_allclose(calibration.agreement(values, two, full(1.0)), 0.75)
    np.testing.assert_allclose(calibration.agreement(values, 0 * every, full(1.0)), 1, err_msg="nobody contradicts")


def test_more_support_and_more_agreement_never_make_less_confident():
    support = np.tile(np.linspace(0, 1, SHAPE[1], dtype=np.float32), (SHAPE[0], 1))
    sure = [calibration.confidence(support, full(agreeing)) for agreeing in (0.2, 0.6, 0.9, 1.0)]
    for each in sure:
        assert each.dtype == np.float32 and each.min() >= 0 and each.max() <= 1
        assert (np.diff(each, axis=1) >= 0).all()
    assert all((less <= more).all() and less.mean() < more.mean() for less, more in pairwise(sure))
    assert sure[-1][0, -1] == 1


def test_what_has_no_support_has_no_confidence():
    assert (calibration.confidence(full(0.0), full(1.0)) == 0).all()


def test_next_to_guesses_support_counts_less():
    left = full(1.0)
    left[:, :20] = 0
    sure = calibration.confidence(full(0.5), left)
    assert sure[15, 21] < sure[15, -1] - 0.1


def test_the_table_rises_from_evidence_of_0_to_1():
    assert len(calibration.EVIDENCE) == len(calibration.SHARES)
    assert calibration.EVIDENCE[0] == 0 and calibration.EVIDENCE[-1] == 1
    for column in (calibration.EVIDENCE, calibration.SHARES):
        assert (np.diff(column) > 0).all()


def test_a_shot_is_judged_by_the_mean_over_its_frames():
    judged = calibration.judged(
        [0.1, 0.3], [np.array([0.2, 0.8], np.float32), np.array([0.7, 0.9, 0.9, 0.9], np.float32)]
    )
    np.testing.assert_allclose([judged.contradicted, judged.confirmed, judged.confident], [0.2, 0.75, 0.675], rtol=1e-5)
    assert calibration.judged([], []) == calibration.Judged(0, 0, 0)


def test_below_one_limit_a_shot_has_a_warning_and_below_another_it_is_unsupported():
    unsupported.require_measured(0.08, lens_guessed=True)
    unsupported.require_measured(0.05, lens_guessed=False)
    assert unsupported.unsure(0.58) == ()
    (warning,) = unsupported.unsure(0.48)
    assert "about 48% of the depth is within 10% of right" in warning
    with pytest.raises(UnsupportedShot, match="5% of the image, and 6% are needed where the focal length") as refused:
        unsupported.require_measured(0.05, lens_guessed=True)
    assert "Set the focal length" in refused.value.hint
    assert "Video Depth Anything" in refused.value.hint
    with pytest.raises(UnsupportedShot, match="confirm it on 2% of the image, and 4% are needed"):
        unsupported.require_measured(0.02, lens_guessed=False)


def reflecting(images):
    """The images with their lower four fifths behind soft blotches that are others in every frame."""
    generator, shown = np.random.default_rng(2), []
    for image in images:
        height, width = image.shape[:2]
        top = height // 5
        small = generator.uniform(0, 255, (12, 16, 3)).astype(np.float32)
        blotches = np.kron(small, np.ones((height // 12, width // 16, 1), np.float32))
        shown.append(image.copy())
        shown[-1][top:] = blotches[top:].astype(np.uint8)
    return shown


@pytest.fixture(scope="module")
def solved(scene, make, tmp_path_factory):
    run = make.shot(scene.images, tmp_path_factory.mktemp("solved"), camera=make.camera(scene.poses))
    return run, parallax.estimate(run.shot)


@pytest.mark.slow
def test_depth_is_right_as_often_as_confidence_says(scene, solved):
    run, _ = solved
    right = np.abs(1 / run.maps() / scene.depth - 1) < calibration.RIGHT
    sure = np.stack([run.confidence[frame] for frame in range(len(right))])
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.01)):
        among = (sure >= low) & (sure < high)
        assert among.sum() > 1000
        assert right[among].mean() > sure[among].mean() - 0.1
    assert right[sure > 0.9].mean() > right[sure < 0.5].mean() + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("phased", [False, True], ids=["at once", "by phases"])
def test_a_shot_that_is_mostly_guessed_is_unsupported(scene, make, tmp_path, phased, monkeypatch):
    monkeypatch.setattr(unsupported, "_LEAST_CONFIRMED", 0.3)  # with less texture it would have too few tracks
    monkeypatch.setattr(given_camera, "require_fit", lambda *_: None)  # as it would here, but a little less
    run = make.shot(reflecting(scene.images), tmp_path, camera=make.camera(scene.poses))
    with pytest.raises(UnsupportedShot, match=r"confirm it on [12][0-9]% of the image, and 30% are needed"):
        if phased:
            for phase in parallax.phases(run.shot):
                phase.run(range(phase.units))
        else:
            parallax.estimate(run.shot)
    assert run.disparity == {}, "it is known before anything is written"
