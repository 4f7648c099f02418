"""The demo scene's materials: procedural, so that the repository carries no images.

Every surface has detail from several octaves of noise: stereo matching needs something to see everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Nodes:
    """A material under construction: its node tree and the few steps that all materials share."""

    material: bpy.types.Material

    def add(self, kind: str, **settings: Any) -> bpy.types.Node:
        """Add a node of class ``ShaderNode<kind>``; keywords are its properties, or values of inputs of that name."""
        node = self.material.node_tree.nodes.new(f"ShaderNode{kind}")
        for name, value in settings.items():
            if hasattr(node, name):
                setattr(node, name, value)
            else:
                node.inputs[name.replace("_", " ")].default_value = value
        return node

    def link(self, source: bpy.types.NodeSocket, target: bpy.types.NodeSocket) -> None:
        """Connect two sockets."""
        self.material.node_tree.links.new(source, target)

    def noise(self, scale: float, *, detail: float = 3.0) -> bpy.types.NodeSocket:
        """Noise in 0..1 over object space, which is meters here since no object is scaled."""
        coordinates = self.add("TexCoord")
        node = self.add("TexNoise", Scale=scale, Detail=detail, Roughness=0.62)
        self.link(coordinates.outputs["Object"], node.inputs["Vector"])
        return node.outputs["Fac"]

    def ramp(self, factor: bpy.types.NodeSocket, stops: list[tuple[float, Color]]) -> bpy.types.NodeSocket:
        """Colors along a factor."""
        node = self.add("ValToRGB")
        elements = node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, color) in zip(elements, stops, strict=True):
            element.position, element.color = position, (*color, 1.0)
        self.link(factor, node.inputs["Fac"])
        return node.outputs["Color"]

    def blend(
        self, first: bpy.types.NodeSocket, second: bpy.types.NodeSocket, *, mode: str, amount: float
    ) -> bpy.types.NodeSocket:
        """Mix two colors."""
        node = self.add("Mix", data_type="RGBA", blend_type=mode)
        node.inputs["Factor"].default_value = amount
        a, b = (socket for socket in node.inputs if socket.type == "RGBA")
        self.link(first, a)
        self.link(second, b)
        return next(socket for socket in node.outputs if socket.type == "RGBA")

    def finish(
        self,
        color: bpy.types.NodeSocket,
        *,
        height: bpy.types.NodeSocket | None = None,
        bump: float = 0.0,
        **surface: Any,
    ) -> bpy.types.Material:
        """Connect a color, and a height as bump, to the material's surface."""
        principled = self.material.node_tree.nodes["Principled BSDF"]
        for name, value in surface.items():
            principled.inputs[name.replace("_", " ")].default_value = value
        self.link(color, principled.inputs["Base Color"])
        if height is not None:
            node = self.add("Bump", Strength=0.7, Distance=bump)
            self.link(height, node.inputs["Height"])
            self.link(node.outputs["Normal"], principled.inputs["Normal"])
        return self.material


def _begin(name: str) -> Nodes:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    return Nodes(material)


def rough(
    name: str, dark: Color, light: Color, *, scale: float = 3.0, roughness: float = 0.8, bump: float = 0.02
) -> bpy.types.Material:
    """A mottled surface between two colors: plaster, stone, clay, painted wood."""
    nodes = _begin(name)
    broad = nodes.ramp(nodes.noise(scale), [(0.3, dark), (0.68, light)])
    fine = nodes.ramp(nodes.noise(scale * 11.0), [(0.3, (0.45, 0.45, 0.45)), (0.7, (1.0, 1.0, 1.0))])
    color = nodes.blend(broad, fine, mode="MULTIPLY", amount=0.75)
    height = nodes.noise(scale * 11.0, detail=1.0) if bump else None
    return nodes.finish(color, height=height, bump=bump, Roughness=roughness)


def cobbles(name: str) -> bpy.types.Material:
    """A pavement of irregular stones, each with a shade of its own, with moss in the joints."""
    nodes = _begin(name)
    coordinates = nodes.add("TexCoord")
    cells = nodes.add("TexVoronoi", feature="F1", Scale=3.6, Randomness=0.85)
    joints = nodes.add("TexVoronoi", feature="DISTANCE_TO_EDGE", Scale=3.6, Randomness=0.85)
    for node in (cells, joints):
        nodes.link(coordinates.outputs["Object"], node.inputs["Vector"])
    shade = nodes.add("SeparateColor")
    nodes.link(cells.outputs["Color"], shade.inputs["Color"])
    stone = nodes.ramp(
        shade.outputs["Red"], [(0.0, (0.13, 0.11, 0.10)), (0.5, (0.30, 0.26, 0.22)), (1.0, (0.46, 0.42, 0.37))]
    )
    grain = nodes.ramp(nodes.noise(26.0), [(0.3, (0.5, 0.5, 0.5)), (0.7, (1.0, 1.0, 1.0))])
    stone = nodes.blend(stone, grain, mode="MULTIPLY", amount=0.8)
    joint = nodes.ramp(joints.outputs["Distance"], [(0.02, (0.10, 0.12, 0.06)), (0.07, (1.0, 1.0, 1.0))])
    relief = nodes.ramp(joints.outputs["Distance"], [(0.0, (0.0, 0.0, 0.0)), (0.14, (1.0, 1.0, 1.0))])
    color = nodes.blend(stone, joint, mode="MULTIPLY", amount=1.0)
    return nodes.finish(color, height=relief, bump=0.05, Roughness=0.62)


def bricks(name: str, *, axes: str) -> bpy.types.Material:
    """Brickwork on a wall that runs along two axes of object space, such as 'yz'."""
    nodes = _begin(name)
    coordinates, split, join = nodes.add("TexCoord"), nodes.add("SeparateXYZ"), nodes.add("CombineXYZ")
    nodes.link(coordinates.outputs["Object"], split.inputs["Vector"])
    for target, axis in zip("XY", axes.upper(), strict=True):
        nodes.link(split.outputs[axis], join.inputs[target])
    brick = nodes.add("TexBrick", Scale=2.6, Bias=-0.1)
    brick.inputs["Color1"].default_value = (0.42, 0.15, 0.09, 1.0)
    brick.inputs["Color2"].default_value = (0.22, 0.085, 0.06, 1.0)
    brick.inputs["Mortar"].default_value = (0.42, 0.38, 0.33, 1.0)
    nodes.link(join.outputs["Vector"], brick.inputs["Vector"])
    stains = nodes.ramp(nodes.noise(1.3), [(0.28, (0.35, 0.33, 0.30)), (0.62, (1.0, 1.0, 1.0))])
    grain = nodes.ramp(nodes.noise(22.0), [(0.3, (0.55, 0.55, 0.55)), (0.7, (1.0, 1.0, 1.0))])
    color = nodes.blend(brick.outputs["Color"], stains, mode="MULTIPLY", amount=0.8)
    color = nodes.blend(color, grain, mode="MULTIPLY", amount=0.8)
    return nodes.finish(color, height=brick.outputs["Fac"], bump=-0.02, Roughness=0.85)


def wood(name: str, dark: Color, light: Color) -> bpy.types.Material:
    """Planks with grain along the object's z axis."""
    nodes = _begin(name)
    coordinates = nodes.add("TexCoord")
    stretch = nodes.add("Mapping", Scale=(9.0, 9.0, 0.9))
    noise = nodes.add("TexNoise", Scale=2.2, Detail=3.0, Distortion=1.2)
    nodes.link(coordinates.outputs["Object"], stretch.inputs["Vector"])
    nodes.link(stretch.outputs["Vector"], noise.inputs["Vector"])
    grain = nodes.ramp(noise.outputs["Fac"], [(0.34, dark), (0.62, light)])
    dirt = nodes.ramp(nodes.noise(5.0), [(0.3, (0.5, 0.48, 0.45)), (0.6, (1.0, 1.0, 1.0))])
    color = nodes.blend(grain, dirt, mode="MULTIPLY", amount=0.7)
    return nodes.finish(color, height=noise.outputs["Fac"], bump=0.015, Roughness=0.65)


def beach_ball(name: str) -> bpy.types.Material:
    """Six colored panels round the object's z axis, scuffed, so that its rolling is visible."""
    nodes = _begin(name)
    coordinates = nodes.add("TexCoord")
    gradient = nodes.add("TexGradient", gradient_type="RADIAL")
    nodes.link(coordinates.outputs["Object"], gradient.inputs["Vector"])
    white, red, blue = (0.82, 0.80, 0.75), (0.75, 0.06, 0.04), (0.04, 0.16, 0.55)
    stops = [(0.0, red), (1 / 6, white), (2 / 6, blue), (3 / 6, white), (4 / 6, red), (5 / 6, blue)]
    panels = nodes.ramp(gradient.outputs["Fac"], stops)
    panels.node.color_ramp.interpolation = "CONSTANT"
    scuffs = nodes.ramp(nodes.noise(9.0), [(0.3, (0.55, 0.55, 0.55)), (0.6, (1.0, 1.0, 1.0))])
    return nodes.finish(nodes.blend(panels, scuffs, mode="MULTIPLY", amount=0.8), Roughness=0.4)


def plain(name: str, color: Color, *, roughness: float = 0.6, metallic: float = 0.0) -> bpy.types.Material:
    """One color with no detail at all: lacquer, whitewash, metal."""
    nodes = _begin(name)
    principled = nodes.material.node_tree.nodes["Principled BSDF"]
    principled.inputs["Base Color"].default_value = (*color, 1.0)
    principled.inputs["Roughness"].default_value, principled.inputs["Metallic"].default_value = roughness, metallic
    return nodes.material


def mottled(
    name: str, dark: Color, light: Color, *, scale: float, stretch: Color = (1.0, 1.0, 1.0), roughness: float = 0.8
) -> bpy.types.Material:
    """Two colors by one noise, which `stretch` compresses along the object's axes: grass, bark, cloth, gravel."""
    nodes = _begin(name)
    coordinates, mapping = nodes.add("TexCoord"), nodes.add("Mapping", Scale=stretch)
    noise = nodes.add("TexNoise", Scale=scale, Detail=4.0, Roughness=0.7)
    nodes.link(coordinates.outputs["Object"], mapping.inputs["Vector"])
    nodes.link(mapping.outputs["Vector"], noise.inputs["Vector"])
    return nodes.finish(nodes.ramp(noise.outputs["Fac"], [(0.36, dark), (0.64, light)]), Roughness=roughness)


def planks(name: str, dark: Color, light: Color, *, width: float, gap: float = 0.03) -> bpy.types.Material:
    """Boards side by side along the object's x axis, each of its own shade, on a level top."""
    nodes = _begin(name)
    coordinates = nodes.add("TexCoord")
    boards = nodes.add("TexBrick", Scale=1.0, offset=0.37)
    for socket, value in (("Mortar Size", gap * width), ("Brick Width", 14.0 * width), ("Row Height", width)):
        boards.inputs[socket].default_value = value
    boards.inputs["Color1"].default_value, boards.inputs["Color2"].default_value = (*dark, 1.0), (*light, 1.0)
    boards.inputs["Mortar"].default_value = (*(0.25 * value for value in dark), 1.0)
    nodes.link(coordinates.outputs["Object"], boards.inputs["Vector"])
    stretch, noise = nodes.add("Mapping", Scale=(1.0, 14.0, 14.0)), nodes.add("TexNoise", Scale=2.5, Detail=4.0)
    nodes.link(coordinates.outputs["Object"], stretch.inputs["Vector"])
    nodes.link(stretch.outputs["Vector"], noise.inputs["Vector"])
    grain = nodes.ramp(noise.outputs["Fac"], [(0.3, (0.5, 0.47, 0.44)), (0.62, (1.0, 1.0, 1.0))])
    return nodes.finish(nodes.blend(boards.outputs["Color"], grain, mode="MULTIPLY", amount=0.8), Roughness=0.5)
