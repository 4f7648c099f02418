"""Robust Video Matting on ONNX Runtime: the opacity of people in every frame of a shot.

The network (Lin et al., "Robust High-Resolution Video Matting with Temporal Guidance", WACV 2022) is recurrent: it
passes four feature maps from frame to frame, which keeps the matte from flickering and lets it take some frames to find
a person. So a shot is read twice, forwards and backwards, and the mean of both is the matte, or the larger one where
one way has not found who is there: what the first frames do not know yet, the way back does.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..common.failures import Failure, first_line
from ..common.files import load_array, load_arrays, save_array, save_arrays
from ..contract import environment, exit_codes, own_files, packages
from ..models import store
from ..models.verification import fixed_content
from . import MODEL, PACKAGE

SCRATCH_FILES = ("matte/######.npy", "matte-forwards/######.npy", "matte-state.npz")
"""The files that `mattes_of` makes in its folder."""
_INSIDE = 512
"""Long side of the image inside the network, which then refines the matte at full size (the authors' rule)."""
_APART = 0.5
"""Difference of opacity from which on one pass has not found what the other has."""
_STATES = 4
_THREADS = 8
_SAVED_EVERY = 16
"""Frames between two saves of what the network remembers, by which an interrupted pass goes on."""


State = Sequence[NDArray[Any]]
"""What a recurrent network remembers of the frames before."""


class Network(Protocol):
    """A recurrent matte network."""

    def __call__(self, image: NDArray[np.uint8], state: State | None) -> tuple[NDArray[np.float32], State]:
        """The opacity [H, W], 0 to 1, of an RGB image [H, W, 3], and the state for the next; None: of the first."""


class RobustVideoMatting:
    """The network in memory.

    Raises
    ------
    Failure
        MISSING: the file does not match the checksum that Fathom fixes.
    """

    def __init__(self) -> None:
        onnxruntime = _imported()
        content = fixed_content(store.folder(MODEL) / MODEL.files[0].path, MODEL.files[0])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(os.cpu_count() or 1, _THREADS)
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: NDArray[np.uint8], state: State | None) -> tuple[NDArray[np.float32], State]:
        """See `Network`."""
        if not state:
            state = [np.zeros((1, 1, 1, 1), np.float32)] * _STATES
        values = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        ratio = np.array([inside(*image.shape[:2])], np.float32)
        states = {f"r{index + 1}i": each for index, each in enumerate(state)}
        names = ["pha", *(f"r{index + 1}o" for index in range(_STATES))]
        opacity, *state = self._session.run(names, {"src": values, "downsample_ratio": ratio, **states})
        return opacity[0, 0], state


def inside(height: int, width: int) -> float:
    """The scale of images inside the network: 512 pixels on the long side, and some on the short one of any strip."""
    return min(1.0, max(_INSIDE / max(height, width), 2 / min(height, width)))


def _imported() -> Any:
    """ONNX Runtime, which otherwise reports to its makers from a thread of its own, with an id that it stores."""
    os.environ.update(environment.NO_TELEMETRY)
    try:
        import onnxruntime
    except ImportError as error:
        raise Failure(
            exit_codes.MISSING,
            f"The package {PACKAGE} is installed but cannot be loaded ({first_line(error)}).",
            hint="Set the parameter mattes of Parallax to off to do without its mattes, or install the package again. "
            f"Run: {packages.install_mattes_command()}",
        ) from error
    onnxruntime.disable_telemetry_events()  # some versions for Windows do not read the variable
    return onnxruntime


class SavedMattes:
    """The opacity of each frame, read on demand: ``mattes[i]`` is bool [H, W], True where it is at least half."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def __len__(self) -> int:
        return self._count

    def opacity(self, index: int) -> NDArray[np.float32]:
        """Opacity [H, W], 0 to 1."""
        return load_array(_file(self._folder, index)).astype(np.float32) / np.float32(255)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:
        return np.asarray(load_array(_file(self._folder, index)) > 127, bool)


def mattes_of(
    frames: Sequence[NDArray[np.uint8]] | Any,
    folder: Path,
    *,
    load: Callable[[], Network] | None = None,
    check: Callable[[], None],
    progress: Callable[[float], None],
) -> SavedMattes:
    """Mattes of one shot's people, saved in a folder; a call that was interrupted goes on there, to the same bits.

    Parameters
    ----------
    frames : sequence of uint8 [H, W, 3]
        RGB, read on demand, of one shot.
    folder : Path
        For the files of `SCRATCH_FILES`, a byte a pixel; memory does not grow with the shot.
    load : callable or None
        Loads the network; called only where mattes are missing. None: `RobustVideoMatting`.
    check : callable
        Called between frames; may raise to end the work.
    progress : callable
        Called with the share that is done, 0 to 1.
    """
    final, forwards, memory = folder / "matte", folder / "matte-forwards", folder / "matte-state.npz"
    count = len(frames)
    if all(_file(final, index).exists() for index in range(count)):
        return SavedMattes(final, count)
    network = (load or RobustVideoMatting)()
    for each in (final, forwards):
        own_files.make_folder(each)
    there = SavedMattes(forwards, count)
    passes = ((forwards, range(count)), (final, range(count - 1, -1, -1)))
    at, done, state = _remembered(memory, passes)
    for number, (into, order) in enumerate(passes[at:], at):
        for place in range(done, count):
            check()
            index = order[place]
            opacity, state = network(frames[index], state)
            _save(into, index, opacity if into is forwards else _joined(opacity, there.opacity(index)))
            progress((number * count + place + 1) / (2 * count))
            if (place + 1) % _SAVED_EVERY == 0:
                _remember(memory, number, place + 1, state)
        done, state = 0, None
        _remember(memory, number + 1, 0, None)
    for index in range(count):
        _file(forwards, index).unlink(missing_ok=True)
    memory.unlink(missing_ok=True)
    return SavedMattes(final, count)


def _remember(memory: Path, number: int, done: int, state: State | None) -> None:
    """Save how far the passes are: which one, how many of its frames are done, and what the network remembers."""
    arrays = {f"state{index}": np.asarray(each) for index, each in enumerate(state or ())}
    save_arrays(memory, at=np.array([number, done]), **arrays)


def _remembered(memory: Path, passes: Sequence[tuple[Path, range]]) -> tuple[int, int, State | None]:
    """What `_remember` saved, where all frames that it counts are there; else the beginning."""
    try:
        saved = load_arrays(memory)
        number, done = map(int, saved["at"])
        state = [saved[f"state{index}"] for index in range(len(saved) - 1)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return 0, 0, None
    counted = [order[: len(order) if each < number else done] for each, (_, order) in enumerate(passes[: number + 1])]
    are_there = all(
        _file(folder, index).exists() for (folder, _), part in zip(passes, counted, strict=False) for index in part
    )
    is_possible = 0 <= number < len(passes) and 0 <= done <= len(passes[0][1])
    return (number, done, state or None) if is_possible and are_there else (0, 0, None)


def _joined(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of two passes, and the larger one where only one of them has found a person."""
    return np.where(np.abs(one - other) > _APART, np.maximum(one, other), 0.5 * (one + other))


def _save(folder: Path, index: int, opacity: NDArray[np.float32]) -> None:
    save_array(_file(folder, index), np.rint(np.clip(opacity, 0, 1) * 255).astype(np.uint8))


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.npy"
