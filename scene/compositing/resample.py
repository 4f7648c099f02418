"""Bringing a map to the plate's size inside the compositor, exactly.

Blender's Scale node will not do: it puts samples up to half a pixel of the *input* beside where they belong (always up
to 4.2, where width or height differ in parity from 4.5 on), and fades the outermost pixels to nothing. With depth at
half the plate's size that is a whole pixel of the plate, a halo along every edge. So the map is looked up with Map UV
at the coordinates of the plate's pixels. The lookup is bilinear, in disparity: a plane in space is linear in disparity
over the image, so slopes come out exactly; between two surfaces an edge is one pixel of the map wide.
"""

from __future__ import annotations

from functools import partial

import bpy
import numpy as np

from .. import nodes, tags
from ..geometry import combine, split
from . import compositor_nodes

Socket = bpy.types.NodeSocket

_HAIR = 1e-5
"""Share of a map's pixel: more than coordinates are rounded by, too little to be seen."""


def to_plate_size(
    tree: bpy.types.NodeTree, maps: list[Socket], *, map_size: tuple[int, int], plate_size: tuple[int, int]
) -> list[Socket]:
    """Bring maps to the plate's size, bilinearly, the outermost pixels extended; sizes are (width, height).

    `maps` are color outputs with the map in red. Returns value outputs; where both sizes agree they are the maps
    unchanged.
    """
    if map_size == plate_size:
        return [_red(tree, socket) for socket in maps]
    centers = _pixel_centers(tree, plate_size)  # of Map UV's vectors; their third part is the alpha
    if compositor_nodes.has_bilinear_map_uv():
        uv = combine(tree, *map(partial(_normalized, tree), centers, map_size, plate_size), 1.0)
        return [_red(tree, compositor_nodes.map_uv(tree, socket, uv, bilinear=True)) for socket in maps]
    # Map UV of 4.x knows Nearest, and an anisotropic filter that blurs: bilinear is made of four Nearest lookups.
    (u, fx), (v, fy) = (
        _neighbors(tree, c, size, plate) for c, size, plate in zip(centers, map_size, plate_size, strict=True)
    )
    corners = [[combine(tree, u[i], v[j], 1.0) for i in (0, 1)] for j in (0, 1)]
    results = []
    for socket in maps:
        rows = [
            _blend(
                tree, *(_red(tree, compositor_nodes.map_uv(tree, socket, corner, bilinear=False)) for corner in row), fx
            )
            for row in corners
        ]
        results.append(_blend(tree, *rows, fy))
    return results


def _normalized(tree: bpy.types.NodeTree, center: Socket, size: int, plate: int) -> Socket:
    """Along one axis: where Map UV looks a plate pixel up, not before the middle of the map's first pixel.

    Whatever lies before it has the first pixel's value. Where rounding puts a coordinate a hair before it, Blender 5.2
    takes the second pixel's instead.
    """
    first = (0.5 + _HAIR) / size
    return nodes.math(tree, "MAXIMUM", nodes.math(tree, "DIVIDE", center, float(plate)), first)


def _neighbors(tree: bpy.types.NodeTree, center: Socket, size: int, plate: int) -> tuple[tuple[Socket, Socket], Socket]:
    """Along one axis: the normalized centers of the two map pixels around a plate pixel's, and the second's weight."""
    position = nodes.math(tree, "MULTIPLY_ADD", center, size / plate, -0.5)
    first = nodes.math(tree, "FLOOR", position)
    weight = nodes.math(tree, "SUBTRACT", position, first)
    both = []
    for step in (0.0, 1.0):
        index = nodes.math(tree, "ADD", first, step)
        index = nodes.math(tree, "MINIMUM", nodes.math(tree, "MAXIMUM", index, 0.0), size - 1.0)
        both.append(nodes.math(tree, "DIVIDE", nodes.math(tree, "ADD", index, 0.5), float(size)))
    return (both[0], both[1]), weight


def _pixel_centers(tree: bpy.types.NodeTree, size: tuple[int, int]) -> tuple[Socket, Socket]:
    """Images of the given size that hold each pixel's x + 0.5 and y + 0.5, counted from the bottom left."""
    if compositor_nodes.has_image_coordinates():
        # A generated image is no more than its size in the .blend file.
        image = _shared_image(f"{size[0]}x{size[1]}", *size)
        node = nodes.new(tree, "CompositorNodeImage", image=image, label="Size of the plate")
        of_image = {"Image": nodes.output_of(node, "Image")}
        place = nodes.value(tree, "CompositorNodeImageCoordinates", "Normalized", of_image)
        x, y = (nodes.math(tree, "MULTIPLY", part, float(n)) for part, n in zip(split(tree, place), size))
        return x, y
    return _ramp(tree, size, axis=0), _ramp(tree, size, axis=1)


def _ramp(tree: bpy.types.NodeTree, size: tuple[int, int], *, axis: int) -> Socket:
    """Pixel centers along one axis for 4.2, which has no coordinates: a narrow strip that counts, stretched.

    The strip counts in two bytes, red x 256 + green. Along itself it keeps its size, across it is stretched, which
    fades color and alpha alike towards the end; their quotient does not fade. It is one pixel wide, two where the
    plate's side is even: stretching odd to even leaves a line of 4.2's result unwritten.
    """
    width = 2 - size[1 - axis] % 2
    shape = (size[0], width) if axis == 0 else (width, size[1])
    count = np.indices(shape[::-1])[1 - axis]
    pixels = np.zeros((*shape[::-1], 4), np.float32)
    pixels[..., 0], pixels[..., 1], pixels[..., 3] = count // 256 / 255.0, count % 256 / 255.0, 1.0
    strip = nodes.new(
        tree, "CompositorNodeImage", image=_shared_image(f"{shape[0]}x{shape[1]} count", *shape, pixels), label="Count"
    )
    stretch = nodes.new(tree, "CompositorNodeScale")
    nodes.set_option(stretch, "space", "ABSOLUTE")
    nodes.input_of(stretch, "X").default_value, nodes.input_of(stretch, "Y").default_value = size
    nodes.feed(nodes.input_of(stretch, "Image"), nodes.output_of(strip, "Image"))
    parts = compositor_nodes.channel(tree, nodes.output_of(stretch, "Image"), "Red").node
    bytes_ = nodes.math(tree, "MULTIPLY_ADD", nodes.output_of(parts, "Red"), 256.0, nodes.output_of(parts, "Green"))
    number = nodes.math(tree, "MULTIPLY", nodes.math(tree, "DIVIDE", bytes_, nodes.output_of(parts, "Alpha")), 255.0)
    return nodes.math(tree, "ADD", nodes.math(tree, "ROUND", number), 0.5)


def _shared_image(what: str, width: int, height: int, pixels: np.ndarray | None = None) -> bpy.types.Image:
    """A small helper image, made once a file."""
    name = f"Fathom {what}"
    for image in tags.images("helper"):
        if image.name == name and tuple(image.size) == (width, height):
            return image
    image = bpy.data.images.new(name, width, height, alpha=True, is_data=True)
    image.colorspace_settings.name = "Non-Color"
    if pixels is not None:
        image.pixels.foreach_set(pixels.ravel())
        image.pack()
    return tags.tag(image, "helper")


def _blend(tree: bpy.types.NodeTree, a: Socket, b: Socket, weight: Socket) -> Socket:
    """Blend from a to b: a + (b - a) weight."""
    return nodes.math(tree, "MULTIPLY_ADD", nodes.math(tree, "SUBTRACT", b, a), weight, a)


def _red(tree: bpy.types.NodeTree, socket: Socket) -> Socket:
    return compositor_nodes.channel(tree, socket, "Red")
