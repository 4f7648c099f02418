"""*Light It*: a lamp that gives fog its shape, in place of the even light that it has by itself."""

from __future__ import annotations

import math

import bpy
from mathutils import Vector

from . import fog_look, lookup, nodes, tags

LEFT_AMBIENT = 0.35
"""Share of the fog's own light that stays: without any, fog in shadow is black, which no air is."""

_AMBIENT = "fathom_ambient"
"""Custom property of a lamp: the share that the fog had before."""
_WAY = Vector((0.4, -0.9, -0.15))
"""Where the light goes: to the right, down and a little ahead, in the camera's axes with up the world's."""
_KIND = "fog light"
_MOST = 0.95
"""Anisotropy at most, as the look's input has it: at 1 all light goes one way."""


def light_of(fog: bpy.types.Object) -> bpy.types.Object | None:
    """The lamp that `add_light` gave a fog, or None."""
    where = {"image": fog.get(tags.DEPTH), "shot": fog.get(tags.SHOT), "form": "LIGHT"}
    lamps = lookup.tagged(_KIND, **where)
    scenes = lookup.scenes_of(fog)
    return next((lamp for lamp in lamps if any(lookup.is_in(lamp, scene) for scene in scenes)), None)


def add_light(fog: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Object:
    """Light a fog by a sun, or bring that back to what suits the fog as it is now.

    The sun comes in from the upper left over the camera, so that it enters the side of the frustum, which the depth
    mesh does not close, and what stands in its way throws shafts of shadow. It is as bright as gives fog that lies in
    it the *Brightness* that the fog has by itself: with the phase function p of Henyey and Greenstein, a sun of
    strength E gives the radiance p E (1 - T) by single scattering. *Ambient* goes down to `LEFT_AMBIENT`.

    Problem where the fog has a material of the artist's own.
    """
    look = fog_look.require_look(fog)
    lamp = light_of(fog)
    if lamp is None:
        name = f"{fog.name} Light"
        data = bpy.data.lights.new(name, "SUN")
        lamp = bpy.data.objects.new(name, data)
        lookup.tag(lamp, _KIND, image=fog.get(tags.DEPTH), shot=fog.get(tags.SHOT))
        lamp[_AMBIENT] = [nodes.input_of(look, "Ambient").default_value]
        lookup.link_beside(lamp, fog, [scene])
    scene.view_layers[0].update()
    eye = fog.parent.matrix_world if fog.parent is not None else fog.matrix_world
    ahead = eye.to_3x3() @ Vector((0.0, 0.0, -1.0))
    level = Vector((ahead.x, ahead.y, 0.0))
    level = level.normalized() if level.length > 0.1 * ahead.length else Vector((0.0, 1.0, 0.0))
    across = level.cross(Vector((0.0, 0.0, 1.0)))
    way = (across * _WAY.x + Vector((0.0, 0.0, _WAY.y)) - level * _WAY.z).normalized()
    lamp.location = eye.translation - way * 3.0 * sum(fog.matrix_world.to_scale()) / 3.0
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = way.to_track_quat("-Z", "Y")
    lamp.data.angle = math.radians(1.0)
    lamp.data.color = (1.0, 0.95, 0.88)
    fit_strength(fog)
    fog_look.set_look(look, {"Ambient": LEFT_AMBIENT})
    return lamp


def fit_strength(fog: bpy.types.Object) -> None:
    """Give the lamp of a fog, where there is one, the strength that suits its look; see `add_light`."""
    lamp, look = light_of(fog), fog_look.look_of(fog)
    if lamp is None or look is None:
        return
    eye = fog.parent.matrix_world if fog.parent is not None else fog.matrix_world
    back = (eye.to_3x3() @ Vector((0.0, 0.0, 1.0))).normalized()
    way = lamp.rotation_quaternion @ Vector((0.0, 0.0, -1.0))
    bright, anisotropy = (nodes.input_of(look, name).default_value for name in ("Brightness", "Anisotropy"))
    lamp.data.energy = bright / phase(back.dot(way), min(max(anisotropy, -_MOST), _MOST))


def remove_light(fog: bpy.types.Object) -> None:
    """Remove the lamp, and give the fog the light of its own back that it had before; nothing where there is none."""
    lamp, look = light_of(fog), fog_look.look_of(fog)
    if lamp is None:
        return
    (before,) = tags.numbers(lamp, _AMBIENT, 1) or (1.0,)
    data = lamp.data
    bpy.data.objects.remove(lamp)
    if not data.users:
        bpy.data.lights.remove(data)
    if look is not None:
        fog_look.set_look(look, {"Ambient": before})


def phase(cosine: float, anisotropy: float) -> float:
    """The phase function of Henyey and Greenstein, per steradian, at the cosine of the angle that light is turned by.

    >>> round(phase(0.3, 0.0) * 4 * math.pi, 6)
    1.0
    """
    g = anisotropy
    return (1.0 - g * g) / (4.0 * math.pi * (1.0 + g * g - 2.0 * g * cosine) ** 1.5)
