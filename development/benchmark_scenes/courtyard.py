"""A walled courtyard, a camera that moves through it, and a ball that bounces across.

Everything is made from numbers with a fixed seed, in meters, z up; the camera looks along y. Depths run from 1.5 m
to 60 m and the sky. The camera's path has no stretch without parallax, which `parallax` needs.
"""

from __future__ import annotations

import itertools
import math

import bpy
import numpy as np
from mathutils import Euler, Vector

from . import light, materials, rigs, shapes

_HALF_WIDTH = 4.2


def build(*, frames: int, path: rigs.CameraPath | None = None) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`; see `rigs.camera`."""
    scene = rigs.begin(frames)
    random = np.random.default_rng(7)
    _ground_and_walls()
    _far_view()
    _furniture()
    _plants(random)
    _bunting()
    _sky_and_sun(scene)
    _bouncing_ball(frames)
    rigs.camera(scene, frames, path or _moving, lens=28.0)
    return scene


def _ground_and_walls() -> None:
    shapes.box("Pavement", materials.cobbles("Cobbles"), center=(0.0, 4.0, -0.1), size=(12.0, 30.0, 0.2))
    brick = materials.bricks("Brick side wall", axes="yz")
    plaster = materials.rough("Plaster", (0.45, 0.26, 0.12), (0.78, 0.56, 0.33), scale=1.6)
    stone = materials.rough("Stone", (0.30, 0.27, 0.23), (0.62, 0.57, 0.49), scale=2.4)
    timber = materials.wood("Timber", (0.09, 0.05, 0.03), (0.26, 0.15, 0.08))
    shutter = materials.wood("Shutters", (0.03, 0.12, 0.14), (0.10, 0.30, 0.32))
    glass = materials.rough("Windows", (0.02, 0.025, 0.03), (0.07, 0.08, 0.09), roughness=0.2, bump=0.0)
    shapes.box("Left wall", brick, center=(-_HALF_WIDTH - 0.3, 3.0, 2.4), size=(0.6, 22.0, 4.8))
    shapes.box("Right wall", plaster, center=(_HALF_WIDTH + 0.3, 3.0, 2.1), size=(0.6, 22.0, 4.2))
    for side, top in ((-1, 4.8), (1, 4.2)):
        x = side * _HALF_WIDTH
        shapes.box("Coping", stone, center=(x + side * 0.25, 3.0, top + 0.07), size=(0.8, 22.0, 0.16), bevel=0.03)
        shapes.box("Plinth", stone, center=(x, 3.0, 0.25), size=(0.24, 22.0, 0.5), bevel=0.03)
        for y in (-0.6, 3.0, 6.6):
            shapes.box("Window", glass, center=(x, y, 2.5), size=(0.1, 0.9, 1.3))
            shapes.box("Lintel", stone, center=(x, y, 3.25), size=(0.24, 1.3, 0.2), bevel=0.02)
            shapes.box("Sill", stone, center=(x, y, 1.78), size=(0.3, 1.3, 0.12), bevel=0.02)
            for end in (-1, 1):
                shapes.box("Shutter", shutter, center=(x - side * 0.09, y + end * 0.72, 2.5), size=(0.06, 0.5, 1.35))
        for y in (1.2, 4.8):
            shapes.box("Buttress", stone, center=(x - side * 0.15, y, 1.6), size=(0.5, 0.5, 3.2), bevel=0.04)
    shapes.box("Door", timber, center=(-_HALF_WIDTH, 8.6, 1.1), size=(0.16, 1.2, 2.2))
    shapes.arch_wall("Gate", stone, y=10.5, half_width=4.4, height=4.3, opening=1.5, spring=1.7, thickness=0.9)
    shapes.box("Gate coping", stone, center=(0.0, 10.5, 4.38), size=(9.0, 1.2, 0.2), bevel=0.04)


def _far_view() -> None:
    meadow = materials.rough("Meadow", (0.08, 0.12, 0.03), (0.30, 0.33, 0.12), scale=0.5, bump=0.0)
    stone = materials.rough("Tower stone", (0.38, 0.30, 0.22), (0.72, 0.62, 0.48), scale=0.8)
    roof = materials.rough("Tiles", (0.25, 0.07, 0.04), (0.52, 0.20, 0.11), scale=2.0)
    shapes.hills("Hills", meadow, y=(12.0, 60.0), half_width=60.0, height=9.0)
    shapes.turned("Tower", stone, foot=(2.6, 26.0, 0.0), profile=[(2.0, 0.0), (1.8, 8.5), (2.1, 8.6), (2.1, 9.2)])
    shapes.turned("Tower roof", roof, foot=(2.6, 26.0, 9.2), profile=[(2.4, 0.0), (1.2, 1.6), (0.02, 3.4)])
    for i, (x, y) in enumerate(((-7.0, 30.0), (-4.4, 34.0), (7.5, 32.0), (10.0, 28.0), (-1.2, 40.0))):
        shapes.box("House", stone, center=(x, y, 2.5), size=(2.6, 2.6, 4.0), turn=20.0 * i)
        shapes.turned("House roof", roof, foot=(x, y, 4.5), profile=[(2.2, 0.0), (0.02, 1.6)], sides=4)


def _furniture() -> None:
    stone = materials.rough("Pale stone", (0.40, 0.37, 0.32), (0.80, 0.76, 0.68), scale=4.0)
    bronze = materials.rough("Bronze", (0.10, 0.16, 0.12), (0.33, 0.42, 0.30), scale=5.0, roughness=0.45)
    water = materials.rough("Water", (0.02, 0.06, 0.07), (0.08, 0.15, 0.15), scale=6.0, roughness=0.1)
    crate = materials.wood("Crates", (0.20, 0.12, 0.06), (0.52, 0.36, 0.20))
    iron = materials.rough("Iron", (0.02, 0.02, 0.02), (0.08, 0.075, 0.07), scale=9.0, roughness=0.5, bump=0.0)
    lamp = materials.rough("Lamp glass", (0.75, 0.62, 0.35), (0.95, 0.85, 0.60), scale=6.0, bump=0.0)

    basin = [(1.25, 0.0), (1.25, 0.12), (1.1, 0.18), (1.12, 0.5), (1.25, 0.55), (1.25, 0.62), (1.05, 0.62), (1.0, 0.45)]
    shapes.turned("Basin", stone, foot=(0.55, 3.4, 0.0), profile=basin, sides=64)
    shapes.turned("Water", water, foot=(0.55, 3.4, 0.46), profile=[(1.02, 0.0), (1.02, 0.04)], sides=64)
    column = [(0.34, 0.4), (0.34, 0.7), (0.24, 0.78), (0.2, 1.3), (0.26, 1.38), (0.4, 1.44), (0.4, 1.52)]
    shapes.turned("Pedestal", stone, foot=(0.55, 3.4, 0.0), profile=column)
    bpy.ops.mesh.primitive_monkey_add(size=0.95, location=(0.55, 3.4, 1.98), rotation=(0.0, 0.0, -0.2))
    statue = bpy.context.object
    statue.name = "Statue"
    statue.data.materials.append(bronze)
    statue.modifiers.new("Subdivision", "SUBSURF").render_levels = 2
    statue.data.polygons.foreach_set("use_smooth", [True] * len(statue.data.polygons))

    for x, y, z, size, turn in (
        (-2.75, 0.2, 0.0, 0.8, 12.0),
        (-2.9, 1.15, 0.0, 0.72, -8.0),
        (-2.78, 0.35, 0.8, 0.6, 31.0),
        (-1.9, 0.75, 0.0, 0.45, 40.0),
    ):
        shapes.box("Crate", crate, center=(x, y, z + size / 2), size=(size, size, size), turn=turn, bevel=0.02)
        for edge in (-1, 1):
            slat = shapes.box(
                "Slat", crate, center=(x, y, z + size / 2), size=(size * 1.05, 0.09, size * 1.02), turn=turn
            )
            slat.location += Euler((0.0, 0.0, math.radians(turn))).to_matrix() @ Vector((0.0, edge * size * 0.49, 0.0))
    staves = [(0.27, 0.0), (0.34, 0.25), (0.36, 0.45), (0.34, 0.65), (0.27, 0.9)]
    hoop = [(0.352, 0.0), (0.358, 0.06)]
    for x, y in ((2.95, -0.6), (3.35, 0.25), (2.55, 0.45)):
        shapes.turned("Barrel", crate, foot=(x, y, 0.0), profile=staves)
        for z in (0.22, 0.6):
            shapes.turned("Hoop", iron, foot=(x, y, z), profile=hoop)
    for x, y in ((-1.75, -2.0), (2.1, 6.6)):
        post = [(0.16, 0.0), (0.15, 0.12), (0.06, 0.2), (0.045, 2.5), (0.09, 2.56), (0.02, 2.6)]
        shapes.turned("Lamp post", iron, foot=(x, y, 0.0), profile=post)
        lantern = [(0.08, 2.6), (0.17, 2.95), (0.17, 2.98)]
        shapes.turned("Lantern", lamp, foot=(x, y, 0.0), profile=lantern, sides=6)
        shapes.turned("Lantern hood", iron, foot=(x, y, 2.98), profile=[(0.22, 0.0), (0.02, 0.2)], sides=6)


def _plants(random: np.random.Generator) -> None:
    clay = materials.rough("Clay", (0.33, 0.12, 0.06), (0.62, 0.29, 0.16), scale=5.0)
    bark = materials.wood("Bark", (0.07, 0.05, 0.035), (0.22, 0.17, 0.12))
    olive = materials.rough("Olive leaves", (0.05, 0.10, 0.03), (0.24, 0.32, 0.12), scale=3.0, bump=0.0)
    ivy = materials.rough("Ivy", (0.03, 0.09, 0.02), (0.14, 0.28, 0.06), scale=3.0, bump=0.0)
    flowers = materials.rough("Flowers", (0.55, 0.05, 0.16), (0.90, 0.25, 0.40), scale=8.0, bump=0.0)
    pot = [(0.22, 0.0), (0.34, 0.42), (0.38, 0.44), (0.38, 0.5), (0.3, 0.5)]
    for x, y, tall in ((2.7, 2.3, 1.15), (-2.7, 4.4, 1.3), (2.9, 8.2, 1.4), (-2.6, 8.4, 1.2)):
        shapes.turned("Pot", clay, foot=(x, y, 0.0), profile=pot)
        shapes.turned("Trunk", bark, foot=(x, y, 0.45), profile=[(0.07, 0.0), (0.05, tall - 0.3), (0.02, tall + 0.1)])
        crown = random.normal(size=(1500, 3))
        crown *= (0.5 * random.random((1500, 1)) ** 0.4) / np.linalg.norm(crown, axis=1, keepdims=True)
        shapes.leaves("Crown", olive, centers=crown + np.array((x, y, tall + 0.55)), size=0.13, random=random)
    for x, y in ((-0.9, 5.6), (1.75, -0.9), (-3.4, -1.2)):
        shapes.turned("Flower pot", clay, foot=(x, y, 0.0), profile=[(r * 0.6, z * 0.6) for r, z in pot])
        for material, count, up in ((ivy, 350, 0.42), (flowers, 90, 0.52)):
            bush = random.normal(size=(count, 3)) * (0.15, 0.15, 0.1)
            shapes.leaves("Bush", material, centers=bush + np.array((x, y, up)), size=0.09, random=random)
    for side, y, reach in ((1, 4.9, 1.5), (-1, 2.2, 1.2), (1, -1.8, 0.9)):
        along = random.normal(size=(2600, 1)) * 0.45 * reach
        up = 4.3 - np.abs(random.normal(size=(2600, 1))) * 1.1 * reach
        out = side * (_HALF_WIDTH - 0.05 - 0.12 * random.random((2600, 1)))
        shapes.leaves("Ivy", ivy, centers=np.hstack((out, along + y, up)), size=0.13, random=random)


def _bunting() -> None:
    colors = [(0.70, 0.08, 0.05), (0.85, 0.62, 0.10), (0.06, 0.25, 0.50), (0.80, 0.78, 0.70)]
    cloths = [materials.rough("Cloth", tuple(c * 0.6 for c in color), color, scale=9.0, bump=0.0) for color in colors]
    cord = materials.rough("Cord", (0.2, 0.18, 0.15), (0.4, 0.36, 0.3), scale=9.0, bump=0.0)
    for y, low in ((1.8, 3.35), (6.0, 3.3)):
        steps = 17
        points = [
            Vector((x, y, low + 0.75 * (x / _HALF_WIDTH) ** 2)) for x in np.linspace(-_HALF_WIDTH, _HALF_WIDTH, steps)
        ]
        for i, (start, end) in enumerate(itertools.pairwise(points)):
            middle, along = (start + end) / 2, end - start
            line = shapes.box("Cord", cord, center=middle, size=(along.length, 0.015, 0.015))
            line.rotation_euler = along.to_track_quat("X", "Z").to_euler()
            flag = shapes.leaves(
                "Flag", cloths[i % 4], centers=np.empty((0, 3)), size=0.0, random=np.random.default_rng(0)
            )
            tip = middle + Vector((0.0, 0.06, -0.42))
            flag.data.from_pydata([start.lerp(end, 0.12), start.lerp(end, 0.88), tip], [], [(0, 1, 2)])


def _sky_and_sun(scene: bpy.types.Scene) -> None:
    light.sky(scene, [(0.0, (0.95, 0.78, 0.58)), (0.12, (0.62, 0.72, 0.85)), (0.5, (0.16, 0.32, 0.62))])
    light.sun(scene, turn=(50, 8, -38), energy=4.2, color=(1.0, 0.86, 0.68))
    scene.view_settings.exposure = 0.55


def _bouncing_ball(frames: int) -> None:
    radius = 0.36
    ball = shapes.ball("Ball", materials.beach_ball("Beach ball"), center=(0.0, 0.0, radius), radius=radius)
    for frame, t in rigs.times(frames):
        hop = abs(math.sin(2.5 * math.pi * t + 0.6))
        ball.location = (-2.0 + 3.6 * t, 1.6 - 1.2 * t, radius + 0.75 * hop * (1.0 - 0.4 * t))
        ball.rotation_euler = (0.4, 3.6 * t / radius, 0.3)
        ball.keyframe_insert("location", frame=frame)
        ball.keyframe_insert("rotation_euler", frame=frame)


def _moving(t: float) -> tuple[Vector, Vector]:
    position = Vector((-0.85 + 1.7 * t, -5.2 + 1.3 * t, 1.55 + 0.05 * math.sin(9.0 * t) + 0.12 * t))
    return position, Vector((0.1 + 0.25 * t, 6.0, 1.72))
