"""Automatic, and depth completed by learned depth: which estimator a shot gets, and what depth.json says of it."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference.common.failures import Cancelled, Failure, UnsupportedShot
from inference.contract import depth_sequence, events, exit_codes
from inference.contract.catalogue import LEARNED, QUICK, Fallback, MissingRequirement
from inference.contract.job import Job
from inference.estimators import registry, requirements
from inference.estimators.base import COMPLETION, EstimatorInfo, ShotResult
from inference.media.exr import read_map
from inference.media.source import describe
from inference.run import automatic, runner

MOVES, STANDS = range(1, 7), range(7, 11)
WIDTH, HEIGHT = 64, 48
MEASURING = EstimatorInfo(
    name="measuring",
    label="Measuring",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="inverse_depth",
    default_size=WIDTH,
    minimum_frames=3,
    completes=True,
    has_confidence=True,
    confidence_meaning="1 where it was measured",
    parameters=COMPLETION,
    place=1,
)
NETWORK = EstimatorInfo(
    name="network",
    label="Network",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="relative_disparity",
    default_size=WIDTH // 2,
    place=2,
)


def measure(shot):
    """Depth 2 where the image changes, and of learned depth its mean on top; else the shot is not supported."""
    if np.array_equal(shot.frames[0], shot.frames[len(shot.frames) - 1]):
        raise UnsupportedShot("The camera stands still.", "Use another estimator.")
    for index in range(len(shot.frames)):
        shot.check()
        more = 0.0 if shot.learned is None else float(shot.learned[index].mean())
        values = np.full((shot.frames.height, shot.frames.width), 2 + more, np.float32)
        shot.write(index, values, np.ones_like(values))
    return ShotResult(completed=shot.learned is not None)


def see(shot):
    """Brightness, by a network that sees less than the other estimator."""
    assert shot.learned is None
    for index in range(len(shot.frames)):
        shot.check()
        if index not in shot.finished:
            shot.write(index, shot.frames[index].mean(axis=2).astype(np.float32) / 255)
    return ShotResult()


@pytest.fixture
def estimators(monkeypatch):
    """The two estimators in the places of the product's; what the network misses can be set."""
    found = SimpleNamespace(
        missing=[],
        table={
            "measuring": SimpleNamespace(INFO=MEASURING, estimate=measure),
            "network": SimpleNamespace(INFO=NETWORK, estimate=see),
        },
    )
    asked = requirements.missing_requirements
    monkeypatch.setattr(registry, "names", lambda: sorted(found.table))
    monkeypatch.setattr(registry, "_module", lambda name: found.table[name])
    monkeypatch.setattr(
        requirements,
        "missing_requirements",
        lambda facts: found.missing if facts.name == "network" else asked(facts),
    )
    nobody = Fallback(estimator="of a later Fathom", weights="", licence="", terms="")
    network = Fallback(estimator="network", weights="", licence="", terms="")
    monkeypatch.setattr(automatic, "LEARNED", (nobody, network))
    return found


@pytest.fixture
def footage_of_two(tmp_path):
    """A folder of images: a shot that moves, then one that stands still."""
    random = np.random.default_rng(1)
    for number in (*MOVES, *STANDS):
        image = random.integers(0, 255, (HEIGHT, WIDTH, 3)) if number in MOVES else np.full((HEIGHT, WIDTH, 3), 40)
        image[:10] = 200
        (tmp_path / "clip").mkdir(exist_ok=True)
        large = image.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
        cv2.imwrite(str(tmp_path / "clip" / f"{number:04d}.png"), large)
    return tmp_path / "clip"


def estimate(clip, output, *, estimator="automatic", cuts="7", cancelled=lambda: False, heard=None, **settings):
    heard = [] if heard is None else heard
    job = Job(source=describe(str(clip)), output=str(output), estimator=estimator, cuts=cuts, **settings)
    sequence = runner.estimate(job, emit=heard.append, cancelled=cancelled)
    assert sequence == replace(depth_sequence.load(output), source=sequence.source)
    return sequence


def maps(folder, number):
    return tuple(
        read_map(folder / name(number)) for name in (depth_sequence.disparity_name, depth_sequence.confidence_name)
    )


def test_each_shot_gets_what_suits_it_and_depth_json_says_why(estimators, footage_of_two, tmp_path):
    sequence = estimate(footage_of_two, tmp_path / "depth")
    assert (sequence.estimator, sequence.quantity, sequence.parameters) == ("automatic", "inverse_depth", {})
    measured, learned = sequence.shots
    assert (measured.status, measured.estimators, measured.quantity) == ("done", ("measuring", "network"), None)
    assert measured.reason == "Measuring measured the depth and Network completed it."
    assert (learned.status, learned.estimators, learned.quantity) == ("done", ("network",), "relative_disparity")
    assert learned.reason == "The camera stands still. So the depth is Network's alone."
    disparity, sure = maps(tmp_path / "depth", MOVES[0])
    assert disparity.shape == (HEIGHT, WIDTH) and 2.3 < disparity.mean() < 2.8 and sure.min() == 1
    disparity, sure = maps(tmp_path / "depth", STANDS[0])
    assert disparity.shape == (HEIGHT, WIDTH) and sure.max() == 0
    assert disparity[2].mean() == pytest.approx(200 / 255, abs=0.02)
    assert disparity[30].mean() == pytest.approx(40 / 255, abs=0.02)
    assert not (tmp_path / "depth" / depth_sequence.SCRATCH).exists()


def test_a_shot_that_is_too_short_for_measuring_is_learned_and_alone_it_names_the_quantity(
    estimators, footage_of_two, tmp_path
):
    sequence = estimate(footage_of_two, tmp_path / "depth", first_frame=1, last_frame=1, cuts="none")
    assert (sequence.quantity, sequence.shots[0].quantity) == ("relative_disparity", None)
    assert sequence.shots[0].reason.startswith("The shot has 1 frame and Measuring needs at least 3.")


def test_without_a_network_it_measures_alone_and_names_the_networks_to_get(estimators, footage_of_two, tmp_path):
    estimators.missing = [MissingRequirement(what="Weights are missing.", hint="Get them.", kind="weights")]
    sequence = estimate(footage_of_two, tmp_path / "depth")
    measured, skipped = sequence.shots
    assert measured.estimators == ("measuring",) and "without a learned network" in measured.reason
    assert skipped.status == "refused"
    assert skipped.reason.startswith("The camera stands still. Get the weights of a learned network")
    assert "Network" in skipped.reason
    assert [note.what for note in automatic.notes(automatic.info("automatic"))] == ["Weights are missing."]


def test_the_parameter_completes_an_estimator_by_the_best_network(estimators, footage_of_two, tmp_path):
    wanted = {"estimator": "measuring", "parameters": {"complete": True}}
    sequence = estimate(footage_of_two, tmp_path / "depth", **wanted)
    assert sequence.estimator == "measuring" and sequence.parameters["complete"] is True
    assert [shot.estimators for shot in sequence.shots] == [("measuring", "network"), ("network",)]
    estimators.missing = [MissingRequirement(what="Weights are missing.", hint="Get them.", kind="weights")]
    with pytest.raises(Failure, match="Weights are missing") as caught:
        estimate(footage_of_two, tmp_path / "other", **wanted)
    assert caught.value.code == exit_codes.MISSING and not (tmp_path / "other").exists()


def test_another_depth_sequence_completes_it_as_well(estimators, footage_of_two, tmp_path):
    estimate(footage_of_two, tmp_path / "learned", estimator="network", size=WIDTH)
    wanted = {"estimator": "measuring", "parameters": {"complete_from": str(tmp_path / "learned")}}
    sequence = estimate(footage_of_two, tmp_path / "depth", **wanted)
    assert [shot.estimators for shot in sequence.shots] == [("measuring", "network"), ("network",)]
    assert [sequence.quantity_of(shot) for shot in sequence.shots] == ["inverse_depth", "relative_disparity"]
    np.testing.assert_array_equal(
        maps(tmp_path / "depth", STANDS[1])[0], read_map(tmp_path / "learned" / f"disparity.{STANDS[1]:04d}.exr")
    )
    with pytest.raises(Failure, match=r"both from .* and by a network") as caught:
        both = wanted["parameters"] | {"complete": True}
        estimate(footage_of_two, tmp_path / "both", estimator="measuring", parameters=both)
    assert caught.value.code == exit_codes.USAGE


def test_what_the_network_contradicts_is_not_believed(estimators, footage_of_two, tmp_path):
    def disagree(shot):
        return replace(measure(shot), completed=False)

    estimators.table["measuring"].estimate = disagree
    heard = []
    sequence = estimate(footage_of_two, tmp_path / "depth", heard=heard)
    assert [shot.estimators for shot in sequence.shots] == [("network",), ("network",)]
    (warned,) = (each.message for each in heard if isinstance(each, events.Warning) and "in common" in each.message)
    assert warned.endswith("Estimate the shot by Measuring alone as well, and compare.")
    assert sequence.shots[0].reason == (
        "What Measuring measured has hardly anything in common with what Network sees, as where a moving subject is "
        "taken for the scene. So the depth is Network's alone."
    )
    assert sequence.quantity == "relative_disparity" and maps(tmp_path / "depth", MOVES[0])[1].max() == 0
    estimate(footage_of_two, tmp_path / "learned", estimator="network", size=WIDTH)
    of_folder = {"complete_from": str(tmp_path / "learned")}  # it may be of another clip
    sequence = estimate(footage_of_two, tmp_path / "kept", estimator="measuring", parameters=of_folder)
    assert [shot.estimators for shot in sequence.shots] == [("measuring",), ("network",)]


def test_a_depth_sequence_of_other_frames_is_named(estimators, footage_of_two, tmp_path):
    estimate(footage_of_two, tmp_path / "learned", estimator="network", first_frame=2, last_frame=10)
    wanted = {"estimator": "measuring", "parameters": {"complete_from": str(tmp_path / "learned")}}
    sequence = estimate(footage_of_two, tmp_path / "depth", **wanted)
    assert [shot.status for shot in sequence.shots] == ["refused", "done"]
    assert "has depth of frames 2 to 10 only" in sequence.shots[0].reason


def test_a_cancelled_run_goes_on_with_what_the_network_has_seen(estimators, footage_of_two, tmp_path):
    whole = estimate(footage_of_two, tmp_path / "whole")

    def stopped(shot):
        shot.write(0, shot.frames[0].mean(axis=2).astype(np.float32) / 255)
        raise Cancelled

    estimators.table["network"].estimate = stopped
    with pytest.raises(Cancelled):
        estimate(footage_of_two, tmp_path / "depth")
    seen = []
    estimators.table["network"].estimate = lambda shot: seen.append(shot.finished) or see(shot)
    again = estimate(footage_of_two, tmp_path / "depth")
    assert seen == [frozenset({0}), frozenset()]
    assert again.shots == whole.shots
    for number in (*MOVES, *STANDS):
        np.testing.assert_array_equal(maps(tmp_path / "depth", number)[0], maps(tmp_path / "whole", number)[0])


def test_full_size_maps_are_of_the_plate(estimators, footage_of_two, tmp_path):
    sequence = estimate(footage_of_two, tmp_path / "depth", full_size=True)
    assert (sequence.width, sequence.height) == (2 * WIDTH, 2 * HEIGHT)
    assert [shot.estimators for shot in sequence.shots] == [("measuring", "network"), ("network",)]
    assert maps(tmp_path / "depth", STANDS[0])[0].shape == (2 * HEIGHT, 2 * WIDTH)


def test_the_networks_are_those_that_the_catalogue_names():
    """By the estimator's name, its weights' and their license's, which the download goes by."""
    assert QUICK in LEARNED
    for network in LEARNED:
        if network.estimator in registry.names():
            (model,) = registry.info(network.estimator).models
            assert (model.name, model.licence.name) == (network.weights, network.licence)
            assert registry.info(network.estimator).gpu != "needed" and not registry.info(network.estimator).has_camera


def test_it_leads_the_list_and_takes_no_parameters():
    assert automatic.in_order()[0] == "automatic" == Job.estimator
    facts = automatic.info("automatic")
    assert facts.parameters == () and facts.minimum_frames == 1
    with pytest.raises(Failure, match="has no parameter 'complete'"):
        automatic.choose("automatic", {"complete": True})
    names = [set(registry.info(name).scratch_files) for name in ("parallax", *(each.estimator for each in LEARNED))
             if name in registry.names()]  # fmt: skip
    assert sum(map(len, names)) == len(set().union(*names)), "both have their files in one folder"
