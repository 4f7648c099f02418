"""Scenes by chance, to train on: a room or a yard with things in it, people who walk, things that fly, a camera, light.

The same seed makes the same scene. Everything lies between 0.5 and 60 m from the camera, whose way is kept free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from . import light, materials, rigs, shapes, trees
from .figures import Cloth, walker
from .materials import Color

T = TypeVar("T")
_CLEAR = 1.1
"""Meters from the camera's way in which nothing stands."""
_AHEAD = 5.0
"""Meters before the camera that its way is laid out for."""


@dataclass(frozen=True, kw_only=True)
class _Chance:
    """The scene's own random numbers, and what is drawn of them more than once."""

    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[int(self.random.integers(len(choices)))]

    def color(self, *, dark: float = 0.08, light: float = 0.8) -> Color:
        """A color whose brightness is drawn evenly by ratio, and whose saturation is rarely large."""
        level = math.exp(self.between(math.log(dark), math.log(light)))
        tint = 1 + self.between(0.1, 0.75) * self.random.normal(size=3)
        red, green, blue = np.clip(level * tint, 0.01, 0.85)
        return float(red), float(green), float(blue)

    def material(self, name: str) -> bpy.types.Material:
        """A surface of any kind."""
        base = np.array(self.color())
        dark, bright = (tuple(np.clip(base * factor, 0.005, 0.9)) for factor in (self.between(0.35, 0.75), 1.2))
        kind = self.one_of(("rough", "mottled", "planks", "wood", "plain", "bricks", "cobbles"))
        scale = math.exp(self.between(math.log(1.5), math.log(18)))
        if kind == "rough":
            return materials.rough(name, dark, bright, scale=scale / 3, bump=0.0)
        if kind == "mottled":
            return materials.mottled(name, dark, bright, scale=scale)
        if kind == "planks":
            return materials.planks(name, dark, bright, width=self.between(0.08, 0.3))
        if kind == "wood":
            return materials.wood(name, dark, bright)
        if kind == "bricks":
            return materials.bricks(name, axes=self.one_of(("xz", "yz", "xy")))
        if kind == "cobbles":
            return materials.cobbles(name)
        return materials.plain(name, bright, roughness=self.between(0.2, 0.9))


def of(seed: int) -> Callable[..., bpy.types.Scene]:
    """The function that builds a seed's scene, for `clips.Shot`."""

    def build(*, frames: int) -> bpy.types.Scene:
        return _build(seed, frames)

    build.__qualname__ = f"scene_{seed}"
    return build


def _build(seed: int, frames: int) -> bpy.types.Scene:
    """Empty Blender's file and build the scene in it, animated over frames 1 to `frames`."""
    scene, chance = rigs.begin(frames), _Chance(random=np.random.default_rng((20_241, seed)))
    path = _camera_path(chance)
    way = [path(t)[0] for t in np.linspace(0, 1, 9)]
    is_room = chance.between(0, 1) < 0.45
    reach = _room(scene, chance) if is_room else _yard(scene, chance)
    for index in range(int(chance.random.integers(8, 20))):
        _thing(chance, index, way, reach)
    for _ in range(int(chance.random.integers(0, 4))):
        _person(chance, frames, way, reach)
    for index in range(int(chance.random.integers(0, 4))):
        _flyer(chance, frames, index)
    rigs.camera(scene, frames, path, lens=chance.between(18.0, 45.0))
    scene.view_settings.exposure = chance.between(-0.3, 0.6)
    return scene


def _camera_path(chance: _Chance) -> rigs.CameraPath:
    """A way of the camera: locked, along, sideways, around, up, or by hand."""
    kind = chance.one_of(("locked", "along", "sideways", "around", "up", "hand", "hand"))
    height, far = chance.between(0.7, 2.0), chance.between(0.4, 2.2)
    side, turn, phase = chance.one_of((-1.0, 1.0)), chance.between(-0.25, 0.25), chance.between(0.0, 6.0)
    start, aim = Vector((0.0, 0.0, height)), Vector((chance.between(-0.8, 0.8), _AHEAD, chance.between(0.6, 1.6)))

    def path(t: float) -> tuple[Vector, Vector]:
        if kind == "along":
            return start + Vector((0.0, far * t, 0.0)), aim + Vector((turn * t, far * t, 0.0))
        if kind == "sideways":
            return start + Vector((side * far * (t - 0.5), 0.0, 0.0)), aim + Vector((side * far * (t - 0.5), 0.0, 0.0))
        if kind == "around":
            angle = side * 0.5 * far * (t - 0.5)
            return aim + Vector((_AHEAD * math.sin(angle), -_AHEAD * math.cos(angle), height - aim.z)), aim
        if kind == "up":
            return start + Vector((0.0, 0.0, 0.5 * far * t)), aim
        if kind == "hand":
            sway = Vector((math.sin(3.1 * t + phase), 0.6 * math.sin(2.3 * t), 0.35 * math.sin(4.7 * t + phase)))
            look = Vector((0.3 * math.sin(2.1 * t + phase), 0.0, 0.15 * math.sin(3.3 * t)))
            return start + 0.35 * far * sway, aim + look + Vector((side * far * 0.4 * t, 0.0, 0.0))
        return start, aim

    return path


def _room(scene: bpy.types.Scene, chance: _Chance) -> tuple[float, float, float]:
    """Walls, floor and ceiling, open behind the camera; returns half its width, and where things stand along y."""
    half, end, tall = chance.between(2.2, 4.5), chance.between(6.0, 11.0), chance.between(2.5, 4.2)
    back = -3.0
    middle, long = (end + back) / 2, end - back
    paint = chance.material("Wall")
    shapes.box("Floor", chance.material("Floor"), center=(0, middle, -0.1), size=(2 * half, long, 0.2))
    shapes.box("Ceiling", chance.material("Ceiling"), center=(0, middle, tall + 0.1), size=(2 * half, long, 0.2))
    shapes.box("End wall", paint, center=(0, end + 0.1, tall / 2), size=(2 * half, 0.2, tall))
    for side in (-1, 1):
        shapes.box("Side wall", paint, center=(side * (half + 0.1), middle, tall / 2), size=(0.2, long, tall))
    sky = chance.color(dark=0.3, light=0.9)
    light.sky(scene, [(0.0, sky), (0.3, sky), (1.0, sky)], clouds=None, strength=chance.between(0.8, 2.0))
    for _ in range(int(chance.random.integers(1, 4))):
        at = (chance.between(-half, half) * 0.7, chance.between(0.0, end - 1.0), tall - 0.15)
        aim = (at[0] + chance.between(-1, 1), at[1] + chance.between(-1, 1), 0.0)
        warm = (1.0, chance.between(0.7, 1.0), chance.between(0.5, 1.0))
        light.panel(scene, center=at, aim=aim, size=(1.4, 0.8), energy=chance.between(60, 260), color=warm)
    return half - 0.4, 2.2, end - 0.5


def _yard(scene: bpy.types.Scene, chance: _Chance) -> tuple[float, float, float]:
    """Ground, walls and trees behind, a sky and a sun; as `_room`."""
    end = chance.between(18.0, 45.0)
    shapes.box("Ground", chance.material("Ground"), center=(0, end / 2, -0.1), size=(2 * end, end + 20, 0.2))
    for index in range(int(chance.random.integers(1, 6))):
        tall, wide = chance.between(2.0, 12.0), chance.between(3.0, 12.0)
        at = (chance.between(-0.7, 0.7) * end, chance.between(0.5, 0.95) * end, tall / 2)
        size = (wide, chance.between(2.0, 6.0), tall)
        shapes.box(f"Building {index}", chance.material("House"), center=at, size=size, turn=chance.between(-30, 30))
    leaf, bark = chance.material("Leaves"), chance.material("Bark")
    for index in range(int(chance.random.integers(0, 4))):
        habit = trees.Habit(height=chance.between(1.2, 3.0), radius=0.12, levels=2, branches=4, spread=48.0)
        foot = (chance.one_of((-1, 1)) * chance.between(2.5, 9.0), chance.between(4.0, 16.0), 0.0)
        trees.tree(
            f"Tree {index}", bark, foot=foot, habit=habit, random=chance.random, leaf=leaf, leaf_size=0.22, leaves=14
        )
    horizon, zenith = chance.color(dark=0.4, light=0.95), chance.color(dark=0.15, light=0.7)
    clouds = (0.5, 0.75) if chance.between(0, 1) < 0.6 else None
    light.sky(scene, [(0.0, horizon), (0.3, zenith), (1.0, zenith)], clouds=clouds, strength=chance.between(0.5, 1.1))
    turn = (chance.between(20, 70), 0.0, chance.between(-180, 180))
    tone = (1.0, chance.between(0.75, 1.0), chance.between(0.55, 1.0))
    light.sun(scene, turn=turn, energy=chance.between(1.0, 6.0), color=tone, size=chance.between(0.5, 6.0))
    return 6.0, 2.2, 14.0


def _place(chance: _Chance, way: list[Vector], reach: tuple[float, float, float], radius: float) -> Vector | None:
    """A place on the ground that leaves the camera's way free; None where none was found."""
    half, near, far = reach
    for _ in range(20):
        at = Vector((chance.between(-half, half), near + (far - near) * chance.between(0, 1) ** 1.4, 0.0))
        if all((at - Vector((point.x, point.y, 0.0))).length > _CLEAR + radius for point in way):
            return at
    return None


def _thing(chance: _Chance, index: int, way: list[Vector], reach: tuple[float, float, float]) -> None:
    """Something that stands: a box or several, a turned solid, a ball, bars, or an arch."""
    radius = math.exp(chance.between(math.log(0.12), math.log(0.7)))
    at = _place(chance, way, reach, radius)
    if at is None:
        return
    name, surface = f"Thing {index}", chance.material(f"Surface {index}")
    kind = chance.one_of(("box", "stack", "turned", "turned", "ball", "bars", "slab"))
    if kind == "ball":
        shapes.ball(name, surface, center=at + Vector((0, 0, radius)), radius=radius)
    elif kind == "turned":
        tall, rings = radius * chance.between(1.0, 5.0), int(chance.random.integers(3, 8))
        profile = [(radius * chance.between(0.3, 1.0), tall * ring / (rings - 1)) for ring in range(rings)]
        shapes.turned(name, surface, foot=at, profile=profile, sides=int(chance.one_of((4, 6, 12, 28))))
    elif kind == "bars":
        lines = []
        for bar in np.linspace(-radius, radius, int(chance.random.integers(3, 9))):
            foot = at + Vector((float(bar), 0.0, 0.0))
            lines.append([(foot, 0.02), (foot + Vector((0, 0, 2.2 * radius)), 0.02)])
        shapes.tube(name, surface, lines)
    elif kind == "slab":
        size = (2 * radius, 0.08, chance.between(0.6, 2.2))
        shapes.box(name, surface, center=at + Vector((0, 0, size[2] / 2)), size=size, turn=chance.between(0, 180))
    else:
        bottom = 0.0
        for _ in range(int(chance.random.integers(2, 5)) if kind == "stack" else 1):
            size = [radius * chance.between(0.6, 1.4) for _ in range(3)]
            middle = at + Vector((0.0, 0.0, bottom + size[2] / 2))
            shapes.box(name, surface, center=middle, size=size, turn=chance.between(0, 90), bevel=0.02 * radius)
            bottom += size[2]


def _person(chance: _Chance, frames: int, way: list[Vector], reach: tuple[float, float, float]) -> None:
    """Someone who walks straight on, or stands still for want of room."""
    at = _place(chance, way, reach, 0.5)
    if at is None:
        return
    heading = chance.between(-math.pi, math.pi)
    walked = chance.between(0.5, 3.0)
    step = Vector((-math.sin(heading), math.cos(heading), 0.0))
    half, near, far = reach
    end = at + walked * step
    if abs(end.x) > half or not near - 1.0 < end.y < far or any((end - Vector((p.x, p.y, 0))).length < 1 for p in way):
        walked = 0.01
    cloth = Cloth(
        coat=chance.material("Coat"),
        legs=chance.material("Trousers"),
        skin=materials.plain("Skin", chance.one_of(((0.52, 0.30, 0.21), (0.24, 0.12, 0.07), (0.66, 0.44, 0.33)))),
        hat=chance.material("Hat"),
    )
    walker(cloth, frames, lambda t: (at + walked * t * step, heading), height=chance.between(1.2, 1.95), walked=walked)


def _flyer(chance: _Chance, frames: int, index: int) -> None:
    """Something that flies across the view and turns as it does."""
    size, surface = chance.between(0.06, 0.3), chance.material(f"Flyer {index}")
    name = f"Flyer {index}"
    if chance.between(0, 1) < 0.5:
        body = shapes.ball(name, surface, center=(0, 0, 0), radius=size)
    else:
        body = shapes.box(name, surface, center=(0, 0, 0), size=(2 * size, 1.4 * size, size), bevel=0.1 * size)
    start = Vector((chance.between(-2, 2), chance.between(2.0, 7.0), chance.between(0.4, 2.2)))
    flight = Vector((chance.between(-2.5, 2.5), chance.between(-0.8, 1.5), 0.0))
    rise, spin = chance.between(0.0, 0.8), [chance.between(-5, 5) for _ in range(3)]

    def position(t: float) -> Matrix:
        at = start + flight * t + Vector((0.0, 0.0, 4.0 * rise * t * (1.0 - t)))
        return Matrix.Translation(at) @ Euler([angle * t for angle in spin]).to_matrix().to_4x4()

    rigs.animate(body, frames, position)
