"""The benchmark's clips: scenes, lengths and sizes.

Each is difficult for depth estimators in another way. A scene's motion does not depend on the number of frames; fewer
frames mean larger steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import bpy

from . import avenue, courtyard, edit, railings, toys, villa


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A scene rendered without a cut.

    Attributes
    ----------
    build : callable
        Takes `frames`, builds the scene in an empty file, animated over frames 1 to `frames`, and returns it.
    frames : int
        Number of rendered frames.
    span : pair of floats
        The rendered part of the scene's time, which runs from 0 to 1.
    """

    build: Callable[..., bpy.types.Scene]
    frames: int
    span: tuple[float, float] = (0.0, 1.0)

    @property
    def length(self) -> int:
        """Frames over which the scene is built."""
        return round((self.frames - 1) / (self.span[1] - self.span[0])) + 1

    @property
    def first(self) -> int:
        """The scene's frame that is the shot's first."""
        return 1 + round(self.span[0] * (self.length - 1))


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip of the benchmark.

    Attributes
    ----------
    name : str
        Of its folder.
    about : str
        What it tests, in a few words.
    shots : tuple of Shot
        With cuts between them; each may have another scene.
    width, height : int
        Pixels.
    samples : int
        Per pixel.
    grain : float
        See `film.with_grain`.
    """

    name: str
    about: str
    shots: tuple[Shot, ...]
    width: int
    height: int
    samples: int
    grain: float = 1.5

    @property
    def frames(self) -> int:
        """Number of frames of all shots."""
        return sum(shot.frames for shot in self.shots)


CLIPS = {
    clip.name: clip
    for clip in (
        Clip(
            name="courtyard",
            about="moving camera, moving ball",
            shots=(Shot(build=courtyard.build, frames=40),),
            width=512,
            height=288,
            samples=5,
            grain=0.0,
        ),
        Clip(
            name="toys",
            about="locked camera, moving train",
            shots=(Shot(build=toys.build, frames=40),),
            width=352,
            height=198,
            samples=4,
        ),
        Clip(
            name="railings",
            about="thin structures: fence, wires, branches",
            shots=(Shot(build=railings.build, frames=40),),
            width=416,
            height=234,
            samples=4,
        ),
        Clip(
            name="villa",
            about="sky and blank walls",
            shots=(Shot(build=villa.build, frames=40),),
            width=352,
            height=198,
            samples=4,
        ),
        Clip(
            name="edit",
            about="cuts between four shots",
            shots=(
                Shot(build=edit.fountain, frames=14, span=(0.25, 0.6)),
                Shot(build=edit.train, frames=12, span=(0.35, 0.64)),
                Shot(build=edit.passers, frames=14, span=(0.2, 0.27)),
                Shot(build=edit.stairs, frames=12, span=(0.4, 0.69)),
            ),
            width=320,
            height=180,
            samples=4,
        ),
        Clip(
            name="avenue",
            about="long walk behind someone",
            shots=(Shot(build=avenue.build, frames=208),),
            width=224,
            height=126,
            samples=3,
        ),
    )
}
"""The benchmark, by name."""


def _quick(clip: Clip, *, frames: int, width: int, samples: int) -> Clip:
    """A clip in `frames` a shot, and in small ones."""
    shots = tuple(replace(shot, frames=frames) for shot in clip.shots)
    return replace(clip, shots=shots, width=width, height=width * 9 // 16, samples=samples)


QUICK = {
    name: _quick(clip, frames=24, width=320, samples=4)
    if name == "courtyard"
    else _quick(clip, frames=12 if len(clip.shots) == 1 else 4, width=128, samples=2)
    for name, clip in CLIPS.items()
}
"""The same clips in fewer and smaller frames, for tests; the courtyard is large enough to evaluate depth on it."""
