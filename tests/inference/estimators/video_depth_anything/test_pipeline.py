"""The published pipeline against the reference's outputs: frames, windows and the chain of fits."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the packages of the network estimators are not installed")

from inference.estimators.video_depth_anything import windows
from inference.estimators.video_depth_anything.pipeline import estimate_clip

FRAMES = ["small", "round_up", "wide", "tall", "hd", "portrait_hd", "full_hd", "cinema", "square", "half"]
CLIPS = ["one", "twenty", "wide", "portrait", "shrunk"]
LONG = ["exact", "over", "metric_over", "three_windows", "metric_three_windows", "four_windows"]


@pytest.mark.parametrize("case", FRAMES)
def test_frames_are_brought_to_the_network_as_the_reference_does(golden, frames_of, case):
    facts, arrays = golden["preprocess"][case], golden["arrays"]
    size = windows.network_size(facts["width"], facts["height"], facts["input_size"])
    assert size == (facts["to_width"], facts["to_height"])
    found = windows.normalized(frames_of(facts)[0].astype(np.float32) / 255, size)
    if f"preprocess_{case}" in arrays:
        wanted = arrays[f"preprocess_{case}"]
    else:
        rows, columns = arrays[f"preprocess_{case}_at"]
        found, wanted = found[:, rows, columns], arrays[f"preprocess_{case}_values"]
    assert np.abs(found - wanted).max() <= 1e-4


@pytest.mark.parametrize("case", [*CLIPS, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)])
def test_a_clip_has_the_references_depth(golden, network, frames_of, case):
    facts, wanted = golden["clips"][case], golden["arrays"][f"clip_{case}_depth"]
    network.metric = facts["metric"]
    found = estimate_clip(network, frames_of(facts).astype(np.float32) / 255, input_size=facts["input_size"])
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= 1e-4 * wanted.max()


def test_every_case_of_the_reference_is_tested(golden):
    assert set(golden["clips"]) == {*CLIPS, *LONG}
    assert set(golden["preprocess"]) == set(FRAMES)
