"""The figures of DepthCrafter's protocol, from made-up files of every set, beside a reckoning of their own.

The reckoning follows the description of the published benchmark with plain NumPy and knows nothing of the package: all
measured pixels of a clip in one list, `lstsq` of 1 / depth against them, errors of each frame, their mean.
"""

import struct

import cv2
import numpy as np
import pytest
from depth_writer import write_depth

from inference.evaluation.accuracy.comparison import compare
from inference.evaluation.datasets import open_clips, protocols

DRIVE = "2011_09_26_drive_0002_sync"


def reckoned(disparities, depths, cap):
    """AbsRel, RMSE, delta1, delta2, delta3 of whole maps, in float64."""
    depths, disparities = np.asarray(depths, np.float64), np.asarray(disparities, np.float64)
    valid = (depths > 1e-3) & (depths < cap)
    x, y = disparities[valid], 1 / depths[valid]
    (scale, shift), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)
    figures = []
    for disparity, depth, mask in zip(disparities, depths, valid, strict=True):
        if mask.any():
            z, true = np.clip(1 / np.clip(scale * disparity + shift, 1e-3, None), 1e-3, cap)[mask], depth[mask]
            ratio = np.maximum(z / true, true / z)
            steps = [(ratio < 1.25**power).mean() for power in (1, 2, 3)]
            figures.append([(np.abs(z - true) / true).mean(), np.sqrt(((z - true) ** 2).mean()), *steps])
    return np.mean(figures, axis=0)


def some_depths(count, height, width, far):
    """Depth to far beyond the cap, with holes, and one frame that has none."""
    random = np.random.default_rng(count)
    depths = np.exp(random.uniform(np.log(0.5), np.log(far), (count, height, width)))
    depths[random.random(depths.shape) < 0.1] = 0
    if count > 40:
        depths[35] = 0
    return depths


def a_guess(depths):
    """Disparity with a scale, a shift and much noise, some of it aligned to below 0."""
    random = np.random.default_rng(1)
    inverse = 1 / np.where(depths > 0, depths, 3)
    return (7 * inverse * random.uniform(0.6, 1.5, depths.shape) + random.normal(0, 0.3, depths.shape) - 2).astype("f4")


def write_png(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


def sintel(root, depths):
    folder = root / "training" / "depth" / "alley_1"
    folder.mkdir(parents=True)
    for index, depth in enumerate(depths.astype("<f4")):
        head = struct.pack("<fii", 202021.25, depth.shape[1], depth.shape[0])
        (folder / f"frame_{index + 1:04d}.dpt").write_bytes(head + depth.tobytes())
    return depths.astype("f4")


def kitti(root, depths):
    stored = np.round(depths * 256).clip(0, 65535).astype(np.uint16)
    for index, values in enumerate(stored):
        write_png(root / "val" / DRIVE / "proj_depth" / "groundtruth" / "image_02" / f"{index + 5:010d}.png", values)
    return stored / 256


def bonn(root, depths):
    stored = np.round(depths * 5000).clip(0, 65535).astype(np.uint16)
    folder = root / "rgbd_bonn_crowd2"
    lines = {"rgb": [], "depth": []}
    for index, values in enumerate(stored):
        for part, late in (("rgb", 0.0), ("depth", 0.004)):
            time = 1548266469 + index / 30 + late
            lines[part].append(f"{time:.5f} {part}/{time:.5f}.png")
        write_png(folder / lines["depth"][-1].split()[1], values)
    for part, own in lines.items():
        (folder / f"{part}.txt").write_text("# timestamp filename\n" + "\n".join(own) + "\n")
    return stored / 5000


def scannet(root, depths):
    stored = np.round(depths * 1000).clip(0, 65535).astype(np.uint16)
    for index, values in enumerate(stored):
        write_png(root / "scene0707_00" / "depth" / f"{index}.png", values)
    return stored / 1000


def nyu(root, depths):
    stored = np.round(depths * 1000).clip(0, 65535).astype(np.uint16)
    write_png(root / "kitchen" / "sync_depth_00045.png", stored[0])
    return stored / 1000


SETS = {  # writer, frames, size, farthest made up, cap, frames that count, rows, columns
    "sintel": (sintel, 55, (9, 14), 200, 70, slice(0, 50), slice(None), slice(None)),
    "kitti": (kitti, 115, (9, 15), 150, 80, slice(0, 110), slice(0, 8), slice(0, 14)),
    "bonn": (bonn, 145, (7, 8), 12, 10, slice(30, 140), slice(0, 6), slice(None)),
    "scannet": (scannet, 275, (21, 29), 20, 10, slice(0, 270, 3), slice(8, -8), slice(11, -11)),
    "nyu": (nyu, 1, (480, 640), 15, 10, slice(None), slice(45, 471), slice(41, 601)),
}


@pytest.mark.parametrize("layout", SETS)
@pytest.mark.parametrize("prepared", [False, True])
def test_figures_are_those_of_a_reckoning_from_the_files(tmp_path, layout, prepared):
    write, count, size, far, cap, frames, rows, columns = SETS[layout]
    depths = write(tmp_path / "set", some_depths(count, *size, far))
    guess = a_guess(depths)
    (ground_truth,) = open_clips(tmp_path / "set", layout)
    part = guess[frames, rows, columns] if prepared else guess
    first = 5 if layout == "kitti" and not prepared else 0  # a drive's first images have no depth
    maps = {first + index: values for index, values in enumerate(part)}
    write_depth(tmp_path / "depth", maps, files=[f"{n:05d}.png" for n in range(first + len(part))])
    found = compare(tmp_path / "depth", ground_truth, protocols.of("depthcrafter", layout), prepared=prepared)
    own = reckoned(guess[frames, rows, columns], depths[frames, rows, columns], cap)
    np.testing.assert_allclose(list(found.values()["all"].values()), own, rtol=1e-4)  # a ratio can be just 1.25 ** 2
    assert 0.05 < own[0] < 3 and own[2] < own[3] < own[4] < 1, "a case that tells right from wrong"


def test_maps_of_another_size_are_brought_to_the_truths_before_anything_else(tmp_path):
    depths = sintel(tmp_path / "set", some_depths(6, 12, 20, 60))
    small = a_guess(np.ones((6, 6, 10)) * 4)
    write_depth(tmp_path / "depth", dict(enumerate(small)), files=[f"{n}.png" for n in range(6)])
    (ground_truth,) = open_clips(tmp_path / "set", "sintel")
    for name, how in (("depthcrafter", cv2.INTER_LINEAR), ("stereodiff", cv2.INTER_NEAREST)):
        brought = [cv2.resize(values.astype(np.float64), (20, 12), interpolation=how) for values in small]
        found = compare(tmp_path / "depth", ground_truth, protocols.of(name, "sintel"))
        np.testing.assert_allclose(list(found.values()["all"].values()), reckoned(brought, depths, 70), rtol=1e-6)
