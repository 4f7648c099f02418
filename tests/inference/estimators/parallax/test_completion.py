"""Measured depth completed by learned depth: the fit, the blend, and a whole shot with a subject that moves."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from development.benchmarks.completion import stand_in
from inference.contract.catalogue import COMPLETE_FROM
from inference.estimators import parallax
from inference.estimators.parallax import INFO, completion, fill

COUNT, HEIGHT, WIDTH = 24, 90, 160


class Street:
    """A floor before a wall with a box, seen by a camera that slides; before them a disc that moves."""

    def __init__(self):
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        self.true, self.dynamic, self.images = [], [], []
        for frame in range(COUNT):
            depth = np.maximum(0.1, 0.5 * (y / HEIGHT) ** 2)
            depth[30:60, 30 + frame : 60 + frame] = 0.3
            disc = (x - 110 + 2 * frame) ** 2 + (y - 45) ** 2 < 12**2
            depth[disc] = 0.4
            self.true.append(depth.astype(np.float32))
            self.dynamic.append(disc)
            gray = 400 * depth + np.where(disc, 25 * (1 + np.sin(x + frame) * np.sin(y)), 0)
            self.images.append(np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2))
        self.learned = stand_in(np.stack(self.true), 0)
        random = np.random.default_rng(1)
        self.measured, self.confidence = [], []
        for true, disc, image in zip(self.true, self.dynamic, self.images, strict=True):
            blank = np.zeros((HEIGHT, WIDTH), bool)
            blank[:25, :70] = True  # a blank part of the wall
            unknown = disc | blank
            noisy = (true * (1 + random.normal(0, 0.01, true.shape))).astype(np.float32)
            sure = np.where(unknown, 0, random.uniform(0.3, 0.9, true.shape)).astype(np.float32)
            wild = np.where(unknown, np.float32(0.25), noisy)
            filled, _ = fill.fill(wild, sure, image, least=0.02, most=1.0)
            self.measured.append(np.where(unknown, filled, noisy))
            self.confidence.append(sure)

    def read(self, frame):
        nothing = np.zeros((HEIGHT, WIDTH), bool)
        return self.measured[frame], completion.weights(self.confidence[frame], nothing), self.learned[frame]


@pytest.fixture(scope="module")
def street():
    return Street()


@pytest.fixture(scope="module")
def found(street):
    return completion.fit(street.read, COUNT, sinks=False, check=lambda: None)


def error(estimate, true, where):
    """Mean relative error of depth."""
    return float(np.mean(np.abs(1 / np.maximum(estimate, 1e-3) - 1 / true)[where] * true[where]))


def test_scale_and_shift_that_drift_are_found_where_nothing_is_measured(street, found):
    everything = np.ones((HEIGHT, WIDTH), bool)
    for frame in (0, COUNT // 2, COUNT - 1):
        wide, narrow = found.at(frame, street.learned[frame])
        a, b = np.polyfit(street.learned[frame].ravel(), street.true[frame].ravel(), 1)
        one_line = error(a * street.learned[frame] + b, street.true[frame], everything)
        assert error(narrow, street.true[frame], everything) < min(0.09, 0.65 * one_line)
        assert error(wide, street.true[frame], street.dynamic[frame]) < 0.16


class Balloon:
    """A balloon before walls at half its inverse depth and less, which alone are measured, at their texture."""

    def __init__(self, nearest=0.13):
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        random = np.random.default_rng(5)
        self.true, self.measured, self.weight, self.balloon = [], [], [], []
        for frame in range(COUNT):
            walls = np.where((x + frame) % 60 < 30, 0.1, nearest) + 0.03 * y / HEIGHT
            balloon = (x - 100 + frame) ** 2 + (y - 40) ** 2 < 10**2
            true = np.where(balloon, 0.3, walls).astype(np.float32)
            is_texture = ((x + frame) % 15 < 3) | (y % 30 < 3)
            self.true.append(true)
            self.measured.append((true * random.normal(1, 0.03, true.shape)).astype(np.float32))
            self.weight.append(np.where(is_texture & ~balloon, np.float32(1), np.float32(0)))
            self.balloon.append(cv2.erode(balloon.astype(np.uint8), np.ones((7, 7))) > 0)

    def missed(self, learned, *, sinks, narrow=False):
        """Mean relative error of the balloon's depth, by the wide level or the narrow one."""

        def read(frame):
            return self.measured[frame], self.weight[frame], learned[frame]

        found = completion.fit(read, COUNT, sinks=sinks, check=lambda: None)
        fitted = [found.at(frame, learned[frame])[int(narrow)] for frame in range(COUNT)]
        return float(np.mean([error(*each) for each in zip(fitted, self.true, self.balloon, strict=True)]))


def test_a_drift_holds_for_what_is_nearer_than_all_that_is_measured():
    balloon = Balloon()
    networks = [stand_in(np.stack(balloon.true), seed) for seed in range(3)]
    drift, by_distance = (np.mean([balloon.missed(each, sinks=sinks) for each in networks]) for sinks in (False, True))
    assert drift < 0.1
    assert drift < 0.7 * by_distance


def test_the_drift_holds_in_the_narrow_fit_too_where_nothing_near_is_measured():
    balloon = Balloon()
    networks = [stand_in(np.stack(balloon.true), seed) for seed in range(3)]
    wide, narrow = (
        np.mean([balloon.missed(each, sinks=False, narrow=at) for each in networks]) for at in (False, True)
    )
    assert narrow < 1.15 * wide


def test_a_drift_is_no_worse_where_the_scale_depends_on_the_distance():
    balloon = Balloon(nearest=0.6)
    steep = [np.interp(true, [0, 0.15, 0.25, 1], [0, 0.1, 0.9, 1]).astype(np.float32) for true in balloon.true]
    assert balloon.missed(steep, sinks=False) < 1.05 * balloon.missed(steep, sinks=True)


@pytest.mark.parametrize("value", [1e6, -1e6, 1e29])
def test_a_wild_pixel_of_the_learned_depth_bends_nothing(street, found, value):
    def read(frame):
        learned = street.learned[frame].copy()
        learned[40, 40] = value
        return (*street.read(frame)[:2], learned)

    bent = completion.fit(read, COUNT, sinks=False, check=lambda: None)
    for frame in (0, COUNT - 1):
        _, narrow = bent.at(frame, street.learned[frame])
        assert np.abs(narrow - found.at(frame, street.learned[frame])[1]).mean() < 0.01


def blended(street, found, frame, dynamic=None, *, confidence=None, stands=0.0):
    """A frame's depth; `stands` : the inverse depth of what moves, 0: the network's."""
    objects = np.zeros((HEIGHT, WIDTH), np.int32) if dynamic is None else dynamic.astype(np.int32)
    confidence = street.confidence[frame] if confidence is None else confidence
    depths = np.array([0, stands] if objects.any() else [0], np.float32)
    fitted = found.at(frame, street.learned[frame])
    image = street.images[frame]
    return completion.blended(street.measured[frame], confidence, objects, fitted, image, depths=depths)


def test_learned_depth_takes_the_place_of_what_is_not_measured_and_of_nothing_else(street, found):
    for frame in (2, 15):
        result, true, disc = blended(street, found, frame), street.true[frame], street.dynamic[frame]
        unknown = street.confidence[frame] == 0
        assert error(result, true, disc) < 0.15
        assert error(result, true, unknown) < 0.25 * error(street.measured[frame], true, unknown)
        known = ~cv2.dilate(unknown.astype(np.uint8), np.ones((9, 9))).astype(bool)
        assert error(result, true, known) < 0.015
    result = blended(street, found, 15, street.dynamic[15])
    assert error(result, street.true[15], street.dynamic[15]) < 0.15


def test_known_dynamic_objects_are_learned_whatever_their_confidence(street, found):
    disc = street.dynamic[15]
    wrong = np.where(disc, np.float32(0.9), street.confidence[15])
    kept = blended(street, found, 15, confidence=wrong)
    mended = blended(street, found, 15, disc, confidence=wrong)
    assert error(kept, street.true[15], disc) > 0.3
    assert error(mended, street.true[15], disc) < 0.15


def test_a_dynamic_object_stands_at_its_own_depth_without_sinking_at_its_rim(street, found):
    disc = street.dynamic[15]
    result = blended(street, found, 15, disc, stands=0.6)
    assert np.median(result[disc]) == pytest.approx(0.6, rel=0.01)
    assert np.abs(result[disc] / 0.6 - 1).max() < 0.25, "the wall behind it is at a sixth of that"
    np.testing.assert_array_equal(result[~disc], blended(street, found, 15, disc)[~disc])


PERSON = np.zeros((HEIGHT, WIDTH), bool)
PERSON[20:80, 70:86] = True


@pytest.mark.parametrize(("seen", "expected"), [(0.32, 0.6), (0.26, 0.26), (-0.1, -0.1)])
def test_the_rim_of_an_object_is_its_own_by_the_ratio_of_its_depth(seen, expected):
    """Of an object at .6 before a wall at .15, .3 is as many times farther than the one as nearer than the other."""
    behind = np.full((HEIGHT, WIDTH), 0.15, np.float32)
    rim = PERSON & ~completion._inner(PERSON)
    learned = np.where(rim, np.float32(seen), np.where(PERSON, np.float32(0.6), behind))
    image, unknown = np.full((HEIGHT, WIDTH, 3), 128, np.uint8), np.zeros_like(behind)
    result = completion.blended(
        behind, unknown, PERSON.astype(np.int32), (learned, learned), image, depths=np.zeros(2, np.float32)
    )
    np.testing.assert_allclose(result[rim], expected, rtol=1e-5)


def leaning(objects, confidence=None, person=PERSON):
    """A person before a far wall, who leans to it in the network's eyes; blended with what the objects [H, W] have."""
    learned = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    learned[20:80] = np.where(person[20:80], np.linspace(0.2, 0.8, 60, dtype=np.float32)[:, None], learned[20:80])
    image = np.where(person[..., None], np.uint8(20), np.uint8(120)).repeat(3, axis=2)
    sure = np.zeros((HEIGHT, WIDTH), np.float32) if confidence is None else confidence
    measured = np.full((HEIGHT, WIDTH), 0.1, np.float32)
    depths = np.array([0, 0.5], np.float32)
    return lambda focal: completion.blended(
        measured, sure, objects, (learned, learned), image, depths=depths, focal=focal
    )


def test_a_dynamic_object_is_no_deeper_than_it_is_wide():
    result = leaning(PERSON.astype(np.int32))
    stands, leans = (np.log(result(focal)[25:75, 78]) for focal in (160.0, None))
    assert np.ptp(leans) > 0.9
    assert np.ptp(stands) == pytest.approx(16 / 160, rel=0.2)
    assert np.all(np.diff(stands) >= 0), "its shape is the network's"
    np.testing.assert_allclose(np.exp(stands), 0.5, rtol=0.1)


def test_what_is_plain_beside_a_dynamic_object_belongs_to_it_if_the_network_sees_it_so():
    """Half of the person does not show that it moves."""
    found = PERSON.copy()
    found[40:70, 78:] = False
    whole, part = (leaning(objects.astype(np.int32))(160.0) for objects in (PERSON, found))
    np.testing.assert_allclose(part[PERSON], whole[PERSON], rtol=0.1)
    np.testing.assert_allclose(part[~PERSON], whole[~PERSON], rtol=0.1)


def test_the_shoulder_of_somebody_near_belongs_to_him_though_it_is_far_from_what_shows_that_he_moves():
    person = np.zeros_like(PERSON)
    person[20:80, 50:104] = True
    found = person.copy()
    found[32:62, 64:] = False
    whole, part = (leaning(objects.astype(np.int32), person=person)(160.0) for objects in (person, found))
    np.testing.assert_allclose(part[person], whole[person], rtol=0.1)
    np.testing.assert_allclose(part[~person], whole[~person], rtol=0.1)


def test_what_is_measured_beside_a_dynamic_object_stays():
    found = PERSON.copy()
    found[40:70, 78:] = False
    sure = np.where(found, np.float32(0), np.float32(1))
    result = leaning(found.astype(np.int32), sure)(160.0)
    assert result[~found].max() < 0.12, "a fifth of the depth of the object"


def test_ground_is_as_it_was_measured_however_unsure_it_is():
    measured, learned = (np.full((HEIGHT, WIDTH), each, np.float32) for each in (0.5, 0.4))
    objects, ground = PERSON.astype(np.int32), np.mgrid[:HEIGHT, :WIDTH][0] >= 50
    plate = np.where(PERSON, 20, np.where(ground, 90, 180)).astype(np.uint8)[..., None].repeat(3, axis=2)
    result = completion.blended(
        measured, np.zeros_like(measured), objects, (learned, learned), plate,
        depths=np.array([0, 0.8], np.float32), ground=ground,
    )  # fmt: skip
    np.testing.assert_allclose(result[ground & ~PERSON], 0.5, rtol=0.03)
    np.testing.assert_allclose(result[~ground & ~PERSON], 0.4, rtol=0.03)
    np.testing.assert_allclose(result[PERSON], 0.8, rtol=0.03)


def test_the_blend_is_steady_at_its_seams_and_over_time(street, found):
    results = np.stack([blended(street, found, frame) for frame in range(COUNT)])
    wall = results[:, 5:20, 5:140]
    assert np.abs(np.diff(wall, axis=0)).mean() < 0.002, "of a wall at 0.1"
    across = np.abs(np.diff(wall.mean(0), axis=1)).max()
    assert across < 0.02, "no step where the blank wall begins"


def test_wrong_measurements_do_not_bend_the_fit(street, found):
    def read(frame):
        measured, weight, learned = street.read(frame)
        measured = measured.copy()
        measured[60:80, 20:50] = 0.02  # confident and wrong
        return measured, weight, learned

    bent = completion.fit(read, COUNT, sinks=False, check=lambda: None)
    everything = np.ones((HEIGHT, WIDTH), bool)
    _, narrow = bent.at(12, street.learned[12])
    assert error(narrow, street.true[12], everything) < 0.08


@pytest.mark.parametrize("made_of", ["noise", "inverted", "flat"])
def test_depth_of_something_else_is_no_completion(street, made_of):
    random = np.random.default_rng(3)

    def read(frame):
        measured, weight, learned = street.read(frame)
        other = {"noise": random.normal(size=learned.shape), "inverted": -learned, "flat": 0 * learned + 1}
        return measured, weight, other[made_of].astype(np.float32)

    with pytest.raises(completion.Disagreement):
        completion.fit(read, COUNT, sinks=False, check=lambda: None)


def test_the_unit_of_learned_depth_does_not_matter(street, found):
    def read(frame):
        measured, weight, learned = street.read(frame)
        return measured, weight, (5000 + 300 * learned).astype(np.float32)

    other = completion.fit(read, COUNT, sinks=False, check=lambda: None)
    np.testing.assert_allclose(
        other.at(9, (5000 + 300 * street.learned[9]).astype(np.float32))[1],
        found.at(9, street.learned[9])[1],
        atol=2e-3,
    )


def test_a_fit_is_read_as_it_was_saved(street, found, tmp_path):
    found.save(tmp_path / "fit.npz")
    again = completion.load_fit(tmp_path / "fit.npz")
    np.testing.assert_array_equal(again.at(3, street.learned[3])[0], found.at(3, street.learned[3])[0])


@pytest.mark.slow(seconds=50)
def test_a_subject_that_moves_gets_its_depth_in_the_camera_s_units_and_resumes_to_the_same_bits(scene, make, tmp_path):
    images, depth, moves = make.with_subject(scene.first(12))
    true = np.where(np.isfinite(depth), 1 / depth, 0).astype(np.float32)
    learned = stand_in(true, 0)
    alone, completed = make.shot(images, tmp_path / "a"), make.shot(images, tmp_path / "b")
    parallax.estimate(alone.shot)
    result = parallax.estimate(replace(completed.shot, learned=learned))
    assert result.completed and result.camera is not None and not result.warnings
    shown = true > 0

    inside = np.stack([cv2.erode(disc.astype(np.uint8), np.ones((9, 9))) > 0 for disc in moves])

    def errors(run):
        maps = run.maps()
        scale, shift = np.polyfit(maps[shown & ~moves], true[shown & ~moves], 1)
        fitted = scale * maps + shift
        return error(fitted, np.where(shown, true, 1), inside), error(fitted, np.where(shown, true, 1), shown & ~moves)

    (moving, static), (moving_alone, static_alone) = errors(completed), errors(alone)
    assert moving < 0.2 and moving_alone > 1, "it was not seen to move"
    assert static <= static_alone
    stopped = make.shot(images, tmp_path / "c", stop_at="settle")
    with pytest.raises(Exception, match=r"^$"):
        parallax.estimate(replace(stopped.shot, learned=learned))
    resumed = make.shot(images, tmp_path / "c", finished=sorted(stopped.disparity))
    parallax.estimate(replace(resumed.shot, learned=learned))
    maps = stopped.disparity | resumed.disparity
    assert np.array_equal(np.stack([maps[i] for i in sorted(maps)]), completed.maps())


@pytest.mark.slow(seconds=20)
def test_a_reflection_that_slides_over_the_floor_is_the_floor(scene, make, tmp_path):
    """It moves, as an object would, but a network, though small subjects sink in its depth, sees the floor alone."""
    scene, (height, width) = scene.first(14), scene.depth.shape[1:]
    noise = np.random.default_rng(5).integers(0, 255, (16, 24, 3)).astype(np.uint8)
    glare = cv2.resize(noise, (48, 32), interpolation=cv2.INTER_CUBIC)
    images, moves = [], np.zeros(scene.depth.shape, bool)
    y, x = np.mgrid[:height, :width]
    for frame, image in enumerate(scene.images):
        left, top = 86 + 4 * frame + round(6 * np.sin(frame)), 110 + round(3 * np.sin(0.9 * frame))
        inside = ((x - left - 24) / 24) ** 2 + ((y - top - 16) / 16) ** 2 < 1
        shown = image.copy()
        shown[inside] = glare[(y - top)[inside], (x - left)[inside]]
        images.append(shown)
        moves[frame] = inside
    true = np.where(np.isfinite(scene.depth), 1 / scene.depth, 0).astype(np.float32)
    learned = np.stack([cv2.GaussianBlur(3 * each + 1, (0, 0), 1.5) for each in true])
    run = make.shot(images, tmp_path, camera=make.camera(scene.poses))
    parallax.estimate(replace(run.shot, learned=learned, learned_sinks=True))
    found = [np.load(tmp_path / "outlines" / f"{frame:06d}.npy") > 0 for frame in range(len(images))]
    assert np.mean(np.stack(found)[moves]) > 0.6, "it is found to move"
    nearer = run.maps()[moves] / true[moves]
    assert np.percentile(nearer, 2) > 0.92 and np.percentile(nearer, 98) < 1.08


def test_its_scratch_files_are_declared():
    assert INFO.completes and COMPLETE_FROM in {parameter.name for parameter in INFO.parameters}
    assert {"fit.npz", "learned/######.npy", "blend/######.npy"} <= set(INFO.scratch_files)
