"""Quick with its real weights on footage with ground truth, from the command line; skipped where these are absent."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.estimators.quick.network import Network, infer
from inference.estimators.quick.weights import FILE, MODEL

COUNT = 16


@pytest.fixture(scope="module")
def weights(footage):
    path = footage / "learned" / "tcmonodepth_small_192x320.onnx"
    if not path.is_file():
        pytest.skip("the weights of Quick are not among the test footage")
    return path


def worker(*arguments, home):
    root = Path(__file__).resolve().parents[4]
    return subprocess.run(
        [sys.executable, "-m", "inference", "--data-folder", str(home), *map(str, arguments)],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_from_a_folder_of_weights_to_steady_depth_that_is_right(weights, footage, tmp_path):
    studio = tmp_path / "studio" / MODEL.repository / FILE
    studio.parent.mkdir(parents=True)
    shutil.copy(weights, studio)
    got = worker(
        "models", "download", MODEL.name, "--from", tmp_path / "studio", "--accept-license", MODEL.licence.name,
        home=tmp_path / "home",
    )  # fmt: skip
    assert got.returncode == 0, got.stderr
    truth = footage / "gt" / "cg_street_dolly_40"
    done = worker(
        "estimate", truth / "rgb", "--frames", f"0-{COUNT - 1}", "--estimator", "quick", "--output", tmp_path / "depth",
        home=tmp_path / "home",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "depth" / "depth.json").read_text(encoding="utf-8"))
    assert told["quantity"] == "relative_disparity"
    assert told["weights"][0]["sha256"] == MODEL.files[0].sha256 and "MIT" in told["weights"][0]["licence"]
    measured = worker("evaluate", tmp_path / "depth", "--truth", truth, "--json", home=tmp_path / "home")
    assert measured.returncode == 0, measured.stderr
    (figures,) = json.loads(measured.stdout)
    assert figures["absolute_relative"] < 0.19 and figures["delta1"] > 0.72 and figures["flicker"] < 0.014


def test_the_network_sees_that_the_ground_comes_nearer(weights, footage):
    image = cv2.imread(str(footage / "gt" / "cg_street_dolly_40" / "rgb" / "00000.jpg"))[..., ::-1]
    found = infer(Network(weights), np.ascontiguousarray(image), check=lambda: None)
    assert found.shape == (180, 320)
    assert found[-20:].mean() > found[90:110].mean() + found.std()


def test_a_file_name_that_opencv_cannot_open_is_read(weights, tmp_path):
    path = tmp_path / "größe 深.onnx"
    shutil.copy(weights, path)
    black = np.zeros((192, 320, 3), np.uint8)
    np.testing.assert_array_equal(Network(path)(black), Network(weights)(black))
