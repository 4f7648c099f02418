"""An estimator for tests of the runner: disparity is a running mean of the frames' brightness.

Every frame depends on all before it, so a run that goes on from half-way gives the same only if nothing was lost.
Its parameters make it misbehave in the ways that tests need.
"""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np

from inference.common.failures import UnsupportedShot
from inference.common.files import save_arrays
from inference.contract.camera import Camera, Pose
from inference.contract.catalogue import Parameter
from inference.estimators.base import EstimatorInfo, ShotResult

INFO = EstimatorInfo(
    name="running_mean",
    label="Running Mean",
    summary="For tests only.",
    licence="GPL-3.0-or-later",
    quantity="inverse_depth",
    default_size=64,
    size_multiple=4,
    minimum_frames=2,
    has_camera=True,
    uses_poses=True,
    scratch_files=("mean.npz",),
    has_confidence=True,
    confidence_meaning="the brightness itself",
    parameters=(
        Parameter(name="pause", default=0.0, minimum=0.0, maximum=60.0, description="Seconds between frames."),
        Parameter(name="trouble", default="none", description="What goes wrong at the third frame."),
        Parameter(name="refused", default=0, description="The shot that starts at this frame is refused; -1: all."),
        Parameter(name="fine", default=True, description="A switch."),
        Parameter(name="mode", default="a", choices=("a", "b"), description="A choice."),
    ),
)

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from inference.common.parent_watch import end_with_parent
end_with_parent(sys.stdin.buffer)
print("child ready", file=sys.stderr, flush=True)
time.sleep(600)
"""


def estimate(shot):
    numbers = shot.frames.numbers
    if shot.parameters["refused"] in (-1, numbers[0]):
        raise UnsupportedShot("It shows nothing of use.", "Use another estimator.")
    kept = shot.scratch / "mean.npz"
    mean, start = np.zeros((shot.frames.height, shot.frames.width), np.float64), 0
    if kept.exists():
        with np.load(kept) as file:
            mean, start = file["mean"], int(file["next"])
    for index in range(start, len(numbers)):
        shot.check()
        if index == 2:
            _misbehave(shot)
        bright = shot.frames[index].astype(np.float64).mean(axis=2) / 255
        mean = 0.7 * mean + 0.3 * bright
        values = (1 + mean + 0.01 * shot.seed).astype(np.float32)
        shot.write(index, values, bright.astype(np.float32))
        save_arrays(kept, mean=mean, next=np.array(index + 1))
        shot.progress("mean", "Averaging", index + 1, len(numbers))
        time.sleep(shot.parameters["pause"])
    w, h = shot.frames.width, shot.frames.height
    tagged = shot.lens_tag[0] if shot.lens_tag is not None else 1.0
    focal = shot.camera.focal_length if shot.camera else tagged * w
    pose = np.eye(4)
    poses = []
    for number in numbers:
        pose[0, 3] = number * 0.1
        poses.append(Pose(frame=number, camera_to_world=tuple(map(tuple, pose.tolist()))))
    middle = ((w - 1) / 2, (h - 1) / 2)
    camera = Camera(width=w, height=h, focal_length=focal, principal_point=middle, poses=tuple(poses))
    return ShotResult(camera=camera, warnings=("It is only a test.",))


def _misbehave(shot):
    trouble = shot.parameters["trouble"]
    if trouble == "noise":
        print("a library speaks in Python")
        os.write(1, b"a library speaks in C\n")
        ctypes.CDLL(None).puts(b"a library speaks through stdio")
        ctypes.CDLL(None).fflush(None)
    elif trouble == "partly" and len(shot.frames) == 12:
        part = shot.frames.numbers[4], shot.frames.numbers[-2]
        raise UnsupportedShot("A part of it shows nothing of use.", "Use another estimator.", supported=part)
    elif trouble == "crash":
        raise ZeroDivisionError("something went wrong inside")
    elif trouble == "driver" and os.environ.get("FATHOM_TEST_DRIVER") == "lost":
        raise RuntimeError("CUDA error: unspecified launch failure")
    elif trouble == "pipe":
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    elif trouble == "memory":
        np.empty((1 << 50,), np.uint8)
    elif trouble == "nan":
        shot.write(2, np.full((shot.frames.height, shot.frames.width), np.nan, np.float32), None)
    elif trouble == "oversure":
        shape = (shot.frames.height, shot.frames.width)
        shot.write(2, np.ones(shape, np.float32), np.full(shape, 1.01, np.float32))
    elif trouble == "native":  # a native call that lets other threads run and cannot be interrupted
        print("hanging", file=sys.stderr, flush=True)
        until = time.monotonic() + 600
        while time.monotonic() < until:
            ctypes.CDLL(None).sleep(600)
    elif trouble == "signals":  # as a library does whose loading puts its own handlers in place of Python's
        ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(None))
        print("taken", file=sys.stderr, flush=True)
        until = time.monotonic() + 600
        while time.monotonic() < until:
            shot.check()
            time.sleep(0.01)
    elif trouble == "child":
        root = next(path for path in sys.path if os.path.isdir(os.path.join(path, "inference")))
        command = [sys.executable, "-I", "-c", CHILD, root]
        child = subprocess.Popen(command, stdin=subprocess.PIPE)
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        while child.poll() is None:
            shot.check()
            time.sleep(0.1)
    elif trouble in ("refusing child", "failing child"):  # as for a child that the terminal's Ctrl-C reaches as well
        child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"])
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        child.wait()
        time.sleep(0.1)
        raise (
            UnsupportedShot("It went away.", "Try again.")
            if trouble == "refusing child"
            else RuntimeError("it went away")
        )
    elif trouble == "stubborn child":  # neither the estimator nor its child look after themselves
        child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"])
        print(f"child {child.pid}", file=sys.stderr, flush=True)
        child.wait()
