"""Other views of the scenes, for a clip that is cut together of them. One lens for all."""

from __future__ import annotations

import bpy
from mathutils import Vector

from . import avenue, courtyard, toys, villa


def fountain(*, frames: int) -> bpy.types.Scene:
    """The courtyard's fountain from above, the camera coming down."""
    aim = Vector((0.2, 3.6, 0.9))
    return courtyard.build(frames=frames, path=lambda t: (Vector((2.6 - 0.9 * t, -2.4, 3.6 - 1.1 * t)), aim))


def train(*, frames: int) -> bpy.types.Scene:
    """The toy train from close by, the camera going in."""
    aim = Vector((0.05, 0.3, 0.12))
    return toys.build(frames=frames, path=lambda t: (Vector((-0.72 + 0.5 * t, -0.78 + 0.1 * t, 0.2 - 0.06 * t)), aim))


def passers(*, frames: int) -> bpy.types.Scene:
    """Those who walk in the avenue, the camera going with one of them."""
    ahead = Vector((2.9, 5.4, 0.05))
    return avenue.build(
        frames=frames, path=lambda t: ((position := Vector((-2.0, -3.4 + 10.4 * t, 1.15))), position + ahead)
    )


def stairs(*, frames: int) -> bpy.types.Scene:
    """The villa's stairs and the balloon, the camera locked."""
    return villa.build(frames=frames, path=lambda t: (Vector((-3.4, -4.2, 1.5)), Vector((0.6, 3.0, 2.3))))
