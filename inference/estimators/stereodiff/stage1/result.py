"""Stage 1's result as the prior of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ....contract.camera import Camera
from ....depth_maps.sequence_maps import filled
from . import joining
from .alignment import Alignment, DepthMap
from .joining import Findings
from .pair_store import PairStore, View


class MatchedPrior:
    """The maps of an aligned shot, of `size`, read from its stored pairs; see `prior.Prior`."""

    has_confidence = True

    def __init__(
        self,
        store: PairStore,
        alignment: Alignment,
        findings: Findings,
        *,
        size: tuple[int, int],
        numbers: Sequence[int],
    ) -> None:
        self._store, self._alignment, self.findings, self._numbers = store, alignment, findings, numbers
        self.size = size
        self._last: tuple[int, DepthMap] | None = None

    @property
    def camera(self) -> Camera:
        """With the pose of every frame, and one focal length; a frame that gets another's depth has its pose.

        For maps of `size`, in the depth's unit of length.
        """
        seen = self.findings.seen
        camera = self._alignment.camera(range(len(seen)), width=self.size[0], height=self.size[1])
        at = {frame: position for position, frame in enumerate(seen)}
        poses = (
            replace(camera.poses[at[shown]], frame=number) for number, shown in zip(self._numbers, self.findings.shown)
        )
        return replace(camera, poses=tuple(poses))

    def disparity(self, index: int) -> NDArray[np.float32]:
        """1 / depth of a frame, [h, w], finite, holes filled."""
        found = self._map(self.findings.shown[index])
        return filled((1 / found.depth).numpy(), found.valid.numpy())

    def confidence(self, index: int) -> NDArray[np.float32]:
        """1 - 1 / C, [h, w], C the network's confidence in the point; 0 where the disparity was filled."""
        shown = self.findings.shown[index]
        if shown != index:
            return np.zeros((self.size[1], self.size[0]), np.float32)
        return self._map(shown).confidence.numpy()

    @property
    def views(self) -> set[View]:
        """The views that the maps are read from."""
        seen, pairs = self.findings.seen, self._alignment.pairs.tolist()
        return {((seen[first], seen[second]), frame) for frame, (first, second) in zip(seen, pairs)}

    def clear(self) -> None:
        """Delete the views that the maps are read from; the camera stays."""
        self._last = None
        self._store.clear()

    def _map(self, frame: int) -> DepthMap:
        if self._last is None or self._last[0] != frame:  # disparity and confidence are read one after the other
            self._last = (frame, joining.depth_map(self._alignment, self.findings.seen, self._store.read, frame))
        return self._last[1]
