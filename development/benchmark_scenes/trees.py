"""Trees: a trunk that parts into ever thinner branches, bare or with leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Quaternion, Vector

from . import shapes


@dataclass(frozen=True, kw_only=True)
class Habit:
    """How a tree grows.

    Attributes
    ----------
    height, radius : float
        Of the trunk, in meters.
    levels : int
        How often branches part.
    branches : int
        That each one parts into.
    spread : float
        Angle from its parent, in degrees.
    """

    height: float
    radius: float
    levels: int = 4
    branches: int = 4
    spread: float = 38.0


def tree(
    name: str,
    bark: bpy.types.Material,
    *,
    foot: shapes.Point,
    habit: Habit,
    random: np.random.Generator,
    leaf: bpy.types.Material | None = None,
    leaf_size: float = 0.1,
    leaves: int = 6,
) -> None:
    """A tree that stands on `foot`; `leaves` of `leaf_size` round each twig's end if there is a material for them."""
    lines: list[list[tuple[Vector, float]]] = []
    ends: list[Vector] = []
    grown = [(Vector((0.0, 0.0, 0.0)), Vector((0.0, 0.0, 1.0)), habit.height, habit.radius)]
    for level in range(habit.levels + 1):
        next_ones = []
        for start, heading, length, radius in grown:
            line = _limb(start, heading, length, radius, random)
            lines.append(line)
            if level == habit.levels:
                ends.append(line[-1][0])
                continue
            for k in range(habit.branches):
                where = random.uniform(0.55, 1.0) if level == 0 else random.uniform(0.3, 1.0)
                joint, thick = line[min(len(line) - 1, round(where * (len(line) - 1)))]
                turn = Quaternion(heading, 2.0 * math.pi * (k + random.uniform(0.0, 0.8)) / habit.branches)
                tilt = math.radians(habit.spread * random.uniform(0.6, 1.3))
                aside = turn @ heading.orthogonal().normalized()
                direction = (heading * math.cos(tilt) + aside * math.sin(tilt) + Vector((0.0, 0.0, 0.12))).normalized()
                next_ones.append((joint, direction, length * random.uniform(0.5, 0.72), max(0.6 * thick, 0.006)))
        grown = next_ones
    shapes.tube(name, bark, lines, sides=6 if habit.radius > 0.1 else 5).location = foot
    if leaf is not None:
        centers = np.repeat(np.array(ends), leaves, axis=0)
        centers = centers + random.normal(size=centers.shape) * 1.6 * leaf_size
        shapes.leaves(f"{name} leaves", leaf, centers=centers, size=leaf_size, random=random).location = foot


def _limb(
    start: Vector, heading: Vector, length: float, radius: float, random: np.random.Generator
) -> list[tuple[Vector, float]]:
    steps, line, position, direction = 5, [], start.copy(), heading.copy()
    for i in range(steps + 1):
        line.append((position.copy(), radius * (1.0 - 0.5 * i / steps)))
        direction = (direction + 0.12 * Vector(random.normal(size=3))).normalized()
        position += direction * (length / steps)
    return line
