"""Both stages of a shot in one process, with tiny weights: stopped anywhere, resumed, alone, or on given depth."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference.common.failures import Cancelled, UnsupportedShot
from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, Shot, disparity_name
from inference.contract.job import Source
from inference.estimators.stereodiff import INFO
from inference.estimators.stereodiff.estimating import estimate_shot, phases
from inference.estimators.stereodiff.stage1 import batches
from inference.estimators.stereodiff.stage1 import run as stage1
from inference.estimators.stereodiff.stage2 import stream as stage2
from inference.media.exr import write_map
from inference.models import store
from inference.video_diffusion import loading
from inference.video_diffusion.execution.plan import Plan
from tests.inference.support import tiny_models
from tests.inference.support.stoppable import Frames, Run, moving_images

DEFAULTS = {parameter.name: parameter.default for parameter in INFO.parameters}
SETTINGS = {"device": "cpu", "window": 4, "overlap": 1, "decode_chunk": 3, "noise_augmentation": 0.02}
COUNT, WIDTH, HEIGHT = 6, 64, 48


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """The tiny networks', in a studio's folder; the plan of their memory is not tried out again for every run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_fitting", lambda *arguments: Plan())
        patch.setattr(batches, "_planned", lambda *arguments: 4)
        patch.setenv(store.STUDIO, str(tiny_models.write(tmp_path_factory.mktemp("studio"))))
        yield
    batches.forget()
    loading.forget()


class Estimate(Run):
    """One run of the estimator."""

    def __init__(self, folder, *, frames=None, **changed):
        run = {name: changed.pop(name) for name in ("finished", "stop_at", "stop_after") if name in changed}
        frames = frames or Frames(moving_images(COUNT, WIDTH, HEIGHT))
        folder.mkdir(exist_ok=True)
        super().__init__(frames, folder, parameters=DEFAULTS | SETTINGS | changed, **run)

    def __call__(self):
        self.result = estimate_shot(self.shot)
        return self


@pytest.fixture(scope="module")
def whole(weights, tmp_path_factory):
    """An uninterrupted run."""
    torch.set_num_threads(1)  # as the tests; other shares of the work round otherwise
    return Estimate(tmp_path_factory.mktemp("whole"))()


def test_depth_confidence_and_camera_come_out(whole):
    assert whole.clip.shape == (COUNT, HEIGHT, WIDTH) and whole.clip.min() > 0 and whole.clip.std() > 0
    sure = np.stack([whole.confidences[index] for index in range(COUNT)])
    assert sure.shape == whole.clip.shape and sure.min() >= 0 and sure.max() <= 1 and sure.std() > 0
    camera = whole.result.camera
    assert (camera.width, camera.height) == (WIDTH, HEIGHT) and camera.focal_length > 0
    assert camera.principal_point == pytest.approx(((WIDTH - 1) / 2, (HEIGHT - 1) / 2))
    assert [pose.frame for pose in camera.poses] == list(whole.shot.frames.numbers)


def test_progress_goes_through_both_stages(whole):
    done = [entry[2] for entry in whole.told]
    assert done == sorted(done) and done[-1] == pytest.approx(whole.told[-1][3], rel=0.2)
    assert len({entry[3] for entry in whole.told}) == 1
    stages = list(dict.fromkeys(entry[0] for entry in whole.told))
    assert [stages.index(name) for name in ("match", "align", "encode", "refine", "decode")] == sorted(
        stages.index(name) for name in ("match", "align", "encode", "refine", "decode")
    )


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(whole, tmp_path_factory, one_thread, data):
    stops = data.draw(st.lists(st.integers(1, whole.calls), min_size=1, max_size=2))
    folder, maps, sure = tmp_path_factory.mktemp("cut"), {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "forget", lambda: None)  # to save the time of reading the networks again
        patch.setattr(loading, "forget", lambda: None)
        for stop_at in (*stops, None):
            run = Estimate(folder, finished=maps, stop_at=stop_at)
            with contextlib.suppress(Cancelled):
                run()
            maps, sure = maps | run.maps, sure | run.confidences
    for index in range(COUNT):
        np.testing.assert_array_equal(maps[index], whole.maps[index])
        np.testing.assert_array_equal(sure[index], whole.confidences[index])
    assert run.result.camera == whole.result.camera


@pytest.mark.slow
def test_where_all_frames_are_written_the_camera_still_comes_out(whole, tmp_path, monkeypatch):
    """A run may be killed when all is written and the pairs are cleared, but the shot is not noted yet."""
    run = Estimate(tmp_path)()
    assert not list((tmp_path / "stage1").glob("pairs/*.npy"))

    def load(*arguments):
        raise AssertionError("no network is needed")

    monkeypatch.setattr(batches, "load", load)
    monkeypatch.setattr(loading, "placement", load)
    again = Estimate(tmp_path, finished=run.maps)()
    assert again.result.camera == whole.result.camera and not again.maps


@pytest.mark.slow
def test_pairs_are_kept_until_all_maps_are_written(tmp_path):
    run = Estimate(tmp_path, stop_after=COUNT - 1)
    with pytest.raises(Cancelled):
        run()
    assert list((tmp_path / "stage1").glob("pairs/*.npy"))


def test_stage_1_alone_writes_its_own_maps(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "placement", None)
    run = Estimate(tmp_path, stage="1")()
    assert run.clip.shape == whole.clip.shape and run.clip.min() > 0
    assert run.result.camera == whole.result.camera
    np.testing.assert_array_equal(run.confidences[2], whole.confidences[2])
    assert run.told[-1][2:] == pytest.approx((run.told[-1][3], run.told[-1][3]))
    # refined maps keep what stage 1 says in the large, as far as a network of random weights can
    assert abs(np.log(np.median(run.clip) / np.median(whole.clip))) < 1


@pytest.mark.slow
def test_on_the_processor_only_one_stage_s_networks_are_in_memory(tmp_path, monkeypatch):
    held = []
    match, run = stage1.match_shot, stage2.Refinement.run

    def sizes():
        return batches._network.cache_info().currsize, loading._networks.cache_info().currsize

    def matching(*arguments, **named):
        held.append(sizes())
        return match(*arguments, **named)

    def refining(self):
        held.append(sizes())
        run(self)

    monkeypatch.setattr(stage1, "match_shot", matching)
    monkeypatch.setattr(stage2.Refinement, "run", refining)
    batches.forget()
    Estimate(tmp_path / "a")()
    Estimate(tmp_path / "b")()
    assert held == [(0, 0), (0, 1), (0, 0), (0, 1)]


@pytest.mark.slow
def test_the_second_stage_gets_the_networks_that_are_asked_for(tmp_path, monkeypatch):
    asked = []
    real = loading.placement

    def placement(shot, settings, **named):
        asked.append((settings, named))
        return real(shot, settings, **named)

    monkeypatch.setattr(loading, "placement", placement)
    Estimate(tmp_path, precision="fp32")()
    ((found, named),) = asked
    assert (found.window, found.decode_chunk, found.device, found.precision) == (4, 3, "cpu", "fp32")
    assert named == {"estimator": "stereodiff", "who": "StereoDiff's second stage"}


def in_pieces(folder, *, twice=False, **changed):
    """Run each phase in two pieces of new shots, the later first, as different processes do; the phases' names."""
    names = [phase.name for phase in phases(Estimate(folder, **changed).shot)]
    for name in names:
        middle = next(each.units for each in phases(Estimate(folder, **changed).shot) if each.name == name) // 2
        for _ in range(1 + twice):
            for part in (lambda units: range(middle, units), lambda units: range(middle)):
                phase = next(each for each in phases(Estimate(folder, **changed).shot) if each.name == name)
                if units := part(phase.units):
                    files = phase.run(units)
                    assert files and all(path.is_file() for path in files)
    return names


def test_phases_in_pieces_make_the_same_bits(whole, tmp_path, monkeypatch):
    assert in_pieces(tmp_path) == ["match", "align", "refine"]

    def load(*arguments, **named):
        raise AssertionError("what the phases have done is not done again")

    monkeypatch.setattr(batches, "load", load)
    monkeypatch.setattr(loading, "placement", load)
    run = Estimate(tmp_path)()
    np.testing.assert_array_equal(run.clip, whole.clip)
    for index in range(COUNT):
        np.testing.assert_array_equal(run.confidences[index], whole.confidences[index])
    assert run.result.camera == whole.result.camera and run.warnings == whole.warnings
    assert not list((tmp_path / "stage1").rglob("*.npy"))


@pytest.mark.slow
def test_what_is_lost_of_phases_is_made_again(whole, tmp_path):
    in_pieces(tmp_path, twice=True)
    (tmp_path / "stage1" / "frames.json").unlink()
    next((tmp_path / "stage1" / "pairs").glob("*.npy")).unlink()
    (tmp_path / "refined" / "000001.npy").unlink()
    run = Estimate(tmp_path)()
    np.testing.assert_array_equal(run.clip, whole.clip)
    assert run.result.camera == whole.result.camera


def test_phases_are_those_of_the_stages_that_run(tmp_path):
    def names(**changed):
        return [phase.name for phase in phases(Estimate(tmp_path, **changed).shot)]

    assert names(stage="1") == ["match", "align"]
    assert names(latent_sharing=True) == ["match", "align"], "each window needs the one before"
    assert names(stage1_from="depth") == ["refine"]
    shares = [phase.work for phase in phases(Estimate(tmp_path).shot)]
    assert all(share > 0 for share in shares) and sum(shares) == pytest.approx(0.98)


@pytest.mark.parametrize(("kind", "left"), [("meta", 1), ("cpu", 0)])
def test_a_card_is_free_again_for_the_next_shot_s_first_stage(tmp_path, monkeypatch, kind, left):
    leaving = []
    made = SimpleNamespace(device=torch.device(kind), leave=lambda: leaving.append(1))
    monkeypatch.setattr(loading, "placement", lambda *arguments, **named: made)
    monkeypatch.setattr(stage2.Refinement, "__init__", lambda self, *arguments: None)
    monkeypatch.setattr(stage2.Refinement, "run", lambda self: None)
    Estimate(tmp_path)()
    assert len(leaving) == left


def test_depth_of_another_aspect_is_not_refined(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    write_map(folder / disparity_name(101), np.ones((WIDTH, HEIGHT), np.float32))
    percentiles = Range(minimum=1.0, maximum=1.0, p1=1.0, p99=1.0)
    sequence = DepthSequence(
        source=Source(path="plate.mp4", kind="movie"),
        first_frame=101,
        last_frame=101,
        width=HEIGHT,
        height=WIDTH,
        quantity="inverse_depth",
        shots=(Shot(first_frame=101, last_frame=101, status="done", range=percentiles),),
        estimator="another",
        fingerprint="f",
    )
    depth_sequence.save(sequence, folder)
    run = Estimate(tmp_path / "run", frames=Frames(moving_images(1, WIDTH, HEIGHT)), stage1_from=str(folder))
    with pytest.raises(UnsupportedShot, match="48x64 and have another aspect"):
        run()


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_clips(tmp_path, count):
    run = Estimate(tmp_path, frames=Frames(moving_images(count, HEIGHT, WIDTH)))()
    assert run.clip.shape == (count, WIDTH, HEIGHT) and run.clip.min() > 0
    assert len(run.result.camera.poses) == count
