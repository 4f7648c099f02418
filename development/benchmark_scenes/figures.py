"""Someone who walks: a jointed figure of rigid parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bpy
from mathutils import Euler, Matrix, Vector

from . import rigs, shapes


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """What the figure is made of."""

    coat: bpy.types.Material
    legs: bpy.types.Material
    skin: bpy.types.Material
    hat: bpy.types.Material


_STRIDE = 0.78
"""Length of two steps in units of the figure's height."""


def walker(
    cloth: Cloth, frames: int, path: Callable[[float], tuple[Vector, float]], *, height: float, walked: float
) -> None:
    """A figure that walks.

    Parameters
    ----------
    cloth : Cloth
    frames : int
    path : callable
        From a time of 0 to 1, the place on the ground and the heading about z, in radians; 0 looks along y.
    height : float
        In meters.
    walked : float
        How far the path goes, in meters, from which the steps follow.
    """

    def phase(t: float) -> float:
        return 2.0 * math.pi * walked * t / (_STRIDE * height)

    def body(t: float) -> Matrix:
        position, heading = path(t)
        lift = Vector((0.0, 0.0, height * (0.475 + 0.012 * math.cos(2.0 * phase(t)))))
        return Matrix.Translation(position + lift) @ Euler((0.0, 0.0, heading)).to_matrix().to_4x4()

    def part(name: str, material: bpy.types.Material, profile: Sequence[tuple[float, float]]) -> bpy.types.Object:
        sized = [(r * height, z * height) for r, z in profile]
        return shapes.turned(f"Walker {name}", material, foot=(0.0, 0.0, 0.0), profile=sized, sides=20)

    def joined(
        obj: bpy.types.Object, parent: bpy.types.Object, at: shapes.Point, bend: Callable[[float], float]
    ) -> None:
        obj.parent = parent
        position = Matrix.Translation(Vector(at) * height)
        rigs.animate(obj, frames, lambda t: position @ Euler((bend(phase(t)), 0.0, 0.0)).to_matrix().to_4x4())

    coat = [(0.135, -0.13), (0.12, 0.0), (0.095, 0.12), (0.11, 0.25), (0.1, 0.33), (0.045, 0.37), (0.03, 0.38)]
    trunk = part("coat", cloth.coat, coat)
    rigs.animate(trunk, frames, body)
    head = [(0.028, 0.37), (0.03, 0.4), (0.05, 0.42), (0.06, 0.46), (0.052, 0.5), (0.03, 0.525)]
    joined(part("head", cloth.skin, head), trunk, (0.0, 0.0, 0.0), lambda p: 0.04 * math.sin(p))
    hat = [(0.1, 0.485), (0.1, 0.49), (0.06, 0.495), (0.056, 0.545), (0.045, 0.555)]
    joined(part("hat", cloth.hat, hat), trunk, (0.0, 0.0, 0.0), lambda p: 0.04 * math.sin(p))
    for name, side, ahead in (("left", -1.0, 0.0), ("right", 1.0, math.pi)):
        thigh = part(f"{name} thigh", cloth.legs, [(0.042, -0.25), (0.055, -0.02), (0.05, 0.02)])
        joined(thigh, trunk, (0.05 * side, 0.0, 0.0), lambda p, a=ahead: 0.5 * math.sin(p + a))
        shin = part(f"{name} shin", cloth.legs, [(0.028, -0.215), (0.035, -0.02), (0.03, 0.02)])
        joined(shin, thigh, (0.0, 0.0, -0.24), lambda p, a=ahead: -0.25 - 0.55 * max(0.0, math.cos(p + a)) ** 2)
        shoe = part(f"{name} shoe", cloth.hat, [(0.03, 0.0), (0.034, 0.012), (0.024, 0.04)])
        shoe.data.transform(Matrix.Diagonal((1.0, 1.9, 1.0, 1.0)) @ Matrix.Translation((0.0, 0.018 * height, 0.0)))
        joined(shoe, shin, (0.0, 0.0, -0.235), lambda p: 0.1)
        upper = part(f"{name} arm", cloth.coat, [(0.03, -0.17), (0.036, -0.02), (0.025, 0.015)])
        joined(upper, trunk, (0.125 * side, 0.0, 0.31), lambda p, a=ahead: -0.45 * math.sin(p + a))
        lower = part(f"{name} forearm", cloth.coat, [(0.022, -0.14), (0.03, -0.01), (0.024, 0.01)])
        joined(lower, upper, (0.0, 0.0, -0.165), lambda p, a=ahead: 0.3 - 0.2 * math.sin(p + a))
        hand = part(f"{name} hand", cloth.skin, [(0.012, -0.06), (0.022, -0.03), (0.016, 0.0)])
        joined(hand, lower, (0.0, 0.0, -0.14), lambda p: 0.1)
