"""Video Depth Anything with a tiny network: its weights in the released layout, and the worker's facts of them.

`write` makes the folder that the stand-in for the hub serves (``hub.py``) and that serves as a studio's folder as well
(FATHOM_WEIGHTS). `installed` makes a process take its weights, tiny or random ones of the released size, for the
released ones, whose size and sha256 Fathom fixes. By hand: ``python …/tiny_video_depth.py FOLDER``.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from unittest import mock

if str(Path(__file__).resolve().parents[3]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from inference.estimators import video_depth_anything
from inference.estimators.video_depth_anything import weights

SEED, GAIN = 2, 1.0
INSTALLED = "FATHOM_TEST_VIDEO_DEPTH"
"""Environment variable: the folder from `write`, whose weights the tests' worker takes for the released ones."""


def tiny_variant():
    """The sizes of the tiny network; the released ones' smallest parts have the groups that norms need."""
    from inference.estimators.video_depth_anything.network import Variant

    return Variant(24, 2, (0, 1, 2, 3), 32, (8, 16, 32, 32))


def tiny_network(*, metric=False):
    """The tiny network, float32, whose maps differ from place to place and from frame to frame."""
    from inference.estimators.video_depth_anything import network as module
    from tests.inference.golden.fill import fill

    with mock.patch.dict(module.VARIANTS, vits=tiny_variant()):
        return fill(module.VideoDepthAnything(metric=metric).eval(), SEED, gain=GAIN)


def write(folder, *, released_size=False):
    """Write the repositories and the note of their revisions; returns the folder."""
    import torch

    from inference.estimators.video_depth_anything.network import VideoDepthAnything
    from tests.inference.golden.fill import fill

    folder = Path(folder)
    for model in (weights.SMALL, weights.METRIC):
        network = fill(VideoDepthAnything(), 40) if released_size else tiny_network()
        path = folder / model.repository / model.files[0].path
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
    revisions = {model.repository: model.revision for model in (weights.SMALL, weights.METRIC)}
    (folder / "revisions.json").write_text(json.dumps(revisions))
    (folder / "tiny.json").write_text(json.dumps(not released_size))
    return folder


def installed(folder):
    """Patches by which the estimator expects the weights in this folder instead of the released ones."""
    found = {name: _facts(getattr(weights, name), Path(folder)) for name in ("SMALL", "METRIC")}
    info = video_depth_anything.INFO
    variants = (dataclasses.replace(info.variants[0], models=(found["METRIC"],)),)
    info = dataclasses.replace(info, models=(found["SMALL"],), variants=variants)
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(video_depth_anything, "INFO", info))
    stack.enter_context(mock.patch.multiple(weights, **found))
    is_tiny = json.loads((Path(folder) / "tiny.json").read_text())
    # a process that has not loaded the network yet finds the facts when it does, and one that never does has no torch
    if is_tiny or f"{video_depth_anything.__name__}.streaming" in sys.modules:
        with contextlib.suppress(ImportError):  # only where the networks' packages are
            from inference.estimators.video_depth_anything import network, streaming

            stack.enter_context(mock.patch.multiple(streaming, **found))
            if is_tiny:
                stack.enter_context(mock.patch.dict(network.VARIANTS, vits=tiny_variant()))
    return stack


def _facts(model, folder):
    data = (folder / model.repository / model.files[0].path).read_bytes()
    file = dataclasses.replace(model.files[0], size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return dataclasses.replace(model, files=(file,))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write weights of Video Depth Anything in the released layout.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--released-size", action="store_true", help="random weights of the released size, not tiny")
    options = parser.parse_args()
    print(write(options.folder, released_size=options.released_size))
