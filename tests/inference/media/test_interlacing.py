"""Images of two moments each, with and without a header that says so."""

import functools

import cv2
import numpy as np
import pytest

from inference.contract.job import Source
from inference.media.clip import open_clip
from inference.media.interlacing import Weave
from inference.media.source import describe
from tests.footage_maker import movie, stills, woven

SIZE = (160, 120)


@functools.cache
def texture(softness):
    """As rough at every scale as images are, down to `softness` pixels."""
    rng = np.random.default_rng(5)
    image = np.zeros((400, 500, 3), np.float32)
    for scale in (1, 2, 4, 8, 16, 32):
        coarse = rng.random((400 // scale, 500 // scale, 3), np.float32)
        image += scale**0.5 * cv2.resize(coarse, (500, 400), interpolation=cv2.INTER_CUBIC)
    image = cv2.GaussianBlur(image, (0, 0), softness)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def travel(count, across, down, *, softness=1.2):
    """Images of a texture that moves by so many pixels from one to the next."""
    made = []
    for step in range(count):
        shift = np.float32([[1, 0, -across * step], [0, 1, -down * step]])
        made.append(cv2.warpAffine(texture(softness), shift, SIZE, flags=cv2.INTER_CUBIC))
    return made


def warning(images):
    weave = Weave()
    for image in images:
        weave.feed(image)
    return weave.warning("clip.mov")


@pytest.mark.parametrize(("across", "down"), [(1, 0), (4, 0), (12, 0), (2, 1), (0.6, 0)])
@pytest.mark.parametrize("lower_first", [False, True])
def test_woven_images_are_found(across, down, lower_first):
    images = woven(travel(24, across, down))
    if lower_first:
        images = [image[1:-1] for image in images]
    assert "clip.mov is interlaced although it does not say so: 11 of 11 images" in warning(images)


def test_woven_images_of_sixteen_bits_are_found():
    assert warning([p.astype(np.uint16) * 257 for p in woven(travel(16, 3, 0))]) is not None


def test_film_brought_to_sixty_fields_is_found():
    film = travel(12, 4, 0)
    fields = [film[i] for i in np.repeat(np.arange(12), [2, 3] * 6)]
    assert "of 14 images" in warning(woven(fields))


@pytest.mark.parametrize("down", [0.25, 0.5, 1, 1.5, 2, 3, 5])
@pytest.mark.parametrize("across", [0, 1.3])
@pytest.mark.parametrize("softness", [0.8, 3])
def test_no_motion_of_whole_images_is_taken_for_it(across, down, softness):
    assert warning(travel(16, across, down, softness=softness)) is None


def test_noise_stripes_and_held_images_are_not_taken_for_it():
    rng = np.random.default_rng(1)
    still = travel(1, 0, 0)[0]
    assert (
        warning([np.clip(still + rng.normal(0, 12, still.shape), 0, 255).astype(np.uint8) for _ in range(12)]) is None
    )
    stripes = np.where(np.arange(400)[:, None, None] // 2 % 2, 220, 30).astype(np.uint8).repeat(200, 1).repeat(3, 2)
    assert warning([stripes[step : step + 120, :160] for step in range(16)]) is None
    assert warning([image for image in travel(6, 5, 2) for _ in range(3)]) is None


def test_what_passes_through_a_clip_is_looked_at_once(tmp_path):
    path = movie(tmp_path / "woven.mov", range(12), codec="prores_ks", pixel_format="yuv422p10le", size=SIZE,
                 images=woven(travel(24, 3, 0)))  # fmt: skip
    with open_clip(describe(path)) as clip:
        assert (clip.warnings, clip.found()) == ((), ())
        for _ in range(2):
            list(clip.read())
        (found,) = clip.found()
    assert found.startswith(f"{path} is interlaced although it does not say so: 11 of 11 images are combed")
    assert found.endswith("deinterlace it first.")


def test_so_are_image_sequences(tmp_path):
    files = stills(tmp_path, range(1, 11), images=woven(travel(20, 3, 0)))
    source = Source(kind="sequence", path=str(tmp_path), files=tuple(file.name for file in files))
    with open_clip(source) as clip:
        list(clip.read())
        assert len(clip.found()) == 1


@pytest.mark.parametrize("images", [woven(travel(16, 3, 0)), travel(8, 3, 0)], ids=["woven", "whole"])
def test_a_movie_that_says_so_is_named_once(images, tmp_path):
    options = {"crf": "1", "x264-params": "tff=1", "flags": "+ildct+ilme"}
    path = movie(tmp_path / "clip.mp4", range(8), size=SIZE, images=images, options=options)
    with open_clip(describe(path)) as clip:
        (told,) = clip.warnings
        list(clip.read())
        assert clip.found() == ()
    assert told.startswith(f"{path} is marked as interlaced: if moving edges in it look like combs, deinterlace it")


def test_real_clips_are_whole(footage):
    for path in sorted((footage / "clips").glob("*.mp4")):
        with open_clip(describe(path)) as clip:
            for _ in clip.read(1, min(clip.last_frame, 24)):
                pass
            assert clip.warnings == clip.found() == ()
