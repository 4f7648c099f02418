"""The project's own layout: rgb, depth, dynamic, flow and camera.json."""

import numpy as np
import pytest
from truth_maker import HEIGHT, WIDTH, write_truth

from inference.evaluation.layouts import folder as layout
from inference.evaluation.truth import TruthError, open_truth
from inference.media.errors import ClipError

WALLS = [np.full((HEIGHT, WIDTH), 2.0 + index) for index in range(3)]


def test_everything_of_a_clip_is_read_frame_by_frame(tmp_path):
    flows = [np.full((HEIGHT, WIDTH, 2), (1.25, -0.5 - index)) for index in range(2)]
    flows[0][0, 0] = np.nan
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3] = True
    truth = write_truth(
        tmp_path / "shot", WALLS, [np.eye(4), None, np.eye(4)], moving=[mask] * 3, flows=flows, rgb=True
    )
    assert (len(truth), truth.name, truth.frame_numbers) == (3, "shot", (0, 1, 2))
    assert truth.depth(1).dtype == np.float32 and truth.depth(1)[0, 0] == 3
    assert truth.moving(2)[3].all() and truth.moving(2).sum() == WIDTH
    assert truth.flow(0).dtype == np.float32 and np.isnan(truth.flow(0)[0, 0]).all()
    np.testing.assert_array_equal(truth.flow(1)[4, 5], np.float32([1.25, -1.5]))
    assert truth.flow(2) is None
    assert truth.poses[1] is None and (truth.poses[2] == np.eye(4)).all()
    assert truth.rgb(2).name == "00002.png"


def test_what_a_clip_lacks_is_none_and_nothing_moves_without_masks(tmp_path):
    truth = write_truth(tmp_path, WALLS, [None] * 3)
    assert truth.flow(0) is None and truth.rgb(0) is None
    assert not truth.moving(0).any()


def test_a_selection_keeps_what_belongs_together(tmp_path):
    flows = [np.full((HEIGHT, WIDTH, 2), index) for index in range(2)]
    poses = [np.eye(4) * (index + 1) for index in range(3)]
    whole = write_truth(tmp_path, WALLS, poses, flows=flows, rgb=True)
    tail = whole.selected([1, 2])
    assert tail.frame_numbers == (1, 2) and tail.depth(0)[0, 0] == 3 and tail.poses[1][0, 0] == 3
    assert tail.flow(0)[0, 0, 0] == 1 and tail.flow(1) is None
    assert tail.rgb(0).name == "00001.png" and not tail.moving(1).any()
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
    with pytest.raises(TruthError, match=r"no depth/\*\.png"):
        layout.open_clips(tmp_path / root)


def test_masks_or_pictures_for_some_frames_only_are_refused(tmp_path):
    write_truth(tmp_path, WALLS, [None] * 3, moving=[np.ones((HEIGHT, WIDTH), bool)] * 3, rgb=True)
    (tmp_path / "rgb" / "00002.png").unlink()
    with pytest.raises(TruthError, match="3 depth pictures and 2 pictures in rgb"):
        open_truth(tmp_path)
    (tmp_path / "dynamic" / "00000.png").unlink()
    with pytest.raises(TruthError, match="3 depth pictures and 2 dynamic masks"):
        open_truth(tmp_path)


def test_a_missing_flow_file_is_named(tmp_path):
    truth = write_truth(tmp_path, WALLS, [None] * 3, flows=[np.zeros((HEIGHT, WIDTH, 2))] * 2)
    (tmp_path / "flow" / "00001.exr").unlink()
    with pytest.raises(ClipError, match=r"00001\.exr"):
        truth.flow(1)
