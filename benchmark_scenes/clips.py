"""The benchmark's clips: which scenes, how long, how large.

Each shows something that depth estimators find hard. The scenes' movements are the same for any number of frames;
fewer frames are larger steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy

from . import courtyard


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A scene filmed without a cut.

    Attributes
    ----------
    build : callable
        Takes `frames`, builds the scene in an empty file, animated over frames 1 to `frames`, and returns it.
    frames : int
    """

    build: Callable[..., bpy.types.Scene]
    frames: int


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How a clip is filmed.

    Attributes
    ----------
    name : str
        Of its folder.
    about : str
        What it is good for, in a few words.
    shots : tuple of Shot
        Between two of them is a cut; the world may be another one.
    width, height : int
        Pixels.
    samples : int
        Of the picture, a pixel.
    """

    name: str
    about: str
    shots: tuple[Shot, ...]
    width: int
    height: int
    samples: int

    @property
    def frames(self) -> int:
        """Of all shots."""
        return sum(shot.frames for shot in self.shots)


_COURTYARD = Clip(
    name="courtyard",
    about="moving camera, a bouncing ball",
    shots=(Shot(build=courtyard.build, frames=40),),
    width=512,
    height=288,
    samples=5,
)


def _quick(clip: Clip, *, frames: int, width: int, height: int, samples: int) -> Clip:
    """A clip in fewer frames a shot, and in small ones."""
    shots = tuple(replace(shot, frames=frames) for shot in clip.shots)
    return replace(clip, shots=shots, width=width, height=height, samples=samples)


CLIPS = {clip.name: clip for clip in (_COURTYARD,)}
"""The benchmark, by name."""

QUICK = {clip.name: _quick(clip, frames=24, width=320, height=180, samples=4) for clip in (_COURTYARD,)}
"""The same clips in fewer and smaller frames, for tests."""
