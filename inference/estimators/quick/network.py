"""TCMonoDepth small in OpenCV, run on several framings of each frame whose predictions are averaged.

The network (Li et al., "Enforcing Temporal Consistency in Video Depth Estimation", ICCV Workshops 2021) takes RGB of
320 x 192 pixels and predicts relative disparity up to a scale and a shift that differ between framings, so each
prediction is normalized to the first one's mean and deviation before they are averaged. Errors differ between framings
as well, so the mean reduces them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...models.verification import fixed_content
from .weights import MODEL

WIDTH, HEIGHT = 320, 192
_STRETCH = 0.1  # change of aspect up to which a frame is stretched; beyond it is padded
_GRAY, _WHITE = 114, 255
_FAR = 0.85  # of the input's size, on white: as from farther away
_NEAR = 0.8  # of the frame's size, cropped to its center: as from nearer
_MIRRORED = 0.4  # weight of the padded mirrored frame
_BLEND = 20  # pixels over which the center crop is blended into the whole
_FLAT = 1e-4  # standard deviation of a prediction below which it is ignored

Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Network:
    """The network in memory.

    Parameters
    ----------
    path : Path
        The ONNX file.

    Raises
    ------
    Failure
        MISSING: the file does not match the checksum that Fathom fixes.
    """

    def __init__(self, path: Path) -> None:
        # read here, as OpenCV cannot open every file name; and verified before it is parsed, as an ONNX file may name
        # other files and arbitrary sizes
        content = fixed_content(path, MODEL.files[0])
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Disparity [192, 320] of RGB [192, 320, 3]."""
        self._net.setInput(cv2.dnn.blobFromImage(image.astype(np.float32)))
        return np.array(self._net.forward()).reshape(HEIGHT, WIDTH)


def map_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the depth maps for a frame size: 320 pixels on the long side, or fewer for smaller frames."""
    scale = min(1.0, WIDTH / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def infer(network: Forward, image: NDArray[np.uint8], *, check: Callable[[], None]) -> NDArray[np.float32]:
    """Disparity of a frame [H, W, 3] at `map_size`.

    Parameters
    ----------
    network : callable
        RGB [192, 320, 3] to disparity [192, 320].
    image : uint8 [H, W, 3]
    check : callable
        Called before each run of the network.
    """
    size = map_size(image.shape[1], image.shape[0])
    (first, whole), *others = _answers(network, image, size, check)
    total = first * np.float32(whole)
    for answer, share in others:
        deviation = float(answer.std())
        if deviation < _FLAT:
            continue
        total += np.float32(share) * ((answer - answer.mean()) * np.float32(first.std() / deviation) + first.mean())
        whole += share
    return np.asarray(total / whole, np.float32)


def _answers(
    network: Forward, image: NDArray[np.uint8], size: tuple[int, int], check: Callable[[], None]
) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Disparity at `size` in several framings, each with its weight; the others are normalized to the first."""
    height, width = image.shape[:2]
    fits = abs(width / height * HEIGHT / WIDTH - 1) <= _STRETCH
    check()
    if not fits:
        yield _padded(network, image, size, share=1.0, gray=_GRAY), 1.0
        check()
        yield _padded(network, image, size, share=_FAR, gray=_WHITE), 1.0
        return
    whole = _resized(network(_resized(image, WIDTH, HEIGHT)), *size)
    yield whole, 1.0
    check()
    yield _padded(network, image, size, share=_FAR, gray=_WHITE), 1.0
    check()
    yield _padded(network, np.ascontiguousarray(image[:, ::-1]), size, share=1.0, gray=_GRAY)[:, ::-1], _MIRRORED
    check()
    yield _middle(network, image, whole), 1.0


def _padded(
    network: Forward, image: NDArray[np.uint8], size: tuple[int, int], *, share: float, gray: int
) -> NDArray[np.float32]:
    """The prediction for the frame in its own aspect, filling a share of the input on plain gray."""
    height, width = image.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height) * share
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (WIDTH - wide) // 2, (HEIGHT - high) // 2
    shown = np.full((HEIGHT, WIDTH, 3), gray, np.uint8)
    shown[top : top + high, left : left + wide] = _resized(image, wide, high)
    return _resized(network(shown)[top : top + high, left : left + wide], *size)


def _middle(network: Forward, image: NDArray[np.uint8], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """The prediction for the whole frame, with that for its center crop fitted and blended in."""
    inner, outer = _inside(image.shape[:2]), _inside(whole.shape)
    around = whole[outer]
    answer = _resized(network(_resized(image[inner], WIDTH, HEIGHT)), around.shape[1], around.shape[0])
    if answer.std() < _FLAT:
        return whole
    spread = answer - answer.mean()
    slope = float(np.mean(spread * (around - around.mean())) / np.mean(spread**2))
    y, x = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in around.shape)
    share = np.clip(np.minimum.outer(y, x) / _BLEND, 0, 1).astype(np.float32)
    result = whole.copy()
    result[outer] += share * (slope * spread + around.mean() - around)
    return result


def _inside(shape: tuple[int, ...]) -> tuple[slice, slice]:
    margin = (1 - _NEAR) / 2
    return slice(round(margin * shape[0]), round((1 - margin) * shape[0])), slice(
        round(margin * shape[1]), round((1 - margin) * shape[1])
    )


def _resized(image: NDArray, width: int, height: int) -> NDArray:
    smaller = width < image.shape[1] or height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
