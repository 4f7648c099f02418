"""A table with a toy train before a locked camera: the train goes round, a ball rolls, a lamp swings.

Nothing but those moves, in the image and in the world: `parallax` must refuse such a clip. Depths from 0.8 m to 4 m.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from . import light, materials, rigs, shapes

_CENTER = Vector((0.0, 0.12, 0.0))
_OVAL = (0.62, 0.34)
_TOP = 0.0
_LACQUER = {
    "red": (0.62, 0.03, 0.025),
    "blue": (0.02, 0.11, 0.36),
    "yellow": (0.80, 0.46, 0.03),
    "green": (0.03, 0.22, 0.09),
}


def build(*, frames: int, path: rigs.CameraPath | None = None) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`; see `rigs.camera`."""
    scene = rigs.begin(frames)
    lacquer = {name: materials.plain(f"Lacquer {name}", color, roughness=0.32) for name, color in _LACQUER.items()}
    _room()
    _shelf(lacquer)
    _track()
    _blocks(lacquer)
    _train(frames, lacquer)
    _ball(frames)
    _lamp(frames)
    light.sky(
        scene,
        [(0.0, (0.72, 0.70, 0.66)), (0.3, (0.60, 0.68, 0.80)), (1.0, (0.55, 0.66, 0.85))],
        clouds=None,
        strength=0.8,
    )
    light.sun(scene, turn=(52, 0, -62), energy=5.2, color=(1.0, 0.80, 0.58), size=1.5)
    scene.view_settings.exposure = 0.25
    rigs.camera(scene, frames, path or _locked, lens=28.0)
    return scene


def _locked(t: float) -> tuple[Vector, Vector]:
    return Vector((0.1, -1.3, 0.56)), Vector((0.0, 0.25, 0.2))


def _room() -> None:
    oak = materials.planks("Oak", (0.20, 0.10, 0.045), (0.36, 0.20, 0.095), width=0.16)
    wall = materials.rough("Painted wall", (0.16, 0.25, 0.24), (0.24, 0.34, 0.32), scale=1.2, bump=0.0)
    white = materials.plain("White paint", (0.74, 0.71, 0.65), roughness=0.5)
    shapes.box("Table", oak, center=(0.0, 0.25, _TOP - 0.03), size=(2.6, 1.5, 0.06), bevel=0.012)
    shapes.box("Wall", wall, center=(0.0, 1.75, 0.6), size=(7.0, 0.1, 4.0))
    shapes.box("Side wall", wall, center=(2.7, 0.5, 0.6), size=(0.1, 6.0, 4.0))
    shapes.box("Dado rail", white, center=(0.0, 1.68, 0.12), size=(7.0, 0.05, 0.09), bevel=0.015)
    shapes.box("Floor", oak, center=(0.0, 0.5, -0.95), size=(8.0, 6.0, 0.1))
    x = -2.1  # a wall with a window beside the image, for the light that comes through it
    shapes.box("Window wall", white, center=(x, 0.5, -0.1), size=(0.1, 6.0, 1.9))
    for y in (-2.2, 2.4):
        shapes.box("Window wall", white, center=(x, y, 2.0), size=(0.1, 1.6, 4.0))
    for y in (-1.4, -0.65, 0.1, 0.85, 1.6):
        shapes.box("Window bar", white, center=(x, y, 2.2), size=(0.05, 0.07, 3.0))
    for z in (1.5, 2.15, 2.8):
        shapes.box("Window bar", white, center=(x, 0.1, z), size=(0.05, 3.0, 0.07))


def _shelf(lacquer: dict[str, bpy.types.Material]) -> None:
    random = np.random.default_rng(3)
    pine = materials.wood("Pine", (0.42, 0.26, 0.12), (0.62, 0.42, 0.22))
    paper = [
        materials.rough(f"Book {i}", tuple(0.6 * c for c in color), color, scale=14.0, bump=0.0)
        for i, color in enumerate(
            ((0.45, 0.12, 0.08), (0.10, 0.22, 0.30), (0.60, 0.50, 0.32), (0.16, 0.26, 0.12), (0.32, 0.16, 0.24))
        )
    ]
    for z in (0.42, 0.92):
        shapes.box("Shelf", pine, center=(0.1, 1.56, z), size=(2.5, 0.26, 0.035), bevel=0.006)
        x = -1.05 if z < 0.5 else -0.6
        while x < (0.5 if z < 0.5 else 0.9):
            thick, tall = random.uniform(0.025, 0.06), random.uniform(0.19, 0.3)
            shapes.box(
                "Book",
                paper[random.integers(5)],
                center=(x + thick / 2, 1.55, z + 0.018 + tall / 2),
                size=(thick, 0.19, tall),
            )
            x += thick + 0.003
    clay = materials.rough("Glazed clay", (0.50, 0.42, 0.30), (0.72, 0.64, 0.50), scale=8.0, roughness=0.3, bump=0.0)
    vase = [(0.05, 0.0), (0.09, 0.07), (0.1, 0.14), (0.06, 0.22), (0.04, 0.26), (0.055, 0.29), (0.045, 0.29)]
    shapes.turned("Vase", clay, foot=(0.78, 1.55, 0.437), profile=vase)
    shapes.ball("Globe", lacquer["blue"], center=(1.1, 1.55, 0.437 + 0.16), radius=0.12)
    shapes.turned(
        "Globe foot", pine, foot=(1.1, 1.55, 0.437), profile=[(0.07, 0.0), (0.07, 0.02), (0.012, 0.04), (0.012, 0.06)]
    )


def _on_track(along: float) -> tuple[Vector, float]:
    """Place and heading about z on the oval, `along` in rounds."""
    angle = 2.0 * math.pi * along
    position = _CENTER + Vector((_OVAL[0] * math.cos(angle), _OVAL[1] * math.sin(angle), _TOP))
    return position, math.atan2(_OVAL[1] * math.cos(angle), -_OVAL[0] * math.sin(angle))


def _track() -> None:
    beech = materials.wood("Beech", (0.50, 0.33, 0.16), (0.68, 0.48, 0.27))
    steel = materials.plain("Steel", (0.55, 0.55, 0.56), roughness=0.3, metallic=0.8)
    lines = []
    for side in (-0.036, 0.036):
        line = []
        for i in range(97):
            position, heading = _on_track(i / 96)
            line.append((position + Vector((-math.sin(heading) * side, math.cos(heading) * side, 0.017)), 0.005))
        lines.append(line)
    shapes.tube("Rails", steel, lines)
    for i in range(60):
        position, heading = _on_track(i / 60)
        sleeper = shapes.box("Sleeper", beech, center=position + Vector((0.0, 0.0, 0.006)), size=(0.022, 0.11, 0.012))
        sleeper.rotation_euler = (0.0, 0.0, heading)


def _blocks(lacquer: dict[str, bpy.types.Material]) -> None:
    beech = materials.wood("Blocks", (0.55, 0.38, 0.20), (0.74, 0.55, 0.33))
    colors = [*lacquer.values(), beech]
    for i, (x, y, z, wide, tall, turn) in enumerate(
        (
            (-0.16, 0.16, 0.0, 0.11, 0.11, 8),
            (-0.02, 0.22, 0.0, 0.11, 0.11, -14),
            (-0.09, 0.19, 0.11, 0.11, 0.11, 22),
            (-0.09, 0.19, 0.22, 0.09, 0.16, -5),
            (0.13, 0.13, 0.0, 0.09, 0.09, 35),
            (0.2, 0.27, 0.0, 0.1, 0.19, 12),
            (0.86, 0.36, 0.0, 0.12, 0.12, 25),
            (0.84, 0.38, 0.12, 0.1, 0.1, -18),
            (-0.92, 0.5, 0.0, 0.13, 0.26, 15),
            (-0.62, -0.26, 0.0, 0.09, 0.09, 40),
            (-0.98, 0.28, 0.0, 0.1, 0.1, -25),
        )
    ):
        shapes.box("Block", colors[i % 5], center=(x, y, z + tall / 2), size=(wide, wide, tall), turn=turn, bevel=0.006)
    shapes.turned("Spire", lacquer["red"], foot=(-0.09, 0.19, 0.38), profile=[(0.06, 0.0), (0.002, 0.11)], sides=4)
    shapes.turned("Spire", lacquer["blue"], foot=(-0.92, 0.5, 0.26), profile=[(0.085, 0.0), (0.002, 0.13)], sides=4)
    for x, y, tall in ((-0.3, 0.06, 0.17), (0.36, 0.2, 0.2), (-0.34, 0.27, 0.22), (0.02, 0.33, 0.15)):
        shapes.turned("Toy trunk", beech, foot=(x, y, 0.0), profile=[(0.013, 0.0), (0.01, 0.06)], sides=12)
        crown = [(0.055, 0.05), (0.03, 0.05 + 0.4 * tall), (0.042, 0.05 + 0.4 * tall), (0.002, 0.05 + tall)]
        shapes.turned("Toy tree", lacquer["green"], foot=(x, y, 0.0), profile=crown, sides=24)


def _train(frames: int, lacquer: dict[str, bpy.types.Material]) -> None:
    black = materials.plain("Black", (0.015, 0.015, 0.017), roughness=0.4)
    for i, color in enumerate(("red", "yellow", "blue", "green")):
        chassis = shapes.box(f"Wagon {i}", black, center=(0.0, 0.0, 0.0), size=(0.15, 0.07, 0.016), bevel=0.003)
        parts = _engine(black, lacquer) if i == 0 else _waggon(lacquer[color])
        for x in (-0.045, 0.045):
            for side in (-1, 1):
                rim = [(0.019, 0.0), (0.019, 0.008)]
                wheel = shapes.turned("Wheel", black, foot=(0.0, 0.0, 0.0), profile=rim, sides=20)
                wheel.location, wheel.rotation_euler = (x, side * 0.036 + 0.004, -0.006), (math.pi / 2, 0.0, 0.0)
                parts.append(wheel)
        for obj in parts:
            obj.parent = chassis

        def position(t: float, i: int = i) -> Matrix:
            where, heading = _on_track(0.66 + 0.34 * t - 0.055 * i)
            return Matrix.Translation(where + Vector((0.0, 0.0, 0.047))) @ Matrix.Rotation(heading, 4, "Z")

        rigs.animate(chassis, frames, position)


def _engine(black: bpy.types.Material, lacquer: dict[str, bpy.types.Material]) -> list[bpy.types.Object]:
    brass = materials.plain("Brass", (0.80, 0.52, 0.16), roughness=0.25, metallic=0.9)
    funnel, dome = [(0.01, 0.0), (0.01, 0.03), (0.017, 0.045)], [(0.014, 0.0), (0.012, 0.012), (0.003, 0.018)]
    tank = [(0.03, 0.0), (0.03, 0.1)]
    boiler = shapes.turned("Boiler", lacquer["green"], foot=(0.0, 0.0, 0.0), profile=tank, sides=28)
    boiler.location, boiler.rotation_euler = (-0.022, 0.0, 0.042), (0.0, math.pi / 2, 0.0)
    return [
        boiler,
        shapes.box("Cab", lacquer["red"], center=(-0.045, 0.0, 0.055), size=(0.05, 0.072, 0.095), bevel=0.005),
        shapes.box("Cab roof", black, center=(-0.045, 0.0, 0.106), size=(0.064, 0.086, 0.008), bevel=0.003),
        shapes.turned("Funnel", brass, foot=(0.05, 0.0, 0.07), profile=funnel, sides=16),
        shapes.turned("Dome", brass, foot=(0.01, 0.0, 0.07), profile=dome, sides=16),
    ]


def _waggon(paint: bpy.types.Material) -> list[bpy.types.Object]:
    cargo = materials.rough("Cargo", (0.30, 0.20, 0.10), (0.62, 0.46, 0.26), scale=40.0, bump=0.0)
    parts = [shapes.box("Load", cargo, center=(0.0, 0.0, 0.036), size=(0.13, 0.062, 0.05), bevel=0.02)]
    for end in (-1, 1):
        parts.append(shapes.box("Side", paint, center=(0.0, end * 0.034, 0.032), size=(0.142, 0.006, 0.05)))
        parts.append(shapes.box("End", paint, center=(end * 0.068, 0.0, 0.032), size=(0.006, 0.068, 0.05)))
    return parts


def _ball(frames: int) -> None:
    radius = 0.05
    ball = shapes.ball("Ball", materials.beach_ball("Ball"), center=(0.0, 0.0, 0.0), radius=radius)

    def position(t: float) -> Matrix:
        x = 0.62 - 0.95 * t
        where = Matrix.Translation((x, -0.44 + 0.12 * t, radius))
        return where @ Euler((0.0, 0.0, 0.1)).to_matrix().to_4x4() @ Matrix.Rotation(x / radius, 4, "Y")

    rigs.animate(ball, frames, position)


def _lamp(frames: int) -> None:
    enamel = materials.plain("Enamel", (0.62, 0.60, 0.55), roughness=0.3)
    cable = materials.plain("Cable", (0.02, 0.02, 0.02))
    hook = Vector((-0.55, 0.7, 1.75))
    lamp = shapes.turned(
        "Lamp", enamel, foot=hook, profile=[(0.19, -1.12), (0.185, -1.115), (0.06, -1.0), (0.025, -0.96)]
    )
    shapes.tube("Cable", cable, [[((0.0, 0.0, -0.97), 0.005), ((0.0, 0.0, 0.0), 0.005)]]).parent = lamp

    def position(t: float) -> Matrix:
        return Matrix.Translation(hook) @ Matrix.Rotation(0.22 * math.cos(2.0 * math.pi * (0.85 * t + 0.1)), 4, "Y")

    rigs.animate(lamp, frames, position)
