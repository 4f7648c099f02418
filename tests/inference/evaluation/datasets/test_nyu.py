"""NYU Depth v2, as its labeled .mat and as exported images, made up."""

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from inference.evaluation.datasets import open_clips
from inference.evaluation.datasets.ground_truth import GroundTruthError

h5py = pytest.importorskip("h5py")

DEPTHS = np.random.default_rng(0).uniform(0.7, 10, (4, 6, 8)).astype(np.float32)  # [N, H, W]
IMAGES = np.random.default_rng(1).integers(0, 256, (4, 6, 8, 3), np.uint8)


@pytest.fixture
def labeled(tmp_path):
    """As MATLAB writes it: columns first, so that the axes come out reversed."""
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["depths"] = DEPTHS.transpose(0, 2, 1)
        file["images"] = IMAGES.transpose(0, 3, 2, 1)
    return tmp_path


def test_the_test_split_of_the_labeled_set_is_read(labeled):
    savemat(labeled / "splits.mat", {"testNdxs": np.array([[2], [4]]), "trainNdxs": np.array([[1], [3]])})
    clips = open_clips(labeled, "nyu")
    assert [clip.name for clip in clips] == ["0002", "0004"] and len(clips[1]) == 1
    np.testing.assert_array_equal(clips[1].depth(0), DEPTHS[3])
    np.testing.assert_array_equal(clips[1].image(0), IMAGES[3])
    assert clips[0].rgb_files == () and clips[0].moving(0) is None


def test_without_splits_all_images_are_taken(labeled):
    assert len(open_clips(labeled / "nyu_depth_v2_labeled.mat", "nyu")) == 4


def test_what_is_broken_is_named(labeled):
    savemat(labeled / "splits.mat", {"testNdxs": np.array([[5]])})
    with pytest.raises(GroundTruthError, match=r"splits\.mat names images that .* does not have \(4\)"):
        open_clips(labeled, "nyu")
    (labeled / "splits.mat").write_bytes(b"not MATLAB's")
    with pytest.raises(GroundTruthError, match=r"splits\.mat cannot be read"):
        open_clips(labeled, "nyu")
    (labeled / "nyu_depth_v2_labeled.mat").write_bytes(b"not HDF5")
    with pytest.raises(GroundTruthError, match=r"labeled\.mat cannot be read as NYUv2's labeled set"):
        open_clips(labeled, "nyu")


def test_exported_images_are_read(tmp_path):
    for scene, number in (("kitchen_0001", 45), ("bathroom", 1), ("kitchen_0001", 46)):
        (tmp_path / "test" / scene).mkdir(parents=True, exist_ok=True)
        base = tmp_path / "test" / scene
        cv2.imwrite(str(base / f"sync_depth_{number:05d}.png"), np.full((6, 8), number * 100, np.uint16))
        cv2.imwrite(str(base / f"rgb_{number:05d}.jpg"), np.full((6, 8, 3), number, np.uint8))
    clips = open_clips(tmp_path / "test", "nyu")
    assert [clip.name for clip in clips] == ["bathroom_00001", "kitchen_0001_00045", "kitchen_0001_00046"]
    assert clips[1].depth(0)[0, 0] == 4.5 and clips[1].rgb_files[0].name == "rgb_00045.jpg"


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(GroundTruthError, match=r"neither nyu_depth_v2_labeled\.mat nor"):
        open_clips(tmp_path, "nyu")
