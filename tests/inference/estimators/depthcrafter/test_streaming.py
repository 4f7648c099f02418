"""Clips of any length as a stream of segments: the same bits as all at once, also after being killed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from inference.common.failures import Cancelled, Failure
from inference.estimators.depthcrafter import INFO
from inference.estimators.depthcrafter.pipeline import DepthCrafterPipeline
from inference.estimators.depthcrafter.streaming import Settings, Stream
from inference.video_diffusion.execution.forward import OWN
from inference.video_diffusion.execution.plan import Plan
from inference.video_diffusion.placement import Placement
from inference.video_diffusion.stream import CHECKPOINT
from tests.inference.support import stoppable
from tests.inference.support.stoppable import Frames, moving_images
from tests.marks import rest_slow

DEFAULTS = {parameter.name: parameter.default for parameter in INFO.parameters}


class Run(stoppable.Run):
    """One run of a stream over `frames`, in `folder`; `stop_after` maps it is cancelled."""

    def __init__(self, networks, frames, folder, *, finished=(), stop_after=None, plan=Plan(), **changed):
        super().__init__(frames, folder, finished=finished, stop_after=stop_after)
        smaller, forward = changed.pop("smaller", lambda plan: None), changed.pop("forward", OWN)
        placement = Placement(networks, torch.device("cpu"), plan, smaller=smaller, warn=self.warnings.append)
        self.stream = Stream(self.shot, Settings(**DEFAULTS | changed), placement, forward)

    def __call__(self):
        self.stream.run()
        return self.clip


def whole(networks, frames, **arguments):
    pipeline = DepthCrafterPipeline(**dataclasses.asdict(networks))
    return pipeline(
        frames.images.astype(np.float32) / 255, generator=torch.Generator().manual_seed(7), **arguments
    ).disparity


CASES = {
    "one frame": (1, {}),
    "one window": (5, {"steps": 2}),
    "segments": (13, {"window": 6, "overlap": 2, "decode_chunk": 4, "steps": 2}),
    "barely longer than a window": (7, {"window": 6, "overlap": 2, "decode_chunk": 3, "steps": 2}),
    "no overlap": (11, {"window": 5, "overlap": 0, "decode_chunk": 4, "steps": 1}),
    "overlap above the stride": (9, {"window": 5, "overlap": 4, "decode_chunk": 2, "steps": 1}),
    "neither anchored nor stitched": (10, {"window": 6, "overlap": 2, "anchor": False, "stitch": False, "steps": 2}),
    "guided": (7, {"window": 5, "overlap": 2, "guidance": 1.5, "steps": 1}),
}
NAMES = {
    "steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "window": "window_size",
    "decode_chunk": "decode_chunk_size",
}


@pytest.mark.parametrize("name", rest_slow(CASES, 3, spread=True))
def test_a_stream_gives_the_bits_of_the_whole_clip(tiny_networks, tmp_path, name):
    count, changed = CASES[name]
    frames = Frames(moving_images(count))
    maps = Run(tiny_networks, frames, tmp_path, **changed)()
    expected = whole(tiny_networks, frames, **{NAMES.get(key, key): value for key, value in changed.items()})
    assert maps.shape == (count, 64, 64) and maps.dtype == np.float32
    np.testing.assert_array_equal(maps, expected)
    assert maps.std() > 0


def test_frames_are_read_once_and_in_time(tiny_networks, tmp_path):
    frames = Frames(moving_images(30))
    run = Run(tiny_networks, frames, tmp_path, window=10, overlap=2, decode_chunk=4, steps=1, stop_after=1)
    with pytest.raises(Cancelled):
        run()
    assert frames.asked == list(range(16))  # the first window's, to the end of a chunk of 8, before the first map


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [0, 3, 4, 9, 12])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tiny_networks, tmp_path, stop_after):
    frames = Frames(moving_images(13))
    settings = {"window": 6, "overlap": 2, "decode_chunk": 4, "steps": 2}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = Run(tiny_networks, frames, tmp_path / "a", **settings)()
    first = Run(tiny_networks, frames, tmp_path / "b", stop_after=stop_after, **settings)
    with pytest.raises(Cancelled):
        first()
    frames.asked.clear()
    second = Run(tiny_networks, frames, tmp_path / "b", finished=first.maps, **settings)
    second()
    assert set(first.maps) | set(second.maps) == set(range(13)) and not set(first.maps) & set(second.maps)
    together = first.maps | second.maps
    np.testing.assert_array_equal(np.stack([together[i] for i in range(13)]), expected)
    assert 0 not in frames.asked  # the first segment is not encoded again


@pytest.mark.slow
def test_a_run_that_resumes_under_another_plan_shows_no_seam(tiny_networks, tmp_path):
    frames, settings = Frames(moving_images(13)), {"window": 6, "overlap": 2, "decode_chunk": 4, "steps": 2}
    (tmp_path / "whole").mkdir()
    expected = Run(tiny_networks, frames, tmp_path / "whole", **settings)()
    first = Run(tiny_networks, frames, tmp_path, stop_after=4, **settings)
    with pytest.raises(Cancelled):
        first()
    small = Plan(frames=2, pixels=30, decoder_rows=16, encode_frames=2)
    second = Run(tiny_networks, frames, tmp_path, finished=first.maps, plan=small, **settings)
    together = np.concatenate([first.clip, second()])
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-4)  # a step of 8 bits is 4e-3


def test_a_torn_checkpoint_is_passed_over(tiny_networks, tmp_path):
    frames = Frames(moving_images(8))
    settings = {"window": 5, "overlap": 2, "steps": 1, "decode_chunk": 2}
    expected = Run(tiny_networks, frames, tmp_path, **settings)()
    (tmp_path / CHECKPOINT).write_bytes(b"torn")
    np.testing.assert_array_equal(Run(tiny_networks, frames, tmp_path, **settings)(), expected)


def test_a_map_that_was_lost_is_made_again(tiny_networks, tmp_path):
    frames = Frames(moving_images(13))
    settings = {"window": 6, "overlap": 2, "steps": 1, "decode_chunk": 2}
    expected = Run(tiny_networks, frames, tmp_path, **settings)()
    again = Run(tiny_networks, frames, tmp_path, finished=set(range(13)) - {1}, **settings)
    np.testing.assert_array_equal(again(), expected[[1]])


def test_maps_have_the_working_size(tiny_networks, tmp_path):
    frames = Frames(moving_images(2, width=70, height=52))
    assert Run(tiny_networks, frames, tmp_path, steps=1)().shape == (2, 52, 70)


def test_progress_reaches_its_end_and_never_runs_backwards(tiny_networks, tmp_path):
    run = Run(tiny_networks, Frames(moving_images(13)), tmp_path, window=6, overlap=2, steps=2, decode_chunk=4)
    run()
    done = [entry[2] for entry in run.told]
    assert done == sorted(done) and run.told[-1][2] == pytest.approx(run.told[-1][3], rel=0.2)
    labels = {entry[1] for entry in run.told}
    assert "Denoising window 2 of 3" in labels


def _failing(name, at, error):
    """A forward pass that raises at the calls counted in `at`, and the plans it is called with."""
    real, plans = getattr(OWN, name), []

    def failing(*arguments, **named):
        plans.append(named["plan"])
        if len(plans) in at:
            raise error
        return real(*arguments, **named)

    return dataclasses.replace(OWN, **{name: failing}), plans


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["predict", "decode", "encode"])
def test_lack_of_memory_steps_the_plan_down_once_and_changes_nothing(tiny_networks, tmp_path, stage):
    frames = Frames(moving_images(9))
    settings = {"window": 6, "overlap": 2, "steps": 2, "decode_chunk": 4}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = Run(tiny_networks, frames, tmp_path / "a", **settings)()
    forward, plans = _failing(stage, {2}, torch.OutOfMemoryError("CUDA out of memory"))
    small = Plan(frames=2, networks_on_host=True)
    run = Run(tiny_networks, frames, tmp_path / "b", forward=forward, smaller=lambda plan: small, **settings)
    np.testing.assert_allclose(run(), expected, rtol=0, atol=1e-4)  # other pieces round otherwise
    assert len(run.warnings) == 1 and "memory" in run.warnings[0]
    assert plans[:3] == [Plan(), Plan(), small] and set(plans[2:]) == {small}


def test_lack_of_memory_for_the_second_time_ends_in_a_sentence(tiny_networks, tmp_path):
    forward, _ = _failing("predict", {2, 4}, torch.OutOfMemoryError("CUDA out of memory"))
    frames, smaller = Frames(moving_images(5)), Plan(frames=1)
    run = Run(tiny_networks, frames, tmp_path, forward=forward, smaller=lambda plan: smaller, steps=4)
    with pytest.raises(Failure, match=r"memory ran out.*smaller \[\[size\]\]"):
        run()


def test_other_errors_are_not_taken_for_lack_of_memory(tiny_networks, tmp_path):
    forward, _ = _failing("predict", {1}, RuntimeError("a bug"))
    run = Run(tiny_networks, Frames(moving_images(2)), tmp_path, forward=forward, smaller=lambda plan: Plan(frames=1))
    with pytest.raises(RuntimeError, match="a bug"):
        run()
    assert not run.warnings


def test_values_that_are_no_numbers_are_never_written(tiny_networks, tmp_path):
    tiny_networks.unet.conv_out.bias.data[0] = float("nan")
    run = Run(tiny_networks, Frames(moving_images(3)), tmp_path, steps=1)
    with pytest.raises(Failure, match=r"not finite.*3 of the 3 frames"):
        run()
    assert not run.maps


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_decoder_that_overflows_is_told_by_the_frame(tiny_networks, tmp_path, value):
    """Infinity must not pass for the nearest or the farthest depth that there is."""
    tiny_networks.vae.decoder.time_conv_out.bias.data[0] = float(value)
    run = Run(tiny_networks, Frames(moving_images(3)), tmp_path, steps=1)
    with pytest.raises(Failure, match="frame 101"):
        run()
    assert not run.maps


def test_half_precision_names_the_remedy(tiny_networks, tmp_path):
    tiny_networks.unet.to(torch.bfloat16).conv_out.bias.data[0] = float("nan")
    run = Run(tiny_networks, Frames(moving_images(1)), tmp_path, steps=1)
    with pytest.raises(Failure, match=r"range of bfloat16.*\[\[precision=bf16\]\], or \[\[precision=fp32\]\]"):
        run()
