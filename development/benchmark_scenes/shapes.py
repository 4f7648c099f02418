"""The shapes that the demo scene is put together from: meshes from numbers, placed and colored in one call."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import bmesh
import bpy
import numpy as np
from mathutils import Matrix, Vector

Point = Sequence[float]


def from_bmesh(name: str, mesh: bmesh.types.BMesh, material: bpy.types.Material, *, smooth: bool) -> bpy.types.Object:
    """Make an object of a bmesh, which is freed, and put it into the scene."""
    data = bpy.data.meshes.new(name)
    mesh.to_mesh(data)
    mesh.free()
    data.materials.append(material)
    data.polygons.foreach_set("use_smooth", [smooth] * len(data.polygons))
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def box(
    name: str,
    material: bpy.types.Material,
    *,
    center: Point,
    size: Point,
    turn: float = 0.0,
    bevel: float = 0.0,
) -> bpy.types.Object:
    """A box with its edges bevelled, turned about z by degrees."""
    mesh = bmesh.new()
    bmesh.ops.create_cube(mesh, size=1.0, matrix=Matrix.Diagonal((*size, 1.0)))
    if bevel:
        bmesh.ops.bevel(mesh, geom=mesh.edges[:], offset=bevel, segments=2, affect="EDGES")
    obj = from_bmesh(name, mesh, material, smooth=False)
    obj.location, obj.rotation_euler = center, (0.0, 0.0, math.radians(turn))
    return obj


def turned(
    name: str, material: bpy.types.Material, *, foot: Point, profile: Sequence[tuple[float, float]], sides: int = 40
) -> bpy.types.Object:
    """A solid of revolution about z: (radius, height) from the bottom up, standing on `foot`."""
    mesh = bmesh.new()
    angles = np.linspace(0.0, 2.0 * math.pi, sides, endpoint=False)
    rings = [[mesh.verts.new((r * math.cos(a), r * math.sin(a), z)) for a in angles] for r, z in profile]
    for low, high in itertools.pairwise(rings):
        for i in range(sides):
            j = (i + 1) % sides
            mesh.faces.new((low[i], low[j], high[j], high[i]))
    mesh.faces.new(rings[0][::-1])
    mesh.faces.new(rings[-1])
    obj = from_bmesh(name, mesh, material, smooth=True)
    obj.data.set_sharp_from_angle(angle=math.radians(40))
    obj.location = foot
    return obj


def ball(
    name: str, material: bpy.types.Material, *, center: Point, radius: float, subdivisions: int = 4
) -> bpy.types.Object:
    """A sphere."""
    mesh = bmesh.new()
    bmesh.ops.create_icosphere(mesh, subdivisions=subdivisions, radius=radius)
    obj = from_bmesh(name, mesh, material, smooth=True)
    obj.location = center
    return obj


def arch_wall(
    name: str,
    material: bpy.types.Material,
    *,
    y: float,
    half_width: float,
    height: float,
    opening: float,
    spring: float,
    thickness: float,
) -> bpy.types.Object:
    """A wall across the view with a round-arched opening of radius `opening` that springs at height `spring`."""
    angles = np.linspace(0.0, math.pi, 25)
    inner = [
        (opening, 0.0),
        *((opening * math.cos(a), spring + opening * math.sin(a)) for a in angles),
        (-opening, 0.0),
    ]
    outer = [(half_width, 0.0), *((half_width * math.cos(a), height) for a in angles), (-half_width, 0.0)]
    outer[1], outer[-2] = (half_width, height), (-half_width, height)
    mesh = bmesh.new()
    rows = [
        [mesh.verts.new((x, depth, z)) for x, z in line]
        for depth in (-thickness / 2, thickness / 2)
        for line in (inner, outer)
    ]
    near_inner, near_outer, far_inner, far_outer = rows
    for a, b in ((near_inner, near_outer), (near_outer, far_outer), (far_outer, far_inner), (far_inner, near_inner)):
        for i in range(len(a) - 1):
            mesh.faces.new((a[i], a[i + 1], b[i + 1], b[i]))
    bmesh.ops.recalc_face_normals(mesh, faces=mesh.faces[:])
    obj = from_bmesh(name, mesh, material, smooth=False)
    obj.location = (0.0, y, 0.0)
    return obj


def leaves(
    name: str, material: bpy.types.Material, *, centers: np.ndarray, size: float, random: np.random.Generator
) -> bpy.types.Object:
    """One quadrilateral leaf at each of the centers [N, 3], each turned at random."""
    mesh = bmesh.new()
    for center in centers:
        length = size * random.uniform(0.7, 1.3)
        across = Vector(random.normal(size=3)).normalized()
        along = Vector(random.normal(size=3)).cross(across).normalized()
        middle = Vector(center)
        corners = (middle, middle + length * (along * 0.5 + across * 0.28), middle + length * along)
        last = middle + length * (along * 0.5 - across * 0.28)
        mesh.faces.new([mesh.verts.new(corner) for corner in (*corners, last)])
    return from_bmesh(name, mesh, material, smooth=False)


def hills(
    name: str, material: bpy.types.Material, *, y: tuple[float, float], half_width: float, height: float
) -> bpy.types.Object:
    """Rolling ground that rises towards the horizon."""
    mesh = bmesh.new()
    columns, rows = 60, 40
    grid = []
    for v in np.linspace(0.0, 1.0, rows):
        for u in np.linspace(-1.0, 1.0, columns):
            rise = height * v**1.5 * (0.7 + 0.3 * math.sin(5.0 * u + 1.0) + 0.16 * math.sin(13.0 * u + 5.0 * v))
            grid.append(mesh.verts.new((u * half_width, y[0] + v * (y[1] - y[0]), rise - 0.05)))
    for r in range(rows - 1):
        for c in range(columns - 1):
            i = r * columns + c
            mesh.faces.new((grid[i], grid[i + 1], grid[i + columns + 1], grid[i + columns]))
    return from_bmesh(name, mesh, material, smooth=True)


def tube(
    name: str,
    material: bpy.types.Material,
    lines: Sequence[Sequence[tuple[Point, float]]],
    *,
    sides: int = 6,
) -> bpy.types.Object:
    """Round bars along lines of (point, radius), all in one mesh: wires, rails, branches."""
    mesh = bmesh.new()
    for line in lines:
        points = [Vector(point) for point, _ in line]
        rings = []
        across = None
        for i, (_, radius) in enumerate(line):
            along = (points[min(i + 1, len(points) - 1)] - points[max(i - 1, 0)]).normalized()
            side = along.orthogonal() if across is None else across - along * across.dot(along)
            across = side.normalized()
            other = along.cross(across)
            turns = (2.0 * math.pi * k / sides for k in range(sides))
            outline = [points[i] + radius * (math.cos(a) * across + math.sin(a) * other) for a in turns]
            rings.append([mesh.verts.new(point) for point in outline])
        for low, high in itertools.pairwise(rings):
            for k in range(sides):
                mesh.faces.new((low[k], low[(k + 1) % sides], high[(k + 1) % sides], high[k]))
        mesh.faces.new(rings[0][::-1])
        mesh.faces.new(rings[-1])
    return from_bmesh(name, mesh, material, smooth=True)


def ring(radius: float, *, thickness: float, steps: int = 40) -> list[tuple[Vector, float]]:
    """A closed hoop about y for `tube`, round the origin."""
    angles = np.linspace(0.0, 2.0 * math.pi, steps + 1)
    return [(Vector((radius * math.cos(a), 0.0, radius * math.sin(a))), thickness) for a in angles]
