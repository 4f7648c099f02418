"""An unknown focal length that the tracks do not tell is what lenses usually have; one that they tell stays."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from mapped_model import everywhere_tracks, mapped

from inference.common.failures import UnsupportedShot
from inference.estimators import parallax
from inference.estimators.parallax import camera_path, focal_length, solve, unsupported
from inference.estimators.parallax.focal_length import focal_of
from inference.estimators.parallax.lens import Lens, SolveError
from inference.estimators.parallax.tracks import follow
from inference.estimators.parallax.unsupported import guessed_lens
from inference.media.lens_tags import LensTag
from tests.marks import rest_slow

WIDTH, HEIGHT, FOCAL, COUNT, POINTS = 320, 240, 256.0, 12, 150
USUAL = 288.0


def turn(angle):
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


LENS = Lens(width=WIDTH, height=HEIGHT, focal=None, center=((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
GLIDE = [(np.eye(3), np.array([0.15 * (i - COUNT / 2), 0, 0])) for i in range(COUNT)]


def filmed(poses, *, focal=FOCAL):
    """Tracks of random points that are seen under poses (rotation, shift), and the points."""
    generator = np.random.default_rng(2)
    points = generator.uniform([-2, -1.5, 4], [2, 1.5, 9], (POINTS, 3))
    xy = []
    for rotation, shift in poses:
        at = points @ rotation.T + shift
        xy.append(focal * at[:, :2] / at[:, 2:] + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    return everywhere_tracks(np.stack(xy) + generator.normal(0, 0.15, (COUNT, POINTS, 2))), points


def solved(poses, folder, *, start, focal=FOCAL):
    """The mapper's model of such tracks, at a focal length of `start`."""
    return mapped(filmed(poses, focal=focal)[0], LENS, folder, start=start)


def around_the_scene():
    """Poses of a camera that turns by forty degrees around the scene."""
    turns = [turn(angle) for angle in np.linspace(-0.35, 0.35, COUNT)]
    return [(rotation, np.array([0, 0, 6.5]) - rotation @ [0, 0, 6.5]) for rotation in turns]


@pytest.fixture
def gliding(tmp_path):
    """A camera that glides sideways without turning: any focal length explains it, with a scene as deep as need be."""
    return solved(GLIDE, tmp_path, start=150.0)


def test_where_any_focal_length_fits_the_usual_one_is_taken(gliding):
    assert focal_of(gliding) == pytest.approx(150.0)
    found = focal_length.likely(gliding, usual=USUAL)
    assert focal_of(found) == pytest.approx(USUAL, rel=0.1)
    count = focal_length.observations(gliding)
    assert focal_length.misfit(found, count) < 1.02 * focal_length.misfit(gliding, count)


def test_a_focal_length_that_the_shot_tells_stays(tmp_path):
    model = solved(around_the_scene(), tmp_path, start=FOCAL)
    told = focal_length.with_focal_length(model, FOCAL)
    found = focal_length.likely(told, usual=2.2 * FOCAL)
    assert focal_of(found) == pytest.approx(FOCAL, rel=0.03)


@pytest.mark.parametrize("widths", [0.2, 3.0])
def test_a_focal_length_that_no_lens_has_is_drawn_to_the_usual_one_where_the_tracks_do_not_tell_it(gliding, widths):
    wrong = focal_length.with_focal_length(gliding, widths * WIDTH)
    focal_length.refine(wrong, refine_focal=False)
    assert focal_of(focal_length.likely(wrong, usual=USUAL)) == pytest.approx(USUAL, rel=0.1)


def test_one_that_the_tracks_tell_is_left_to_be_refused(tmp_path):
    tracks, _ = filmed(around_the_scene(), focal=0.25 * WIDTH)
    views = solve.solve(tracks, LENS, seed=0, folder=tmp_path)
    with pytest.raises(UnsupportedShot, match=r"it found a focal length of 0\.2"):
        unsupported.check_solved_lens(views)


def test_a_held_focal_length_goes_where_the_tracks_tell(tmp_path):
    held = solved(around_the_scene(), tmp_path, start=1.5 * FOCAL)
    assert focal_of(focal_length.around(held, usual=1.5 * FOCAL)) == pytest.approx(FOCAL, rel=0.1)


def test_of_several_models_the_likeliest_is_taken(gliding):
    usual, wide = (focal_length.with_focal_length(gliding, share * WIDTH) for share in (0.9, 0.3))
    plausible = 0.4 * WIDTH, 2.5 * WIDTH

    def likeliest(*misfits):
        return focal_length.likeliest([wide, gliding, usual], misfits, usual=USUAL, plausible=plausible)

    assert likeliest(0.1, 0.1, 0.1) is usual
    assert likeliest(0.2, 0.1, 0.2) is gliding, "one that the tracks tell"
    assert likeliest(0.1, 0.2, 0.112) is usual, "no lens has the other"
    assert likeliest(0.1, 0.2, 0.2) is wide, "to be refused"


@pytest.mark.slow
def test_a_model_of_which_the_mapper_kept_little_explains_the_tracks_all_the_same(gliding):
    tracks, _ = filmed(GLIDE)
    keys = list(range(COUNT))
    whole = solve._misfit_of_tracks(gliding, tracks, keys, LENS)
    part = copy.deepcopy(gliding)
    for point in sorted(part.points3D)[:40]:
        part.delete_point3D(point)
    assert solve._misfit_of_tracks(part, tracks, keys, LENS) == pytest.approx(whole)
    lost = copy.deepcopy(gliding)
    for image in list(lost.reg_image_ids())[:3]:
        lost.deregister_frame(lost.image(image).frame_id)
    assert solve._misfit_of_tracks(lost, tracks, keys, LENS) > 2 * whole, "frames without a pose"


MAPPERS = {
    "as it is": lambda model: model,
    "much too long": lambda model: focal_length.with_focal_length(model, 7.8 * WIDTH),
    "next to nothing": lambda model: focal_length.with_focal_length(model, 0.003 * WIDTH),
    "no answer": lambda model: None,
}


@pytest.mark.parametrize("name", rest_slow(MAPPERS))
def test_a_shot_that_does_not_tell_its_lens_is_solved_with_a_likely_one(tmp_path, monkeypatch, name):
    map_as_it_is = solve._map

    def answers(database, folder, seed, *, refine_focal):
        model = map_as_it_is(database, folder, seed, refine_focal=refine_focal)
        return MAPPERS[name](model) if refine_focal else model

    monkeypatch.setattr(solve, "_map", answers)
    tracks, points = filmed(GLIDE)
    views = solve.solve(tracks, LENS, seed=0, folder=tmp_path)
    assert views.focal == pytest.approx(USUAL, rel=0.3)
    unsupported.check_solved_lens(views)
    first = views.seen[views.seen[:, 0] == 0, 1]
    xy = views.project(views.sparse(0)[1])
    ids, seen = tracks.at(0)
    nearest = ids[np.argmin(np.linalg.norm(seen[None] - xy[:, None], axis=2), axis=1)]
    assert len(first) > 100
    assert np.corrcoef(1 / views.sparse(0)[1][:, 2], 1 / points[nearest, 2])[0, 1] > 0.99
    (warning,) = guessed_lens(views)
    assert "image widths" in warning and "Set the focal length" in warning


def test_a_lens_that_is_told_is_not_doubted(tmp_path):
    views = solve.solve(filmed(around_the_scene())[0], LENS, seed=0, folder=tmp_path)
    assert views.focal == pytest.approx(FOCAL, rel=0.05)
    assert guessed_lens(views) == ()


def test_a_focal_length_in_the_files_is_taken_where_the_tracks_do_not_tell_it(tmp_path):
    tracks, _ = filmed(GLIDE)
    views = solve.solve(tracks, replace(LENS, tagged=1.6 * WIDTH, deviation=0.08), seed=0, folder=tmp_path)
    assert views.focal == pytest.approx(1.6 * WIDTH, rel=0.1)


@pytest.mark.slow
def test_a_wrong_one_in_the_files_does_no_harm_where_they_do(tmp_path):
    tracks, _ = filmed(around_the_scene())
    views = solve.solve(tracks, replace(LENS, tagged=1.6 * WIDTH, deviation=0.08), seed=0, folder=tmp_path)
    assert views.focal == pytest.approx(FOCAL, rel=0.05)


def test_a_guess_names_the_files_where_they_have_one(scene, make, tmp_path):
    shot = replace(make.shot(scene.images, tmp_path).shot, lens_tag=LensTag(1.5, 0.08))
    lens = camera_path._lens(shot)
    assert (lens.focal, lens.tagged, lens.deviation) == (None, 1.5 * 192, 0.08)
    views = camera_path._given(replace(shot, camera=make.camera(scene.poses)), follow(scene.images.__getitem__, 16))
    (warning,) = guessed_lens(replace(views, lens_guessed=True), tagged=True)
    assert "close to that of the file's metadata" in warning


def test_without_any_model_there_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(solve, "_map", lambda *where, refine_focal: None)
    monkeypatch.setattr(solve, "_grow", lambda *where: None)
    tracks, _ = filmed(GLIDE)
    with pytest.raises(SolveError, match="with a constant focal length"):
        solve.solve(tracks, LENS, seed=0, folder=tmp_path)
    with pytest.raises(SolveError, match="with the known focal length"):
        solve.solve(tracks, replace(LENS, focal=FOCAL), seed=0, folder=tmp_path)


@pytest.mark.parametrize("widths", [0.1, 60.0])
def test_a_given_focal_length_that_no_lens_has_is_not_called_found(scene, make, tmp_path, widths):
    camera = replace(make.camera(scene.poses, focal=192 * widths), poses=())
    with pytest.raises(UnsupportedShot, match=f"^The known focal length is {widths:.2f} image widths") as caught:
        parallax.estimate(make.shot(scene.images, tmp_path, camera=camera).shot)
    assert "unit" in caught.value.hint


def test_the_usual_focal_length_is_left_as_it_is(gliding):
    usual = focal_length.with_focal_length(gliding, USUAL)
    assert focal_length.likely(usual, usual=USUAL) is usual
