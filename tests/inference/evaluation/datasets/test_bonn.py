"""The Bonn RGB-D dataset, in TUM's format, made up."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.bonn import APART, pair
from inference.evaluation.datasets.ground_truth import GroundTruthError

START = 1548266469.93


def write_clip(folder, *, rgb, depth):
    """Images and depth at times in seconds after the start."""
    for part, times in (("rgb", rgb), ("depth", depth)):
        (folder / part).mkdir(parents=True)
        lines = [f"# {part} images", "# timestamp filename"]
        for index, time in enumerate(times):
            name = f"{part}/{START + time:.5f}.png"
            lines.append(f"{START + time:.5f} {name}")
            shape = (6, 8, 3) if part == "rgb" else (6, 8)
            kind = np.uint8 if part == "rgb" else np.uint16
            cv2.imwrite(
                str(folder / name), np.full(shape, 10 * (index + 1) if part == "rgb" else 5000 + 500 * index, kind)
            )
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_depth_belongs_to_the_image_next_in_time(tmp_path):
    write_clip(tmp_path / "rgbd_bonn_balloon", rgb=[0, 0.033, 0.066, 0.2, 0.233], depth=[0.01, 0.045, 0.0702, 0.228])
    (clip,) = open_clips(tmp_path, "bonn")
    assert clip.name == "rgbd_bonn_balloon"
    assert clip.frame_numbers == (0, 1, 2, 4), "the image at 0.2 s has no depth less than 20 ms away"
    assert [round(float(clip.depth(i)[0, 0]), 3) for i in range(4)] == [1.0, 1.1, 1.2, 1.3]
    assert clip.image(3)[0, 0, 0] == 50
    assert clip.matrix[0, 0] == pytest.approx(542.82, abs=0.01) and clip.poses == (None,) * 4


def test_clips_are_found_by_name(tmp_path):
    for name in ("b", "a"):
        write_clip(tmp_path / name, rgb=[0], depth=[0])
    assert [clip.name for clip in open_clips(tmp_path, "bonn")] == ["a", "b"]
    assert [clip.name for clip in open_clips(tmp_path / "b", "bonn")] == ["b"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.3), max_size=12), st.lists(st.floats(0, 0.3), max_size=12))
def test_each_depth_serves_one_image_and_none_is_far(first, second):
    pairs = pair(sorted(first), sorted(second))
    for side in (0, 1):
        taken = [each[side] for each in pairs]
        assert len(set(taken)) == len(taken)
    assert all(abs(sorted(first)[a] - sorted(second)[b]) < APART for a, b in pairs)
    left_here = set(range(len(first))) - {a for a, _ in pairs}
    left_there = set(range(len(second))) - {b for _, b in pairs}
    assert not any(abs(sorted(first)[a] - sorted(second)[b]) < APART for a in left_here for b in left_there)


def test_what_is_broken_is_named(tmp_path):
    folder = write_clip(tmp_path / "clip", rgb=[0], depth=[5])
    with pytest.raises(GroundTruthError, match=r"No image of .*clip has depth less than 20 ms"):
        open_clips(folder, "bonn")
    (folder / "rgb.txt").write_text("1.0 rgb/1.png\nnonsense\n")
    with pytest.raises(GroundTruthError, match=r"Line 2 of .*rgb\.txt is not a time and a file \(nonsense\)"):
        open_clips(folder, "bonn")
    (folder / "rgb.txt").unlink()
    with pytest.raises(GroundTruthError, match=r"rgb\.txt cannot be read"):
        open_clips(folder, "bonn")
    with pytest.raises(GroundTruthError, match=r"no <clip>/depth\.txt"):
        open_clips(folder / "rgb", "bonn")
