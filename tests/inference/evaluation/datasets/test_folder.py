"""The project's own layout: rgb, depth, dynamic, flow and camera.json."""

import json

import cv2
import numpy as np
import pytest
from ground_truth_maker import HEIGHT, WIDTH, write_truth

from inference.common.failures import ClipError
from inference.evaluation.datasets import folder as layout
from inference.evaluation.datasets.folder import open_clip
from inference.evaluation.datasets.ground_truth import GroundTruthError

WALLS = [np.full((HEIGHT, WIDTH), 2.0 + index) for index in range(3)]


def test_everything_of_a_clip_is_read_frame_by_frame(tmp_path):
    flows = [np.full((HEIGHT, WIDTH, 2), (1.25, -0.5 - index)) for index in range(2)]
    flows[0][0, 0] = np.nan
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3] = True
    ground_truth = write_truth(
        tmp_path / "shot", WALLS, [np.eye(4), None, np.eye(4)], moving=[mask] * 3, flows=flows, rgb=True
    )
    assert (len(ground_truth), ground_truth.name, ground_truth.frame_numbers) == (3, "shot", (0, 1, 2))
    assert ground_truth.depth(1).dtype == np.float32 and ground_truth.depth(1)[0, 0] == 3
    assert ground_truth.moving(2)[3].all() and ground_truth.moving(2).sum() == WIDTH
    assert ground_truth.flow(0).dtype == np.float32 and np.isnan(ground_truth.flow(0)[0, 0]).all()
    np.testing.assert_array_equal(ground_truth.flow(1)[4, 5], np.float32([1.25, -1.5]))
    assert ground_truth.flow(2) is None
    assert ground_truth.poses[1] is None and (ground_truth.poses[2] == np.eye(4)).all()
    assert ground_truth.rgb_files[2].name == "00002.png"


def test_what_a_clip_lacks_is_none_and_nothing_moves_without_masks(tmp_path):
    ground_truth = write_truth(tmp_path, WALLS, [None] * 3)
    assert ground_truth.flow(0) is None and ground_truth.rgb_files == ()
    assert not ground_truth.moving(0).any()


def test_a_selection_keeps_what_belongs_together(tmp_path):
    flows = [np.full((HEIGHT, WIDTH, 2), index) for index in range(2)]
    poses = [np.eye(4) * (index + 1) for index in range(3)]
    whole = write_truth(tmp_path, WALLS, poses, flows=flows, rgb=True)
    tail = whole.selected([1, 2])
    assert tail.frame_numbers == (1, 2) and tail.depth(0)[0, 0] == 3 and tail.poses[1][0, 0] == 3
    assert tail.flow(0)[0, 0, 0] == 1 and tail.flow(1) is None
    assert tail.rgb_files[0].name == "00001.png" and not tail.moving(1).any()
    assert whole.selected([0, 2]).flow(0) is None  # the next frame kept is not the next


def test_a_folder_of_clips_opens_to_all_of_them_by_name(tmp_path):
    for name in ("b", "a"):
        write_truth(tmp_path / name, WALLS[:1], [None])
    (tmp_path / "notes").mkdir()
    (tmp_path / ".c.1.tmp" / "depth").mkdir(parents=True)  # a clip that is still being rendered
    assert [clip.name for clip in layout.open_clips(tmp_path)] == ["a", "b"]
    assert [clip.name for clip in layout.open_clips(tmp_path / "a")] == ["a"]


@pytest.mark.parametrize("root", ["", "missing"])
def test_a_folder_without_depth_is_refused(tmp_path, root):
    with pytest.raises(GroundTruthError, match=r"no depth/\*\.png"):
        layout.open_clips(tmp_path / root)


def test_masks_or_images_for_some_frames_only_are_refused(tmp_path):
    write_truth(tmp_path, WALLS, [None] * 3, moving=[np.ones((HEIGHT, WIDTH), bool)] * 3, rgb=True)
    (tmp_path / "rgb" / "00002.png").unlink()
    with pytest.raises(GroundTruthError, match="3 depth images and 2 images in rgb"):
        open_clip(tmp_path)
    (tmp_path / "dynamic" / "00000.png").unlink()
    with pytest.raises(GroundTruthError, match="3 depth images and 2 dynamic masks"):
        open_clip(tmp_path)


def test_a_missing_flow_file_is_named(tmp_path):
    ground_truth = write_truth(tmp_path, WALLS, [None] * 3, flows=[np.zeros((HEIGHT, WIDTH, 2))] * 2)
    (tmp_path / "flow" / "00001.exr").unlink()
    with pytest.raises(ClipError, match=r"00001\.exr"):
        ground_truth.flow(1)


def test_masks_of_another_size_are_brought_to_the_depths(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, :8] = True
    ground_truth = write_truth(tmp_path, WALLS, [None] * 3, moving=[np.kron(mask, np.ones((2, 2), bool))] * 3)
    np.testing.assert_array_equal(ground_truth.moving(1), mask)


def test_numbers_that_say_that_files_belong_to_other_frames_are_refused(tmp_path):
    write_truth(tmp_path, WALLS, [None] * 3, rgb=True)
    for index in (2, 1, 0):  # counted from 1: that is no mistake
        (tmp_path / "rgb" / f"{index:05d}.png").rename(tmp_path / "rgb" / f"{index + 1:05d}.png")
    assert open_clip(tmp_path).rgb_files[0].name == "00001.png"
    (tmp_path / "rgb" / "00003.png").rename(tmp_path / "rgb" / "00004.png")  # one lacks an image, another its depth
    with pytest.raises(GroundTruthError, match=r"rgb/00004\.png for depth/00002\.png"):
        open_clip(tmp_path)


def test_depth_and_flow_of_another_size_than_the_cameras_are_named(tmp_path):
    flows = [np.zeros((HEIGHT, WIDTH, 2)), np.zeros((HEIGHT // 2, WIDTH // 2, 2))]
    ground_truth = write_truth(tmp_path, WALLS, [None] * 3, flows=flows)
    assert ground_truth.flow(0).shape == (HEIGHT, WIDTH, 2)
    with pytest.raises(
        GroundTruthError, match=rf"00001\.exr is 16 x 12 pixels and the clip's depth {WIDTH} x {HEIGHT}"
    ):
        ground_truth.flow(1)
    cv2.imwrite(str(tmp_path / "depth" / "00001.png"), np.full((HEIGHT, 2 * WIDTH), 2000, np.uint16))
    with pytest.raises(GroundTruthError, match=r"00001\.png is 64 x 24 pixels"):
        ground_truth.depth(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda camera: camera.pop("fx"), "has no 'fx'"),
        (lambda camera: camera.update(fx=0), "calibration of 0 or of no finite number"),
        (lambda camera: camera.update(cy=float("nan")), "calibration of 0 or of no finite number"),
        (lambda camera: camera["frames"][1].update(c2w_opencv=[[0.0] * 4] * 4), "matrix for frame 1; write null"),
        (lambda camera: camera["frames"][1].update(c2w_opencv=[[float("inf")] * 4] * 4), "matrix for frame 1"),
        (lambda camera: camera["frames"][1].update(c2w_opencv=[[1, 2], [3, 4]]), "is not a camera file"),
        (lambda camera: camera.update(frames=3), "is not a camera file"),
    ],
)
def test_a_camera_that_cannot_be_one_is_a_sentence(tmp_path, change, words):
    write_truth(tmp_path, WALLS, [np.eye(4)] * 3)
    camera = json.loads((tmp_path / "camera.json").read_text())
    change(camera)
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    with pytest.raises(GroundTruthError, match=words):
        open_clip(tmp_path)


def test_a_image_that_is_cut_short_is_named_and_not_filled_in(tmp_path):
    ground_truth = write_truth(tmp_path, WALLS, [None] * 3, rgb=True)
    path = tmp_path / "rgb" / "00001.jpg"
    (tmp_path / "rgb" / "00001.png").unlink()
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    ground_truth = open_clip(tmp_path)
    with pytest.raises(GroundTruthError, match=r"00001\.jpg is truncated"):
        ground_truth.image(1)
    assert ground_truth.image(0).shape == (HEIGHT, WIDTH, 3)
