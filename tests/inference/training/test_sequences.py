"""Sequences: drawn by their number alone, normalized over all their frames."""

import dataclasses

import numpy as np
import pytest

from inference.training import data, recipe, sequences
from tests.inference.support import training_clips

VALUES = {"shortest": 2, "longest": 4, "width": 64, "height": 64, "variants": 3, "largest_stride": 2}
SETTINGS = recipe.settings("depthcrafter", 1, VALUES)
PLAIN = sequences.Excerpt(
    clip=0,
    first=0,
    length=3,
    stride=1,
    crop=(1.0, 0.0, 0.0),
    is_flipped=False,
    brightness=1.0,
    contrast=1.0,
    saturation=1.0,
    augmentation=0.02,
    noise_seed=1,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = training_clips.write_clip(tmp_path_factory.mktemp("clip") / "one", hole=True)
    return data.opened(data.Set(name="one", folder=str(folder)))[0]


def test_every_clip_comes_once_in_a_round_and_variants_come_again():
    rounds = [[sequences.clip_of(SETTINGS, [1, 1, 1, 1], 4 * turn + place) for place in range(4)] for turn in range(6)]
    assert all(sorted(clip for clip, _ in each) == [0, 1, 2, 3] for each in rounds)
    assert [{variant for _, variant in each} for each in rounds] == [{0}, {1}, {2}, {0}, {1}, {2}]
    assert len({tuple(clip for clip, _ in each) for each in rounds}) > 1


def test_a_clip_that_is_repeated_comes_with_different_variants():
    found = [sequences.clip_of(SETTINGS, [2, 1], number) for number in range(3)]
    assert sorted(found) == [(0, 0), (0, 1), (1, 0)]


def test_what_is_drawn_depends_on_the_number_alone_and_stays_within_the_clip():
    for variant in range(40):
        one = sequences.drawn(SETTINGS, 1, 7, variant)
        assert one == sequences.drawn(SETTINGS, 1, 7, variant)
        assert 2 <= one.length <= 4 and one.stride in (1, 2) and one.first >= 0 and one.frames[-1] < 7
    drawn = [sequences.drawn(SETTINGS, 1, 7, variant) for variant in range(40)]
    assert {each.length for each in drawn} == {2, 3, 4} and {each.stride for each in drawn} == {1, 2}
    assert {each.is_flipped for each in drawn} == {True, False}
    assert sequences.drawn(dataclasses.replace(SETTINGS, seed=1), 1, 7, 0) != drawn[0]


def test_the_strength_of_the_noise_is_log_normal():
    strengths = np.log([sequences.drawn(SETTINGS, clip, 7, 0).augmentation for clip in range(400)])
    assert abs(strengths.mean() + 3) < 0.1 and abs(strengths.std() - 0.5) < 0.06


def test_disparity_has_one_range_for_all_frames(clip):
    found = sequences.pixels(SETTINGS, clip, PLAIN)
    depth = np.stack([clip.truth.depth(frame) for frame in range(3)])
    known = depth > 0
    inverse = 1 / depth[known]
    expected = (inverse - inverse.min()) / (inverse.max() - inverse.min())
    np.testing.assert_allclose(found.disparity[known], expected, atol=1e-6)
    assert found.disparity.min() == 0 and found.disparity.max() == 1
    np.testing.assert_array_equal(found.known, known)
    assert found.images.shape == (3, 64, 64, 3) and found.images.min() >= 0 and found.images.max() <= 1


def test_unknown_pixels_have_the_nearest_known_disparity_or_are_far(clip):
    found = sequences.pixels(SETTINGS, clip, PLAIN)
    assert not found.known[0, -1, 0]
    assert found.disparity[0, -1, 0] in (found.disparity[0, -1, 16], found.disparity[0, 47, 0])
    far = sequences.pixels(SETTINGS, dataclasses.replace(clip, is_far=True), PLAIN)
    assert far.known.all() and far.disparity[0, -1, 0] == 0 and far.disparity[0, 0, 60] > 0.1


def test_images_and_depth_are_mirrored_and_cropped_alike(clip):
    whole = sequences.pixels(SETTINGS, clip, PLAIN)
    mirrored = sequences.pixels(SETTINGS, clip, dataclasses.replace(PLAIN, is_flipped=True))
    for name in ("images", "disparity", "known"):
        np.testing.assert_array_equal(getattr(mirrored, name), getattr(whole, name)[:, :, ::-1])
    part = sequences.pixels(SETTINGS, clip, dataclasses.replace(PLAIN, crop=(0.5, 1.0, 0.0)))
    np.testing.assert_array_equal(part.known[:, ::2, ::2], whole.known[:, :32, 32:])
    assert abs(part.images - whole.images[:, :32, 32:].repeat(2, 1).repeat(2, 2)).mean() < 0.05


def test_a_crop_has_the_networks_aspect(tmp_path):
    folder = training_clips.write_clip(tmp_path / "wide", size=(160, 64))
    wide = data.opened(data.Set(name="wide", folder=str(folder)))[0]
    found = sequences.pixels(SETTINGS, wide, PLAIN)
    expected = wide.truth.image(0)[:, :64] / 255
    np.testing.assert_allclose(found.images[0], expected, atol=1e-6)


def test_depth_that_is_the_same_everywhere_is_no_lesson():
    with pytest.raises(sequences.UnusableSequence, match="same everywhere"):
        sequences.normalized(np.ones((2, 4, 4), np.float32), np.ones((2, 4, 4), bool), 0.0)
    with pytest.raises(sequences.UnusableSequence, match="no depth"):
        sequences.normalized(np.ones((2, 4, 4), np.float32), np.zeros((2, 4, 4), bool), 0.0)


def test_a_quantile_leaves_the_extremes_out():
    inverse = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 10, 100)
    inverse[0, -1, -1] = 50
    found, _ = sequences.normalized(inverse, np.ones(inverse.shape, bool), 0.01)
    assert found.max() == 1 and abs(np.median(found) - 0.5) < 0.02


def test_what_cannot_be_read_is_named_and_replaced(clip):
    said, tried = [], []

    def read(excerpt):
        tried.append(excerpt.clip)
        if excerpt.clip == 0:
            raise OSError("torn")
        return excerpt

    found = sequences.usable(SETTINGS, [clip, clip], [1, 1], 0, read=read, warn=said.append)
    again = sequences.usable(SETTINGS, [clip, clip], [1, 1], 0, read=read, warn=said.append)
    assert found.clip == 1 and found == again
    other = next(n for n in range(2) if sequences.clip_of(SETTINGS, [1, 1], n)[0] == 0)
    sequences.usable(SETTINGS, [clip, clip], [1, 1], other, read=read, warn=said.append)
    assert any("one, one is skipped: torn." in sentence for sentence in said)

    def never(excerpt):
        raise OSError("torn")

    with pytest.raises(sequences.UnusableSequence, match="100 sequences in a row"):
        sequences.usable(SETTINGS, [clip], [1], 0, read=never, warn=said.append)
