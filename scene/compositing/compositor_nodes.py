"""Where Blender's versions differ in the compositor, one function per difference; see `nodes` for what all trees share.

5.0 changed most: the tree became a node group of its own, math is done by the shaders' nodes, and options of nodes
became sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bpy

from .. import lookup, nodes, tags
from ..geometry import split

_OWN_NODES = hasattr(bpy.types, "CompositorNodeMath")
"""Up to 4.5; see `nodes`."""

_OUTPUT = "CompositorNodeComposite" if _OWN_NODES else "NodeGroupOutput"

PART = "comp_part"
"""First part of the kind of groups that are parts of effects."""

_LARGEST_DEFOCUS = 128.0
"""Pixels; the time of 4.2's Defocus goes by the blur that there is, not by the limit."""

_FEW = 1.0 / 32.0
"""Part of an image's sides that costs next to nothing."""

_LARGEST_BLUR = 256
"""Pixels that the blur of 4.2 is a share of."""

Socket = bpy.types.NodeSocket


# ------------------------------------------------------------------------------------------------ a scene's tree


def find_scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The scene's compositor tree, or None: ``scene.node_tree`` up to 4.5, a group that it points to from 5.0."""
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree


def scene_tree(scene: bpy.types.Scene) -> bpy.types.NodeTree:
    """The scene's compositor tree, in use; made, and empty, if it has none.

    Up to 4.5 Blender puts a Render Layers and a Composite node into a tree that it makes; they are taken out.
    """
    found = find_scene_tree(scene)
    if hasattr(scene, "compositing_node_group"):
        if found is None:
            scene.compositing_node_group = bpy.data.node_groups.new(scene.name, "CompositorNodeTree")
        return scene.compositing_node_group
    scene.use_nodes = True
    if found is None:
        scene.node_tree.nodes.clear()
    return scene.node_tree


STRIP = "strip/"
"""First part of the kind of groups that are effects on strips."""


def users_of(group: bpy.types.NodeTree) -> set[bpy.types.ID]:
    """The scenes that show a group, and the groups on strips that do, also through other groups."""
    found, waiting = set(), [group]
    while waiting:
        each = waiting.pop()
        for user in bpy.data.user_map(subset=[each])[each]:
            is_group = isinstance(user, bpy.types.NodeTree)
            if isinstance(user, bpy.types.Scene) or (is_group and tags.text(user, tags.KIND).startswith(STRIP)):
                found.add(user)
            elif is_group:
                waiting.append(user)
    return found


def find_result(tree: bpy.types.NodeTree) -> Socket | None:
    """The input socket whose image is the render's result, or None.

    Up to 4.5 that is the Composite node's Image, from 5.0 the first color input of the active Group Output.
    """
    ends = [node for node in tree.nodes if node.bl_idname == _OUTPUT]
    active = [node for node in ends if getattr(node, "is_active_output", False)]
    sockets = [s for node in (active or ends)[:1] for s in node.inputs if s.type == "RGBA"]
    return sockets[0] if sockets else None


def result(tree: bpy.types.NodeTree) -> Socket:
    """As `find_result`, made if there is none."""
    found = find_result(tree)
    if found is not None:
        return found
    if not any(node.bl_idname == _OUTPUT for node in tree.nodes):
        tree.nodes.new(_OUTPUT)
    if not _OWN_NODES:
        nodes.interface_output(tree, "Image", "Color", description="The render's result")
    return find_result(tree)


# ------------------------------------------------------------------------------------------------ nodes


def mix_color(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any) -> Socket:
    """Add a node for ``a (1 - factor) + b factor`` on red, green and blue; returns its output.

    The compositor's own node (MixRGB: Fac, Image, Image) gave way to the shared Mix node in 5.0. Alpha is a's up to
    5.0 and mixed in 5.2: see `mix_images`.
    """
    if _OWN_NODES:
        node = nodes.new(tree, "CompositorNodeMixRGB")
        names = (("Fac", 0), ("Image", 0), ("Image", 1))
    else:
        node = nodes.new(tree, "ShaderNodeMix", data_type="RGBA", clamp_factor=True)
        names = (("Factor", 0), ("A", 0), ("B", 0))
    for (name, occurrence), value in zip(names, (factor, a, b)):
        nodes.feed(nodes.input_of(node, name, occurrence), value)
    return next(s for s in node.outputs if s.enabled)


def mix_images(tree: bpy.types.NodeTree, factor: Any, a: Any, b: Any) -> Socket:
    """Add nodes for ``a (1 - factor) + b factor`` on all four channels, in the compositor; returns the result."""
    alphas = [channel(tree, socket, "Alpha") for socket in (a, b)]
    alpha = nodes.math(
        tree, "MULTIPLY_ADD", nodes.math(tree, "SUBTRACT", alphas[1], alphas[0]), factor, alphas[0], label="Alpha"
    )
    return set_alpha(tree, mix_color(tree, factor, a, b), alpha, mode="REPLACE_ALPHA")


def channel(tree: bpy.types.NodeTree, image: Socket, name: str) -> Socket:
    """Add a node of the compositor that gives a channel of an image, such as 'Red' or 'Alpha'; returns its output."""
    return nodes.value(tree, "CompositorNodeSeparateColor", name, {"Image": image})


def add_color(tree: bpy.types.NodeTree, a: Any, b: Any) -> Socket:
    """Add a node for a + b on red, green and blue, alpha left at a's; returns its output."""
    result = mix_color(tree, 1.0, a, b)
    result.node.blend_type = "ADD"
    return result


def has_image_coordinates() -> bool:
    """Whether the compositor has the Image Coordinates node (from 4.5)."""
    return hasattr(bpy.types, "CompositorNodeImageCoordinates")


def has_bilinear_map_uv() -> bool:
    """Whether the compositor's Map UV can look up bilinearly (from 5.0)."""
    return not hasattr(bpy.types.CompositorNodeMapUV, "filter_type") and not _OWN_NODES


def map_uv(tree: bpy.types.NodeTree, image: Socket, uv: Socket, *, bilinear: bool) -> Socket:
    """Add a Map UV node that takes the nearest pixel, or bilinearly with the borders extended (from 5.0)."""
    output = nodes.value(tree, "CompositorNodeMapUV", "Image", {"Image": image, "UV": uv})
    node = output.node
    if has_bilinear_map_uv():
        nodes.input_of(node, "Interpolation").default_value = "Bilinear" if bilinear else "Nearest"
        nodes.input_of(node, "Extension X").default_value = nodes.input_of(node, "Extension Y").default_value = "Extend"
    else:
        node.filter_type = "NEAREST"
    return output


def set_alpha(tree: bpy.types.NodeTree, image: Any, alpha: Any, *, mode: str) -> Socket:
    """Add a Set Alpha node; `mode` is 'APPLY' (multiply all channels) or 'REPLACE_ALPHA'. Returns its output."""
    output = nodes.value(tree, "CompositorNodeSetAlpha", "Image", {"Image": image, "Alpha": alpha})
    nodes.set_option(output.node, "mode", mode)
    return output


def soften(tree: bpy.types.NodeTree, image: Any) -> Socket:
    """Add a Filter node that weights 3x3 pixels by 1 2 1 along each axis (its Soften); returns its output."""
    output = nodes.value(tree, "CompositorNodeFilter", "Image", {"Image": image})
    nodes.set_option(output.node, "filter_type", "SOFTEN")
    return output


def can_grow(tree: bpy.types.NodeTree) -> bool:
    """Whether the Dilate/Erode node takes its size from a socket, as `grown` needs it (not in 4.2)."""
    node = tree.nodes.new("CompositorNodeDilateErode")
    found = any(socket.name == "Size" for socket in node.inputs)
    tree.nodes.remove(node)
    return found


def grown(tree: bpy.types.NodeTree, value: Any, pixels: Any) -> Socket:
    """Add a node that gives each pixel the largest value within so many pixels, the smallest where `pixels` is below 0.

    `pixels` is a number or a socket. Only where `can_grow`.
    """
    output = nodes.value(tree, "CompositorNodeDilateErode", "Mask", {"Mask": value, "Size": pixels})
    nodes.set_option(output.node, "mode", "STEP")
    return output


def between(tree: bpy.types.NodeTree, first: Any, last: Any, *, label: str) -> Socket:
    """Add nodes that give 1 at scene frames after one number and before another, else 0; returns the result."""
    frame = nodes.value(tree, "CompositorNodeSceneTime", "Frame")
    late_enough = nodes.math(tree, "GREATER_THAN", frame, first)
    early_enough = nodes.math(tree, "LESS_THAN", frame, last)
    return nodes.math(tree, "MULTIPLY", late_enough, early_enough, label=label)


def draft_defocus(node: bpy.types.Node, draft: bool) -> None:
    """Set a Defocus node's coarse preview, which is on at first up to 4.2 and does not exist from 5.0."""
    if hasattr(node, "use_preview"):
        node.use_preview = draft


def defocus(tree: bpy.types.NodeTree, image: Socket, radius: Socket) -> Socket:
    """Add Blender's Defocus, which blurs by a radius in pixels in each pixel; returns its output."""
    node = nodes.new(tree, "CompositorNodeDefocus", use_zbuffer=False, blur_max=_LARGEST_DEFOCUS)
    draft_defocus(node, False)
    nodes.feed(nodes.input_of(node, "Image"), image)
    nodes.feed(nodes.input_of(node, "Z"), radius)
    return nodes.output_of(node, "Image")


def distortion_kind(node: bpy.types.Node) -> str:
    """Which way a Movie Distortion node goes, ``'DISTORT'`` or ``'UNDISTORT'``: a property, and later a menu's name."""
    sockets = [socket for socket in node.inputs if socket.name == "Type"]
    return str(sockets[0].default_value if sockets else node.distortion_type).upper()


# ------------------------------------------------------------------------------------------------ sizes and filters


def is_deep() -> bool:
    """Whether the compositor takes trees of any depth (from 4.5).

    Up to 4.2 it goes every way from the result to each node, and their number multiplies with each value that two nodes
    use one behind the other: a tree of twenty such steps never ends.
    """
    return has_image_coordinates()


def frame_size(tree: bpy.types.NodeTree, image: Socket, inputs: Any) -> tuple[Socket, Socket]:
    """Width and height of an image in pixels; up to 4.2, which cannot tell, the group's inputs `Width` and `Height`."""
    if not has_image_coordinates():
        return inputs["Width"], inputs["Height"]
    size = nodes.value(tree, "CompositorNodeImageInfo", "Dimensions", {"Image": image})
    x, y, _ = split(tree, size)
    return x, y


def size_inputs(tree: bpy.types.NodeTree, parent: Any = None) -> None:
    """Give a group the inputs that `frame_size` needs, where it needs any."""
    if not has_image_coordinates():
        for name, default in (("Width", 1920.0), ("Height", 1080.0)):
            what = f"{name} of the render in pixels; Fathom drives it"
            nodes.interface_number(tree, name, default, what, minimum=1.0, parent=parent)


def place_in_frame(tree: bpy.types.NodeTree, image: Socket) -> tuple[Socket, Socket]:
    """Where each pixel's center lies in the image, 0 to 1 from its lower left corner.

    Up to 4.2 the compositor knows no coordinates: there a blend texture has them, of the render's size, which an image
    in Fathom's chain has.
    """
    if has_image_coordinates():
        place = nodes.value(tree, "CompositorNodeImageCoordinates", "Normalized", {"Image": image})
        x, y, _ = split(tree, place)
        return x, y
    return _blend_texture(tree, upright=False), _blend_texture(tree, upright=True)


def _blend_texture(tree: bpy.types.NodeTree, *, upright: bool) -> Socket:
    name = f"Fathom {'Upright' if upright else 'Across'}"
    texture = next((each for each in bpy.data.textures if each.name == name and each.type == "BLEND"), None)
    if texture is None:
        texture = bpy.data.textures.new(name, "BLEND")
        texture.use_flip_axis = "VERTICAL" if upright else "HORIZONTAL"
    node = nodes.new(tree, "CompositorNodeTexture", label=name)
    node.texture = texture
    return nodes.output_of(node, "Value")


def combine_color(tree: bpy.types.NodeTree, *values: Any) -> Socket:
    """An image with values as red, green, blue and, if there is a fourth, alpha."""
    names = ("Red", "Green", "Blue", "Alpha")
    return nodes.value(tree, "CompositorNodeCombineColor", "Image", dict(zip(names, values)))


def multiply_color(tree: bpy.types.NodeTree, image: Any, factor: Any) -> Socket:
    """Red, green and blue multiplied by a value's or a color's; alpha is not to be relied on."""
    result = mix_color(tree, 1.0, image, factor)
    result.node.blend_type = "MULTIPLY"
    return result


def scaled(tree: bpy.types.NodeTree, image: Socket, factor: Any) -> Socket:
    """An image with that many times the pixels along each side, bilinear."""
    output = nodes.value(tree, "CompositorNodeScale", "Image", {"Image": image, "X": factor, "Y": factor})
    nodes.set_option(output.node, "space", "RELATIVE")
    return output


def part(
    tree: bpy.types.NodeTree, name: str, build: Callable[[bpy.types.NodeTree], None], inputs: dict[str, Any]
) -> bpy.types.Node:
    """Add a node of a group "Fathom `name`" that several places use, and feed its inputs; it is made once a file.

    Blender looks at a whole tree for each link that it gets, so that one of many hundred nodes takes minutes to make.
    """
    group = lookup.node_group(f"{PART}/{name}", f"Fathom {name}", "CompositorNodeTree", build)
    node = nodes.new(tree, "CompositorNodeGroup", label=name)
    node.node_tree = group
    for key, value in inputs.items():
        nodes.feed(nodes.input_of(node, key), value)
    return node


def plain_inputs(group: bpy.types.NodeTree, numbers: Sequence[str], colors: Sequence[str] = ()) -> tuple[Any, Any]:
    """Give a `part` inputs, all 0, and return the group's sockets from inside; outputs are added before."""
    for name in colors:
        nodes.interface_input(group, name, "Color", default=(0.0, 0.0, 0.0, 0.0))
    for name in numbers:
        nodes.interface_number(group, name, 0.0, "")
    return nodes.group_sockets(group)


def only_if(
    tree: bpy.types.NodeTree,
    is_on: Socket,
    image: Socket,
    value: Socket,
    make: Callable[[Socket, Socket], Socket],
) -> Socket:
    """What `make` makes of an image and a value's image where `is_on` is 1, else the image itself, in no time.

    The compositor computes both sides of a switch. So what is not wanted is made of images of few pixels. From 4.5 on.
    """
    small = nodes.math(tree, "MULTIPLY_ADD", is_on, 1.0 - _FEW, _FEW)
    made = make(scaled(tree, image, small), scaled(tree, value, small))
    whole = scaled(tree, made, nodes.math(tree, "DIVIDE", 1.0, small))
    return nodes.value(tree, "CompositorNodeSwitch", "Image", {"Switch": is_on, "Off": image, "On": whole})


def moved(tree: bpy.types.NodeTree, value: Socket, x: Any, y: Any) -> Socket:
    """A value's image moved by whole pixels to the right and up, in the frame that it had; what it leaves is 0."""
    node = nodes.value(tree, "CompositorNodeTranslate", "Image", {"Image": value, "X": x, "Y": y}).node
    if "Interpolation" in node.inputs:
        node.inputs["Interpolation"].default_value = "Nearest"
    still = nodes.math(tree, "MULTIPLY", value, 0.0)  # an image that is moved takes its frame along
    return nodes.math(tree, "ADD", still, nodes.output_of(node, "Image"))


def looked_up(tree: bpy.types.NodeTree, image: Socket, x: Socket) -> Socket:
    """In each pixel the image's color so many pixels further right; beyond the border the border's."""
    node = nodes.new(tree, "CompositorNodeDisplace")
    nodes.feed(nodes.input_of(node, "Image"), image)
    entry = next(socket for socket in node.inputs if socket.name in ("Vector", "Displacement"))
    back = nodes.math(tree, "MULTIPLY", x, -1.0)  # the node says where a color goes
    nodes.feed(entry, nodes.value(tree, "CombineXYZ", "Vector", {"X": back, "Y": 0.0, "Z": 0.0}))
    for name in ("X Scale", "Y Scale"):
        if name in node.inputs:
            node.inputs[name].default_value = 1.0
    for name, value in (("Interpolation", "Bilinear"), ("Extension X", "Extend"), ("Extension Y", "Extend")):
        if name in node.inputs:
            node.inputs[name].default_value = value
    return nodes.output_of(node, "Image")


def bokeh_image(tree: bpy.types.NodeTree, blades: Any, rotation: Any, roundness: Any) -> Socket:
    """The aperture's picture; up to 4.2, whose node has no inputs, a round one that is changed on the node."""
    node = nodes.new(tree, "CompositorNodeBokehImage", label="Bokeh")
    if "Flaps" not in node.inputs:
        node.rounding = 1.0
    else:
        for name, value in (("Flaps", blades), ("Angle", rotation), ("Roundness", roundness)):
            nodes.feed(nodes.input_of(node, name), value)
    return nodes.output_of(node, "Image")


def has_bokeh_inputs() -> bool:
    """Whether the shape of a bokeh can be an input (from 4.5)."""
    return hasattr(bpy.types, "CompositorNodeRelativeToPixel")


def bokeh_blur(tree: bpy.types.NodeTree, image: Socket, bokeh: Socket, radius: Any, longest: Any) -> Socket:
    """An image blurred all over by a bokeh of a radius in its pixels.

    Up to 4.5 Blender takes the radius in percent of the image's longest side, which is `longest`.
    """
    size = radius
    if _OWN_NODES:
        size = nodes.math(tree, "DIVIDE", nodes.math(tree, "MULTIPLY", radius, 100.0), longest)
    return nodes.value(tree, "CompositorNodeBokehBlur", "Image", {"Image": image, "Bokeh": bokeh, "Size": size})


def blur(tree: bpy.types.NodeTree, image: Socket, size: Any) -> Socket:
    """A Gaussian blur whose size in pixels is a value, the same all over."""
    node = nodes.new(tree, "CompositorNodeBlur")
    nodes.feed(nodes.input_of(node, "Image"), image)
    if "Type" in node.inputs:
        node.inputs["Type"].default_value = "Gaussian"
    else:
        node.filter_type = "GAUSS"
    if nodes.input_of(node, "Size").type == "VALUE":  # up to 4.2: a share of what the node has
        node.size_x = node.size_y = _LARGEST_BLUR
        size = nodes.math(tree, "DIVIDE", size, float(_LARGEST_BLUR))
    nodes.feed(nodes.input_of(node, "Size"), size)
    return nodes.output_of(node, "Image")


def _inverted_where(tree: bpy.types.NodeTree, matte: Socket, where: Socket) -> Socket:
    twice = nodes.math(tree, "MULTIPLY_ADD", matte, -2.0, 1.0)
    return nodes.math(tree, "MULTIPLY_ADD", twice, where, matte)


def refine_matte(tree: bpy.types.NodeTree, matte: Socket, inputs: Any) -> Socket:
    """A matte with the edges that the inputs of `matte_inputs` ask for."""
    if "Choke" in inputs:
        smaller = nodes.math(tree, "ROUND", nodes.math(tree, "MULTIPLY", inputs["Choke"], -1.0))
        matte = grown(tree, matte, smaller)
    matte = blur(tree, matte, inputs["Blur"])
    width = nodes.math(tree, "MAXIMUM", nodes.math(tree, "SUBTRACT", inputs["White Clip"], inputs["Black Clip"]), 1e-4)
    above = nodes.math(tree, "SUBTRACT", matte, inputs["Black Clip"])
    clipped = nodes.math(tree, "DIVIDE", above, width, clamp=True, label="Clipped")
    return _inverted_where(tree, clipped, inputs["Invert"])


def matte_inputs(group: bpy.types.NodeTree) -> None:
    """Give a group the inputs that `refine_matte` needs, in a panel of their own."""
    panel = nodes.panel(group, "Edges", description="The matte's edges")
    choke = ("Choke", 0.0, -100.0, 100.0, None, "Pixels that the matte shrinks by all around, or grows by below 0")
    for name, default, minimum, maximum, subtype, description in (
        ("Invert", 0.0, 0.0, 1.0, "FACTOR", "1: everything else"),
        *([choke] if is_deep() else []),
        ("Blur", 0.0, 0.0, 500.0, None, "Size of a blur of the matte, in pixels"),
        ("Black Clip", 0.0, 0.0, 1.0, "FACTOR", "What is at most this becomes 0"),
        ("White Clip", 1.0, 0.0, 1.0, "FACTOR", "What is at least this becomes 1"),
    ):
        nodes.interface_number(
            group, name, default, description, minimum=minimum, maximum=maximum, subtype=subtype, parent=panel
        )
