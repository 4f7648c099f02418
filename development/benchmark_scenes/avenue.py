"""A long walk down an avenue of plane trees behind someone in a coat, while a hoop rolls by.

The camera goes 11 m at a walker's pace, with his steps. Depths from 1.5 m to 60 m.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import light, materials, rigs, shapes, trees
from .figures import Cloth, walker

_LENGTH = 11.0


def build(*, frames: int, path: rigs.CameraPath | None = None) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`; see `rigs.camera`."""
    scene = rigs.begin(frames)
    random = np.random.default_rng(23)
    _ground(random)
    _trees(random)
    _furniture()
    _end_of_the_avenue(random)
    _people(frames)
    _hoop(frames)
    light.sky(
        scene,
        [(0.0, (0.92, 0.84, 0.70)), (0.2, (0.66, 0.76, 0.88)), (0.7, (0.24, 0.42, 0.72))],
        clouds=(0.5, 0.75),
        strength=1.0,
    )
    light.sun(scene, turn=(44, 0, 62), energy=5.0, color=(1.0, 0.86, 0.66))
    scene.view_settings.exposure = 0.4
    rigs.camera(scene, frames, path or _following, lens=28.0)
    return scene


def _following(t: float) -> tuple[Vector, Vector]:
    steps = 2.0 * math.pi * t * _LENGTH / 1.4
    position = Vector(
        (
            0.55 * math.sin(2.6 * t) - 0.5 + 0.02 * math.sin(steps),
            -4.0 + _LENGTH * t,
            1.6 + 0.022 * math.cos(2.0 * steps),
        )
    )
    return position, position + Vector((0.5 * math.sin(3.6 * t + 0.5) - 0.1, 6.0, -0.05))


def _ground(random: np.random.Generator) -> None:
    gravel = materials.mottled("Gravel", (0.20, 0.165, 0.12), (0.42, 0.36, 0.28), scale=16.0)
    lawn = materials.mottled("Lawn", (0.05, 0.10, 0.015), (0.17, 0.24, 0.05), scale=5.0)
    kerb = materials.rough("Kerb", (0.32, 0.30, 0.27), (0.60, 0.57, 0.52), scale=3.0, bump=0.0)
    gold = materials.mottled("Fallen leaves", (0.36, 0.17, 0.03), (0.72, 0.45, 0.10), scale=4.0)
    shapes.box("Lawn", lawn, center=(0.0, 22.0, -0.13), size=(70.0, 64.0, 0.2))
    shapes.box("Path", gravel, center=(0.0, 22.0, -0.1), size=(4.4, 64.0, 0.2))
    for side in (-1, 1):
        for i in range(34):
            shapes.box("Kerb", kerb, center=(side * 2.26, -6.0 + 1.5 * i, 0.0), size=(0.16, 1.47, 0.16), bevel=0.02)
    where = np.stack((random.normal(0.0, 2.6, 4200), random.uniform(-5.0, 26.0, 4200), np.full(4200, 0.02)), axis=1)
    shapes.leaves("Fallen leaves", gold, centers=where, size=0.1, random=random)


def _trees(random: np.random.Generator) -> None:
    bark = materials.mottled("Plane bark", (0.20, 0.17, 0.11), (0.52, 0.47, 0.34), scale=4.0, stretch=(1.0, 1.0, 0.5))
    leaf = materials.mottled("Plane leaves", (0.09, 0.15, 0.015), (0.46, 0.36, 0.05), scale=1.1)
    habit = trees.Habit(height=3.4, radius=0.21, levels=3, branches=4, spread=46.0)
    for i in range(9):
        for side in (-1, 1):
            foot = (side * (3.05 + random.uniform(-0.15, 0.15)), -3.2 + 4.2 * i + random.uniform(-0.3, 0.3), -0.05)
            trees.tree("Plane", bark, foot=foot, habit=habit, random=random, leaf=leaf, leaf_size=0.2, leaves=18)


def _furniture() -> None:
    slats = materials.wood("Bench", (0.05, 0.11, 0.06), (0.12, 0.22, 0.13))
    iron = materials.plain("Bench iron", (0.03, 0.03, 0.032), roughness=0.5)
    glass = materials.plain("Lantern", (0.85, 0.80, 0.68), roughness=0.3)
    for side, y in ((-1, 1.0), (1, 5.2), (-1, 9.4), (1, 13.6)):
        x = side * 2.62
        for k in range(4):
            shapes.box("Bench seat", slats, center=(x + side * (0.12 * k - 0.2), y, 0.44), size=(0.095, 1.6, 0.03))
            shapes.box(
                "Bench back", slats, center=(x + side * (0.27 + 0.02 * k), y, 0.54 + 0.11 * k), size=(0.03, 1.6, 0.09)
            )
        for end in (-0.65, 0.65):
            shapes.box("Bench leg", iron, center=(x, y + end, 0.21), size=(0.42, 0.05, 0.42))
            shapes.box("Bench leg", iron, center=(x + side * 0.32, y + end, 0.48), size=(0.04, 0.05, 0.9))
    for side, y in ((1, 1.0), (-1, 7.3), (1, 11.5), (-1, 17.8)):
        post = [(0.14, 0.0), (0.12, 0.14), (0.055, 0.22), (0.042, 2.7), (0.08, 2.76)]
        shapes.turned("Lamp post", iron, foot=(side * 2.4, y, 0.0), profile=post, sides=20)
        shapes.turned(
            "Lantern", glass, foot=(side * 2.4, y, 2.76), profile=[(0.09, 0.0), (0.17, 0.36), (0.16, 0.37)], sides=6
        )
        shapes.turned("Lantern hood", iron, foot=(side * 2.4, y, 3.13), profile=[(0.22, 0.0), (0.03, 0.2)], sides=6)


def _end_of_the_avenue(random: np.random.Generator) -> None:
    stone = materials.rough("Pavilion", (0.50, 0.44, 0.34), (0.78, 0.72, 0.60), scale=1.2, bump=0.0)
    slate = materials.mottled("Slate", (0.12, 0.13, 0.15), (0.26, 0.27, 0.30), scale=3.0)
    hedge = materials.mottled("Box hedge", (0.03, 0.07, 0.015), (0.12, 0.19, 0.05), scale=3.0)
    wood = materials.mottled("Far wood", (0.06, 0.085, 0.03), (0.22, 0.21, 0.08), scale=0.5)
    shapes.arch_wall("Pavilion", stone, y=38.0, half_width=5.0, height=5.6, opening=1.7, spring=2.2, thickness=2.0)
    shapes.box("Cornice", stone, center=(0.0, 38.0, 5.7), size=(10.6, 2.6, 0.3), bevel=0.05)
    roof = shapes.turned(
        "Pavilion roof", slate, foot=(0.0, 38.0, 5.85), profile=[(5.0, 0.0), (1.2, 2.4), (1.0, 2.5)], sides=4
    )
    roof.data.transform(Matrix.Diagonal((1.45, 0.5, 1.0, 1.0)) @ Matrix.Rotation(math.radians(45), 4, "Z"))
    for side in (-1, 1):
        shapes.box("Hedge", hedge, center=(side * 5.4, 16.0, 0.55), size=(0.9, 44.0, 1.1), bevel=0.06)
        face = np.stack(
            (
                side * 5.4 + random.uniform(-0.5, 0.5, 2600),
                random.uniform(-4.0, 30.0, 2600),
                random.uniform(0.1, 1.15, 2600),
            ),
            axis=1,
        )
        shapes.leaves("Hedge leaves", hedge, centers=face, size=0.16, random=random)
    for count, y, tall in ((5000, 43.0, 8.0), (5000, 47.0, 11.0)):
        crowd = np.stack(
            (random.uniform(-30, 30, count), random.normal(y, 1.0, count), tall * random.random(count) ** 0.8), axis=1
        )
        shapes.leaves("Far wood", wood, centers=crowd, size=1.5, random=random)


def _people(frames: int) -> None:
    skin = materials.plain("Skin", (0.52, 0.30, 0.21))
    dark = materials.mottled("Trousers", (0.03, 0.03, 0.04), (0.07, 0.07, 0.085), scale=20.0)
    felt = materials.plain("Felt", (0.06, 0.05, 0.045))
    loden = Cloth(
        coat=materials.mottled("Loden", (0.30, 0.05, 0.04), (0.46, 0.10, 0.07), scale=14.0),
        legs=dark,
        skin=skin,
        hat=felt,
    )
    navy = Cloth(
        coat=materials.mottled("Navy", (0.03, 0.06, 0.13), (0.07, 0.12, 0.22), scale=14.0),
        legs=dark,
        skin=skin,
        hat=felt,
    )
    walker(
        loden,
        frames,
        lambda t: (Vector((0.35 + 0.3 * math.sin(4.0 * t), 0.6 + 10.4 * t, 0.0)), -0.1 * math.cos(4.0 * t)),
        height=1.76,
        walked=10.4,
    )
    walker(
        navy,
        frames,
        lambda t: (Vector((-1.35 + 0.2 * t, 18.0 - 9.6 * t, 0.0)), math.pi),
        height=1.68,
        walked=9.6,
    )


def _hoop(frames: int) -> None:
    ash = materials.wood("Hoop", (0.42, 0.26, 0.12), (0.62, 0.42, 0.22))
    radius = 0.42
    hoop = shapes.tube("Hoop", ash, [shapes.ring(radius - 0.02, thickness=0.02)], sides=8)

    def position(t: float) -> Matrix:
        x = 4.6 - 9.0 * t
        where = Matrix.Translation((x, 6.4 + 5.0 * t, radius)) @ Matrix.Rotation(math.radians(-28.0), 4, "Z")
        return where @ Matrix.Rotation(x / (radius * math.cos(math.radians(28.0))), 4, "Y")

    rigs.animate(hoop, frames, position)
