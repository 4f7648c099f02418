"""Ground truth made by hand, for every test of the evaluation."""

import json
from types import SimpleNamespace

import cv2
import numpy as np

from inference.evaluation.accuracy.comparison import Comparison, Part
from inference.evaluation.accuracy.metrics import frame_scores
from inference.evaluation.datasets.flow_file import write_flow
from inference.evaluation.datasets.folder import open_clip
from inference.evaluation.datasets.ground_truth import GroundTruth
from inference.evaluation.datasets.protocols import PLAIN

HEIGHT, WIDTH, FOCAL = 24, 32, 30.0


def write_truth(folder, depths, poses, *, moving=None, flows=None, rgb=False):
    """A folder in the layout `folder`, opened."""
    (folder / "depth").mkdir(parents=True)
    for index, depth in enumerate(depths):
        cv2.imwrite(str(folder / "depth" / f"{index:05d}.png"), np.round(depth * 1000).astype(np.uint16))
    if moving is not None:
        (folder / "dynamic").mkdir()
        for index, mask in enumerate(moving):
            cv2.imwrite(str(folder / "dynamic" / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    if flows is not None:
        (folder / "flow").mkdir()
        for index, flow in enumerate(flows):
            write_flow(folder / "flow" / f"{index:05d}.exr", flow)
    if rgb:
        (folder / "rgb").mkdir()
        for index, depth in enumerate(depths):
            image = np.random.default_rng(index).integers(0, 255, (*np.shape(depth), 3), np.uint8)
            cv2.imwrite(str(folder / "rgb" / f"{index:05d}.png"), image)
    height, width = np.shape(depths[0])
    camera = {"width": width, "height": height, "fx": FOCAL, "fy": FOCAL, "cx": 15.5, "cy": 11.5, "fps": 24}
    camera["frames"] = [{"c2w_opencv": None if pose is None else pose.tolist()} for pose in poses]
    (folder / "camera.json").write_text(json.dumps(camera))
    return open_clip(folder)


def truth_of(depths, *, moving=None, name="clip"):
    """Ground truth in memory."""
    depths = np.asarray(depths, np.float32)
    return GroundTruth(
        name=name,
        frame_numbers=tuple(range(len(depths))),
        read_depth=depths.__getitem__,
        read_moving=None if moving is None else np.asarray(moving, bool).__getitem__,
    )


def score(disparity, ground_truth, protocol=PLAIN):
    """The figures of an estimate in memory, all of it one shot."""
    scores = frame_scores(disparity, ground_truth, protocol)
    part = Part(first_frame=0, last_frame=len(ground_truth) - 1, scores=scores)
    comparison = Comparison(
        folder=None,
        sequence=None,
        ground_truth=ground_truth,
        protocol=protocol,
        origin=0,
        numbers=ground_truth.frame_numbers,
        disparity=disparity,
        parts=(part,),
        without_estimate=(),
        without_ground_truth=0,
    )
    return SimpleNamespace(**comparison.figures(part))
