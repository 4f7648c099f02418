"""Thin structures: a camera passes an iron fence; behind it are bare trees, overhead wires, a swing and a cartwheel.

A bar is two to four pixels wide at the benchmark's size, a wire or a twig one or less. Depths from 1.2 m to 60 m.
"""

from __future__ import annotations

import itertools
import math

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from . import light, materials, rigs, shapes, trees


def build(*, frames: int, path: rigs.CameraPath | None = None) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`; see `rigs.camera`."""
    scene = rigs.begin(frames)
    random = np.random.default_rng(11)
    iron = materials.mottled("Iron", (0.012, 0.014, 0.014), (0.05, 0.045, 0.04), scale=30.0, roughness=0.5)
    bark = materials.mottled("Bark", (0.045, 0.035, 0.028), (0.16, 0.13, 0.10), scale=5.0, stretch=(1.0, 1.0, 0.25))
    _ground(random)
    _fence(iron)
    branches = _trees(bark, random)
    _wires(random)
    _far(random)
    _swing(frames, branches, iron)
    _cartwheel(frames)
    light.sky(
        scene,
        [(0.0, (0.96, 0.80, 0.62)), (0.16, (0.80, 0.80, 0.80)), (0.6, (0.34, 0.48, 0.68))],
        clouds=(0.46, 0.74),
        cloud=(0.96, 0.90, 0.84),
        strength=0.62,
    )
    light.sun(scene, turn=(66, 0, -58), energy=5.0, color=(1.0, 0.76, 0.50))
    scene.view_settings.exposure = 0.35
    rigs.camera(scene, frames, path or _passing, lens=28.0)
    return scene


def _passing(t: float) -> tuple[Vector, Vector]:
    position = Vector((-1.0 + 1.9 * t, -2.15 + 0.15 * math.sin(3.0 * t), 1.42 + 0.06 * t))
    return position, position + Vector((0.42 - 0.25 * t, 4.0, 0.3))


def _ground(random: np.random.Generator) -> None:
    grass = materials.mottled("Grass", (0.10, 0.12, 0.03), (0.34, 0.28, 0.10), scale=3.5)
    blades = materials.mottled("Blades", (0.16, 0.16, 0.04), (0.46, 0.38, 0.16), scale=2.0)
    fallen = materials.mottled("Fallen leaves", (0.28, 0.10, 0.02), (0.62, 0.32, 0.08), scale=4.0)
    shapes.box("Meadow", grass, center=(0.0, 28.0, -0.1), size=(120.0, 64.0, 0.2))
    tufts = np.stack((random.uniform(-6, 7, 2600), random.uniform(-1.2, 5.0, 2600), np.full(2600, 0.03)), axis=1)
    shapes.leaves("Tufts", blades, centers=tufts, size=0.16, random=random)
    litter = np.stack((random.uniform(-9, 10, 1500), random.uniform(-1.0, 16.0, 1500), np.full(1500, 0.015)), axis=1)
    shapes.leaves("Litter", fallen, centers=litter, size=0.07, random=random)


def _fence(iron: bpy.types.Material) -> None:
    stone = materials.rough("Plinth", (0.25, 0.22, 0.19), (0.50, 0.46, 0.40), scale=3.0)
    shapes.box("Plinth", stone, center=(0.5, 0.0, 0.12), size=(14.0, 0.3, 0.36), bevel=0.03)
    for x in (-3.4, 0.35, 4.1):
        shapes.box("Pier", stone, center=(x, 0.0, 0.85), size=(0.28, 0.28, 1.7), bevel=0.03)
        shapes.box("Pier cap", stone, center=(x, 0.0, 1.74), size=(0.38, 0.38, 0.1), bevel=0.03)
        shapes.ball("Pier ball", stone, center=(x, 0.0, 1.91), radius=0.13)
    bars = []
    for i in range(-44, 56):
        x = 0.35 + i * 0.134
        if min(abs(x - pier) for pier in (-3.4, 0.35, 4.1)) < 0.18:
            continue
        bars.append(
            [((x, 0.0, 0.28), 0.0095), ((x, 0.0, 1.52), 0.0095), ((x, 0.0, 1.53), 0.02), ((x, 0.0, 1.66), 0.002)]
        )
        if i % 2:
            bars.append(
                [(point + Vector((x, 0.0, 1.26)), r) for point, r in shapes.ring(0.06, thickness=0.006, steps=16)]
            )
    for z in (0.42, 1.19, 1.34):
        bars.append([((-6.0, 0.0, z), 0.014), ((7.2, 0.0, z), 0.014)])
    shapes.tube("Fence", iron, bars)


def _trees(bark: bpy.types.Material, random: np.random.Generator) -> Vector:
    """Plant the trees; return the place under the branch that carries the swing."""
    old = trees.Habit(height=3.1, radius=0.24, levels=4, branches=4, spread=44.0)
    young = trees.Habit(height=1.5, radius=0.06, levels=4, branches=3, spread=30.0)
    for x, y, habit in (
        (-2.7, 3.6, old),
        (5.6, 9.0, old),
        (-8.5, 12.0, old),
        (-0.2, 15.0, old),
        (1.2, 1.5, young),
        (-4.4, 2.2, young),
    ):
        trees.tree("Tree", bark, foot=(x, y, -0.05), habit=habit, random=random)
    bough = [(-2.7, 2.5, 0.13), (-2.0, 2.72, 0.11), (-1.2, 3.0, 0.09), (-0.4, 3.05, 0.07), (0.2, 3.2, 0.05)]
    twigs = [
        [(-1.4, 2.93, 0.05), (-1.0, 3.4, 0.03), (-0.9, 4.0, 0.01)],
        [(0.2, 3.2, 0.045), (0.5, 3.55, 0.025), (1.0, 3.7, 0.008)],
    ]
    twigs += [
        [(0.2, 3.2, 0.045), (0.8, 3.2, 0.02), (1.3, 3.35, 0.006)],
        [(-0.4, 3.05, 0.04), (-0.1, 3.5, 0.02), (0.0, 3.9, 0.006)],
    ]
    shapes.tube("Bough", bark, [[((x, 3.5, z), r) for x, z, r in line] for line in (bough, *twigs)], sides=8)
    return Vector((-0.45, 3.5, 3.02))


def _wires(random: np.random.Generator) -> None:
    timber = materials.mottled("Pole", (0.09, 0.06, 0.04), (0.24, 0.18, 0.13), scale=6.0, stretch=(1.0, 1.0, 0.1))
    wire = materials.plain("Wire", (0.02, 0.02, 0.022))
    glass = materials.plain("Insulator", (0.55, 0.62, 0.60), roughness=0.2)
    poles = [Vector((-26.0, 24.0, 0.0)), Vector((-9.0, 19.0, 0.0)), Vector((6.5, 14.0, 0.0)), Vector((20.0, 9.5, 0.0))]
    across = Vector((0.3, 0.95, 0.0)).normalized()
    for pole in poles:
        shapes.turned("Pole", timber, foot=pole, profile=[(0.15, -0.1), (0.11, 7.2)], sides=14)
        for z in (6.3, 6.9):
            shapes.tube("Crossbar", timber, [[(pole + across * s + Vector((0.0, 0.0, z)), 0.05) for s in (-0.9, 0.9)]])
            for s in (-0.8, -0.3, 0.3, 0.8):
                shapes.ball(
                    "Insulator",
                    glass,
                    center=pole + across * s + Vector((0.0, 0.0, z + 0.12)),
                    radius=0.06,
                    subdivisions=2,
                )
    lines = []
    for start, end in itertools.pairwise(poles):
        for z in (6.42, 7.02):
            for s in (-0.8, -0.3, 0.3, 0.8):
                sag = random.uniform(0.55, 0.8)
                line = []
                for u in np.linspace(0.0, 1.0, 25):
                    position = start.lerp(end, u) + across * s
                    line.append((position + Vector((0.0, 0.0, z - sag * 4.0 * u * (1.0 - u))), 0.016))
                lines.append(line)
    shapes.tube("Wires", wire, lines, sides=5)


def _far(random: np.random.Generator) -> None:
    plaster = materials.rough("Farm walls", (0.48, 0.38, 0.26), (0.74, 0.62, 0.46), scale=0.8, bump=0.0)
    tiles = materials.mottled("Farm roof", (0.22, 0.07, 0.04), (0.44, 0.18, 0.10), scale=3.0)
    hedge = materials.mottled("Hedge", (0.04, 0.06, 0.02), (0.17, 0.16, 0.06), scale=1.4)
    dark = materials.plain("Dark windows", (0.03, 0.035, 0.04), roughness=0.2)
    hills = materials.mottled("Hills", (0.13, 0.15, 0.09), (0.30, 0.28, 0.17), scale=0.25)
    shapes.hills("Hills", hills, y=(38.0, 58.0), half_width=70.0, height=5.0)
    for x, y, wide, turn in ((9.0, 24.0, 8.0, 12.0), (-13.0, 30.0, 6.5, -20.0)):
        shapes.box("Farm", plaster, center=(x, y, 1.6), size=(wide, 4.2, 3.4), turn=turn)
        roof = shapes.turned("Farm roof", tiles, foot=(x, y, 3.3), profile=[(3.4, 0.0), (0.05, 2.2)], sides=4)
        roof.data.transform(Matrix.Diagonal((wide / 4.6, 1.0, 1.0, 1.0)) @ Matrix.Rotation(math.radians(45), 4, "Z"))
        roof.rotation_euler = (0.0, 0.0, math.radians(turn))
        for i in range(3):
            position = Matrix.Rotation(math.radians(turn), 3, "Z") @ Vector(
                (-wide / 2 + wide * (i + 0.5) / 3, -2.1, 0.0)
            )
            shapes.box("Pane", dark, center=Vector((x, y, 1.8)) + position, size=(0.8, 0.1, 1.0), turn=turn)
    cloud = np.stack(
        (random.uniform(-40, 40, 5200), random.normal(33.0, 0.6, 5200), random.uniform(0.0, 1.7, 5200)), axis=1
    )
    shapes.leaves("Hedge", hedge, centers=cloud, size=0.7, random=random)


def _swing(frames: int, bough: Vector, iron: bpy.types.Material) -> None:
    rope = materials.mottled("Rope", (0.28, 0.20, 0.11), (0.56, 0.44, 0.27), scale=60.0)
    board = materials.wood("Swing board", (0.30, 0.06, 0.04), (0.52, 0.12, 0.07))
    seat = shapes.box("Swing", board, center=bough, size=(0.56, 0.2, 0.04))
    seat.data.transform(Matrix.Translation((0.0, 0.0, -2.3)))
    ropes = [[((x, 0.0, -2.3), 0.012), ((x, 0.0, 0.0), 0.012)] for x in (-0.22, 0.22)]
    shapes.tube("Swing ropes", rope, ropes).parent = seat
    shapes.tube(
        "Swing rings",
        iron,
        [
            [(p + Vector((x, 0.0, 0.03)), r) for p, r in shapes.ring(0.05, thickness=0.009, steps=14)]
            for x in (-0.22, 0.22)
        ],
    )

    def position(t: float) -> Matrix:
        turn = Euler((0.34 * math.sin(2.0 * math.pi * (0.7 * t + 0.05)), 0.0, math.radians(-24.0)), "XYZ")
        return Matrix.Translation(bough) @ turn.to_matrix().to_4x4()

    rigs.animate(seat, frames, position)


def _cartwheel(frames: int) -> None:
    ash = materials.wood("Ash", (0.24, 0.15, 0.08), (0.46, 0.32, 0.18))
    tyre = materials.plain("Tyre", (0.05, 0.05, 0.052), roughness=0.4, metallic=0.6)
    radius = 0.48
    spokes = [
        [((0.06 * math.cos(a), 0.0, 0.06 * math.sin(a)), 0.016), ((0.44 * math.cos(a), 0.0, 0.44 * math.sin(a)), 0.013)]
        for a in np.linspace(0.0, 2.0 * math.pi, 12, endpoint=False)
    ]
    wheel = shapes.tube("Cartwheel", ash, [*spokes, shapes.ring(0.44, thickness=0.026)], sides=8)
    shapes.tube("Cartwheel tyre", tyre, [shapes.ring(radius - 0.012, thickness=0.02)], sides=8).parent = wheel
    hub = shapes.turned(
        "Cartwheel hub",
        ash,
        foot=(0.0, 0.0, 0.0),
        profile=[(0.06, -0.1), (0.085, -0.04), (0.085, 0.04), (0.06, 0.1)],
        sides=20,
    )
    hub.rotation_euler, hub.parent = (math.pi / 2, 0.0, 0.0), wheel

    def position(t: float) -> Matrix:
        x = 2.5 - 1.4 * t
        where = Matrix.Translation((x, 2.9 + 0.2 * t, radius)) @ Matrix.Rotation(math.radians(-4.0), 4, "Z")
        return where @ Matrix.Rotation(x / radius, 4, "Y")

    rigs.animate(wheel, frames, position)
