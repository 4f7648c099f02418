"""Dynamic Replica, in the form that its own script extracts, made up."""

import cv2
import numpy as np
import pytest

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError


@pytest.fixture
def replica(tmp_path):
    for side in ("left", "right"):
        view = tmp_path / "train" / f"009850-3_obj_source_{side}"
        (view / "images").mkdir(parents=True)
        (view / "depths").mkdir()
        for frame in range(11):
            depth = np.full((6, 8), 1.5 + frame, np.float16)
            depth[0, 0], depth[0, 1], depth[0, 2] = 0, np.inf, np.nan
            bits = depth.view(np.uint16)
            cv2.imwrite(str(view / "depths" / f"{view.name}_{frame:04d}.geometric.png"), bits)
            cv2.imwrite(str(view / "images" / f"{view.name}-{frame:04d}.png"), np.full((6, 8, 3), frame, np.uint8))
    return tmp_path


def test_views_are_clips(replica):
    for root in (replica, replica / "train"):
        clips = open_clips(root, "dynamic-replica")
        assert [clip.name for clip in clips] == ["009850-3_obj_source_left", "009850-3_obj_source_right"]
    clip = open_clips(replica / "train" / "009850-3_obj_source_right", "dynamic-replica")[0]
    assert len(clip) == 11 and clip.image(10)[0, 0, 0] == 10
    depth = clip.depth(10)
    assert depth.dtype == np.float32 and depth[3, 3] == 11.5 and not depth[0, :3].any()


def test_what_is_broken_is_named(replica):
    view = replica / "train" / "009850-3_obj_source_left"
    clip = open_clips(view, "dynamic-replica")[0]
    cv2.imwrite(str(view / "depths" / f"{view.name}_0002.geometric.png"), np.zeros((6, 8), np.uint8))
    with pytest.raises(GroundTruthError, match="is not a 16-bit grayscale image"):
        clip.depth(2)
    (view / "images" / f"{view.name}-0007.png").unlink()
    with pytest.raises(GroundTruthError, match="11 depth images and 10 images"):
        open_clips(view, "dynamic-replica")
    with pytest.raises(GroundTruthError, match=r"has no <sequence>/depths"):
        open_clips(replica / "valid", "dynamic-replica")
