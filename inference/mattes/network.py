"""Robust Video Matting on ONNX Runtime: the opacity of people in every frame of a shot.

The network (Lin et al., "Robust High-Resolution Video Matting with Temporal Guidance", WACV 2022) is recurrent: it
passes four feature maps from frame to frame, which keeps the matte from flickering and lets it take some frames to find
a person. So a shot is read twice, forwards and backwards, and the mean of both is the matte, or the larger one where
one way has not found who is there: what the first frames do not know yet, the way back does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..common.failures import Failure, first_line
from ..common.files import save_array
from ..contract import environment, exit_codes, own_files, packages
from ..models import store
from ..models.verification import fixed_content
from . import MODEL, PACKAGE

SCRATCH_FILES = ("matte/######.npy", "matte-forwards/######.npy")
"""The files that `mattes_of` makes in its folder."""
_INSIDE = 512
"""Long side of the image inside the network, which then refines the matte at full size (the authors' rule)."""
_APART = 0.5
"""Difference of opacity from which on one pass has not found what the other has."""
_STATES = 4
_THREADS = 8


class Network(Protocol):
    """A recurrent matte network."""

    def __call__(self, image: NDArray[np.uint8], state: Any) -> tuple[NDArray[np.float32], Any]:
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

    def __call__(self, image: NDArray[np.uint8], state: Any) -> tuple[NDArray[np.float32], Any]:
        """See `Network`."""
        if state is None:
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
        return np.load(_file(self._folder, index)).astype(np.float32) / np.float32(255)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:
        return np.asarray(np.load(_file(self._folder, index)) > 127, bool)


def mattes_of(
    frames: Sequence[NDArray[np.uint8]] | Any,
    folder: Path,
    *,
    load: Callable[[], Network] | None = None,
    check: Callable[[], None],
    progress: Callable[[float], None],
) -> SavedMattes:
    """Mattes of one shot's people, saved in a folder; those that an earlier call finished there are used again.

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
    final, forwards = folder / "matte", folder / "matte-forwards"
    count = len(frames)
    if all(_file(final, index).exists() for index in range(count)):
        return SavedMattes(final, count)
    network = (load or RobustVideoMatting)()
    for each in (final, forwards):
        own_files.make_folder(each)
    # a pass that was interrupted begins again, since the state that it had reached is lost
    there, back = SavedMattes(forwards, count), range(count - 1, -1, -1)
    for done, (index, opacity) in enumerate(_pass(network, frames, range(count), check)):
        _save(forwards, index, opacity)
        progress(0.5 * (done + 1) / count)
    for done, (index, opacity) in enumerate(_pass(network, frames, back, check)):
        _save(final, index, _joined(opacity, there.opacity(index)))
        progress(0.5 + 0.5 * (done + 1) / count)
    for index in range(count):
        _file(forwards, index).unlink(missing_ok=True)
    return SavedMattes(final, count)


def _pass(
    network: Network, frames: Any, order: range, check: Callable[[], None]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Run the network over the frames in an order."""
    state: Any = None
    for index in order:
        check()
        opacity, state = network(frames[index], state)
        yield index, opacity


def _joined(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of two passes, and the larger one where only one of them has found a person."""
    return np.where(np.abs(one - other) > _APART, np.maximum(one, other), 0.5 * (one + other))


def _save(folder: Path, index: int, opacity: NDArray[np.float32]) -> None:
    save_array(_file(folder, index), np.rint(np.clip(opacity, 0, 1) * 255).astype(np.uint8))


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:06d}.npy"
