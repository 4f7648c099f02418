"""The benchmark of completed depth: its stand-in for a network, and its table."""

import json
import re

import cv2
import numpy as np
import pytest

from development.benchmarks import completion
from tests.inference.estimators.parallax.conftest import scene, with_subject  # noqa: F401 - fixture


def test_the_stand_in_drifts_over_the_image_and_over_time_as_far_as_it_says():
    true = np.full((97, 45, 80), 0.5, np.float32)
    made = completion.stand_in(true, 0)
    assert made.shape == true.shape and made.dtype == np.float32
    assert np.abs(made - 0.5).max() < 0.5 * (0.3 + 0.15) + 4 * 0.02 * 0.5
    for step in (np.ptp(made[0]), np.ptp(made[:, 20, 40])):
        assert step > 0.05
    assert np.abs(np.diff(made, axis=0)).mean() < 0.02 * 0.5, "it drifts slowly"
    np.testing.assert_array_equal(made, completion.stand_in(true, 0))
    assert np.abs(made - completion.stand_in(true, 1)).mean() > 0.02


def test_a_sky_does_not_count_in_the_stand_in_s_median():
    true = np.full((1, 45, 80), 0.5, np.float32)
    true[:, :30] = 0
    shift = completion.stand_in(true, 0)[0, 2:28]
    assert np.abs(shift).mean() > 0.01


@pytest.fixture
def clip(scene, tmp_path):  # noqa: F811
    """A clip with ground truth: boxes from a moving camera, and a disc that moves before them."""
    folder, parts = tmp_path / "boxes", ("rgb", "depth", "dynamic")
    for index, (image, z, disc) in enumerate(zip(*with_subject(scene), strict=True)):
        millimeters = np.where(np.isfinite(z), np.round(1000 * z), 0).astype(np.uint16)
        for name, values in zip(parts, (image[..., ::-1], millimeters, disc.astype(np.uint8) * 255), strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{index:05d}.png"), values)
    height, width = z.shape
    camera = {"width": width, "height": height, "fx": 170.0, "fy": 170.0, "cx": (width - 1) / 2, "cy": (height - 1) / 2}
    camera["frames"] = [{"c2w_opencv": pose.tolist()} for pose in scene.poses]
    (folder / "camera.json").write_text(json.dumps(camera))
    return folder


@pytest.mark.slow
def test_a_table_shows_what_learned_depth_adds_and_a_folder_spares_the_measuring(clip, tmp_path, capsys):
    work = tmp_path / "work"
    assert completion.main([str(clip), "--seeds", "0", "1", "--work", str(work)]) == 0
    shown = capsys.readouterr()
    rows = {re.split(r"\s{2,}", line)[1]: line.split()[-6:] for line in shown.out.splitlines()[1:]}
    assert list(rows) == [
        "alone",
        "stand-in 0 alone",
        "completed by stand-in 0",
        "stand-in 1 alone",
        "completed by stand-in 1",
        "mean of 2 stand-ins alone",
        "completed by mean of 2 stand-ins",
    ]
    moving = {name: float(row[2]) for name, row in rows.items()}
    assert moving["completed by stand-in 0"] < 0.3 * moving["alone"]
    assert completion.main([str(clip), "--seeds", "1", "--work", str(work)]) == 0
    again = capsys.readouterr()
    assert "boxes: parallax\n" not in again.err
    assert again.out.splitlines()[3].split()[-6:] == rows["completed by stand-in 1"]


def test_what_cannot_be_measured_is_said(tmp_path, capsys):
    assert completion.main([str(tmp_path), "--work", str(tmp_path / "work")]) == 1
    assert "depth/*.png" in capsys.readouterr().err
