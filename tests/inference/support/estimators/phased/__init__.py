"""An estimator for tests whose work splits into phases: brightness of each frame, its mean over the shot, maps."""

import os
import signal
import time

import numpy as np

from inference.common.failures import UnsupportedShot
from inference.common.files import save_array
from inference.contract.catalogue import Parameter
from inference.estimators.base import EstimatorInfo, Phase, ShotResult

INFO = EstimatorInfo(
    name="phased",
    label="Phased",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="relative_disparity",
    default_size=64,
    minimum_frames=4,
    scratch_files=("bright/######.npy", "mean.npy"),
    parameters=(
        Parameter(name="pause", default=0.0, minimum=0.0, maximum=60.0, description="Seconds for a frame."),
        Parameter(name="refused", default=0, description="The shot that starts at this frame is refused."),
        Parameter(name="killed", default=-1, description="The index of a frame that kills its process, once."),
        Parameter(name="broken", default=-1, description="The index of a frame with which something goes wrong."),
    ),
)


def estimate(shot):
    for phase in phases(shot):
        phase.run(range(phase.units))
    return ShotResult(warnings=("It is only a test.",))


def phases(shot):
    frames = len(shot.frames)
    bright = [shot.scratch / "bright" / f"{index:06d}.npy" for index in range(frames)]

    def look(units):
        (shot.scratch / "bright").mkdir(exist_ok=True)
        for done, index in enumerate(units):
            shot.check()
            _misbehave(shot, index)
            if not bright[index].exists():
                time.sleep(shot.parameters["pause"])
                save_array(bright[index], (shot.frames[index].astype(np.float32) / 255).mean(axis=2))
            shot.progress("look", "Looking", 0.5 * (done + 1), len(units))
        return [bright[index] for index in units]

    def mean(units):
        if shot.parameters["refused"] == shot.frames.numbers[0]:
            raise UnsupportedShot("It shows nothing of use.", "Use another estimator.")
        if not (shot.scratch / "mean.npy").exists():
            save_array(shot.scratch / "mean.npy", np.mean([np.load(path) for path in bright], axis=0))
        return [shot.scratch / "mean.npy"]

    def write(units):
        level = np.load(shot.scratch / "mean.npy")
        for done, index in enumerate(units):
            shot.check()
            if index not in shot.finished:
                time.sleep(shot.parameters["pause"])
                shot.write(index, (np.load(bright[index]) + level).astype(np.float32))
            shot.progress("write", "Writing", 0.6 * len(units) + 0.4 * (done + 1), len(units))
        return []

    return (
        Phase(name="look", label="Looking", kind="frame", units=frames, work=0.5, run=look),
        Phase(name="mean", label="Averaging", kind="shot", units=1, work=0.1, run=mean),
        Phase(name="write", label="Writing", kind="frame", units=frames, work=0.4, run=write),
    )


def _misbehave(shot, index):
    if index == shot.parameters["broken"]:
        raise ZeroDivisionError("something went wrong inside")
    mark = shot.scratch / "bright" / "killed"
    if index == shot.parameters["killed"] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
