"""What a run of StereoDiff needs and gives, by its parameters."""

import dataclasses

import pytest

from inference.common.failures import Failure
from inference.contract import depth_sequence
from inference.contract.camera import Camera, Pose
from inference.contract.depth_sequence import DepthSequence, DepthSequenceError, Shot
from inference.contract.job import Source
from inference.estimators import registry
from inference.estimators.stereodiff import INFO, info_for
from inference.estimators.stereodiff.settings import MONST3R, REFINE_SIGMA, Settings
from inference.run.checks import resolve_parameters
from inference.video_diffusion.weights import DEPTHCRAFTER, SVD

POSE = Pose(frame=1, camera_to_world=((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
CAMERA = Camera(width=8, height=6, focal_length=9.0, principal_point=(3.5, 2.5), poses=(POSE,))
GIVEN = DepthSequence(
    source=Source(kind="movie", path="/clips/street.mp4"),
    first_frame=1,
    last_frame=3,
    width=8,
    height=6,
    quantity="relative_disparity",
    shots=(
        Shot(first_frame=1, last_frame=1, status="done", camera=CAMERA),
        Shot(first_frame=2, last_frame=3, status="refused", reason="It is too short."),
    ),
    estimator="another",
    fingerprint="f",
    confidence="its own",
)


def facts(**parameters):
    return info_for(resolve_parameters(INFO, parameters))


@pytest.fixture
def given(tmp_path):
    """Write a depth sequence; gives the facts of refining it."""

    def write(**changes):
        depth_sequence.save(dataclasses.replace(GIVEN, **changes), tmp_path)
        return facts(stage1_from=str(tmp_path))

    return write


def test_both_stages_need_all_weights_and_give_all_there_is():
    assert facts() == INFO and INFO.models == (MONST3R, DEPTHCRAFTER, SVD)
    assert INFO.has_camera and INFO.has_confidence and INFO.quantity == "inverse_depth"
    assert registry.info_for("stereodiff", resolve_parameters(INFO, {})) == INFO


def test_stage_1_alone_needs_its_own_weights_and_works_at_its_own_size():
    alone = facts(stage="1")
    assert (alone.models, alone.default_size) == ((MONST3R,), 512)
    assert alone.has_camera and alone.has_confidence
    assert facts(stage="1", window=20, overlap=20) == alone, "there are no windows"


def test_another_depth_sequence_passes_on_what_it_has(given):
    refining = given()
    assert refining.models == (DEPTHCRAFTER, SVD) and refining.quantity == "relative_disparity"
    assert refining.has_camera and refining.confidence_meaning == "taken over from another: its own"
    assert given(quantity="inverse_depth").quantity == "inverse_depth"
    without = given(confidence=None, shots=(dataclasses.replace(GIVEN.shots[0], camera=None),))
    assert (without.has_camera, without.has_confidence, without.confidence_meaning) == (False, False, None)
    still = dataclasses.replace(CAMERA, poses=())
    assert not given(shots=(dataclasses.replace(GIVEN.shots[0], camera=still),)).has_camera


def test_what_is_no_depth_sequence_is_named(tmp_path):
    with pytest.raises(DepthSequenceError, match=r"contains no depth\.json"):
        facts(stage1_from=str(tmp_path))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"stage": "1", "stage1_from": "/somewhere"}, "nothing to do"),
        ({"window": 20, "overlap": 20}, "smaller than the window"),
        (
            {"spacing": "trailing", "refine_sigma": 1.0},
            r"\[\[refine_sigma=1\]\] and the one of \[\[spacing=trailing\]\]",
        ),
    ],
)
def test_parameters_that_contradict_each_other(parameters, words):
    with pytest.raises(Failure, match=words) as caught:
        facts(**parameters)
    assert caught.value.hint.endswith(".")


def test_settings_are_exactly_the_declared_parameters():
    assert sorted(field.name for field in dataclasses.fields(Settings)) == sorted(p.name for p in INFO.parameters)
    settings = Settings(**resolve_parameters(INFO, {}))
    assert settings.matches and settings.refines and settings.refine_sigma == REFINE_SIGMA
    assert not Settings(**resolve_parameters(INFO, {"stage": "1"})).refines
    assert not Settings(**resolve_parameters(INFO, {"stage1_from": "/somewhere"})).matches
