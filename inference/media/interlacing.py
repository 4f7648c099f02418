"""Whether the images of a clip are interlaced although no header says so: two moments each, line by line."""

from __future__ import annotations

from collections import Counter, deque
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_FEWEST = 3
_SHARE = 0.2  # two of five images of a film that was brought to 60 fields are woven
_ONE_ORDER = 0.8
_ROUGH = 0.75  # clips as cameras shoot them lie at 0.4 to 0.56, woven ones above 0.78 from 0.3 pixels of motion on
_MOVES = 10
_COLUMNS = 2  # every so many are looked at
_TICK = Fraction(1, 1000)


def marked(path: str) -> str:
    """The warning for a movie that is marked as interlaced."""
    return (
        f"{path} is marked as interlaced: if moving edges in it look like combs, deinterlace it first, for depth of "
        "two moments in one image is wrong where something moves."
    )


class Weave:
    """Looks for interlaced images in a clip, which come in order.

    An image counts as interlaced if FFmpeg's filter ``idet`` classifies it so, and if, where it moves, a line differs
    more from its neighbors than lines of one moment do; a camera that tilts by two lines an image deceives the filter
    alone.
    """

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._recent: deque[tuple[int, NDArray[np.uint8]]] = deque(maxlen=4)
        self._fed = self._looked = 0
        self._woven: Counter[str] = Counter()

    def feed(self, image: NDArray) -> None:
        """Process the next image, [H, W, 3]; floats are ignored, since no interlacing camera makes them."""
        if image.dtype not in (np.uint8, np.uint16) or image.shape[0] < 16:
            return
        green = image[..., 1]
        gray = np.ascontiguousarray(green if image.dtype == np.uint8 else green >> 8, np.uint8)
        if self._graph is None or gray.shape != self._recent[-1][1].shape:
            self._graph = _detector(gray)
        frame = av.VideoFrame.from_ndarray(gray, format="gray")
        frame.pts = self._fed
        self._recent.append((self._fed, gray))
        self._fed += 1
        self._graph.vpush(frame)
        try:
            while True:
                self._look(self._graph.vpull())
        except (av.BlockingIOError, av.EOFError):  # it wants one more image first
            return

    def warning(self, path: str) -> str | None:
        """One sentence, if enough images are interlaced."""
        woven = self._woven.total()
        if woven < max(_FEWEST, _SHARE * self._looked) or max(self._woven.values()) < _ONE_ORDER * woven:
            return None
        return (
            f"{path} is interlaced although it does not say so: {woven} of {self._looked} images are combed where "
            "something moves, and depth is wrong there; deinterlace it first."
        )

    def _look(self, judged: av.VideoFrame) -> None:
        self._looked += 1
        order = judged.metadata.get("lavfi.idet.single.current_frame")
        if order in ("tff", "bff") and _roughness(dict(self._recent), judged.pts or 0) > _ROUGH:
            self._woven[order] += 1


def _detector(gray: NDArray[np.uint8]) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=gray.shape[1], height=gray.shape[0], format=av.VideoFormat("gray"), time_base=_TICK)
    detector, sink = graph.add("idet"), graph.add("buffersink")
    source.link_to(detector)
    detector.link_to(sink)
    graph.configure()
    return graph


def _roughness(recent: dict[int, NDArray[np.uint8]], number: int) -> float:
    """How far lines differ from the two beside them, relative to those two lines away, where the image moves."""
    other = number - 1 if number - 1 in recent else number + 1
    if number not in recent or other not in recent:
        return 0.0
    now, then = (recent[n][:, ::_COLUMNS].astype(np.int16) for n in (number, other))
    moves = np.abs(now - then)[2:-2] > _MOVES
    if moves.mean() < 1e-3:
        return 0.0
    middle = 2 * now[2:-2]
    beside, beyond = (np.abs(middle - one - other)[moves].mean() for one, other in _neighbors(now))
    return float(beside / max(beyond, 1e-3))


def _neighbors(lines: NDArray) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    return (lines[1:-3], lines[3:-1]), (lines[:-4], lines[4:])
