"""The node group "Fathom Depth": a shot's depth in the compositor, live from its disparity maps."""

from __future__ import annotations

import bpy

from ...inference.contract.depth_sequence import Quantity, Shot
from .. import distance_nodes, lookup, memory, nodes, tags
from ..depth import (
    Depth,
    DepthError,
    Distances,
    confidence_image,
    disparity_image,
    distances,
    percentiles,
    set_where_new,
    show_frames,
)
from ..plate import plate_size
from . import compositor_nodes, resample

KIND = "comp_depth"
_VERSION = 2
"""Goes up when the group changes, so that files with an older one get the new one when an effect is added again."""

_NEVER = 1e7
"""A frame beyond Blender's last (1048574): a shot at an end of the clip is shown beyond that end without limit."""

Socket = bpy.types.NodeSocket


def depth_group(
    depth: Depth, shot: Shot, *, owner: bpy.types.ID | None = None, held: bpy.types.NodeTree | None = None
) -> bpy.types.NodeTree:
    """The node group of a shot's depth, built if it is not there, its frame mapping brought up to date if it is.

    Where the folder holds the depth of another estimate since, whose values or sizes mean something else, it is built
    anew; and so it is where another than the `owner`, a scene or a group on strips, shows it at other frames. A copy
    that is `held` there is the artist's, and stays.

    Inputs (their defaults suit the shot, see `depth.distances`): *Scale* and *Far Limit* for ``inverse_depth``, with
    *Near*, *Far* and *Near Limit* for ``relative_disparity``; *Mist Start* and *Mist Depth*.

    Outputs, all the size that the plate has when a Scale node fits it to the render size (*Render Size*, *Fit*):

    =============  ====================================================================================================
    Z              distance along the camera's axis; the far limit where there is no depth
    Disparity      the depth maps' own values, larger is nearer; 0 where there is no depth
    Mist           0 up to *Mist Start*, rising evenly to 1 over *Mist Depth*; 0 where there is no depth
    Has Depth      1 where there is depth; 0 on frames of other and of unsupported shots, outside the plate, and where
                   the map's file is missing
    Confidence     0..1, only where the estimator gave one
    =============  ====================================================================================================

    Maps of another size than the plate's are brought to it bilinearly, see `resample`. Scene frame = source frame +
    the depth's frame offset; beyond the clip's ends its first and last frame are held. DepthError where the shot is
    unsupported, or the plate larger than memory allows.
    """
    start = distances(depth, shot)
    image = disparity_image(depth)
    shortfall = memory.shortage(*plate_size(depth))
    if shortfall is not None:
        raise DepthError(f"The plate of {depth.name} is {shortfall}: close other programs, or use a smaller plate.")

    def build(tree: bpy.types.NodeTree) -> None:
        _add_interface(tree, depth, shot, start)
        _build(tree, depth, start, depth.quantity_of(shot))

    name, kind = depth.label("Fathom Depth", shot), f"{KIND}/{_constants(depth, shot, start)}"
    form, marks = "CompositorNodeTree", {"image": image, "shot": shot.first_frame}
    found = lookup.tagged(kind, **marks, among="node_groups", form=form)
    tree = lookup.at_offset(
        found, depth.frame_offset, is_own=lambda each: compositor_nodes.users_of(each) <= {owner}, held=[held]
    )
    tree = tree or lookup.new_node_group(kind, name, form, build, **marks)
    tree[tags.OFFSET] = depth.frame_offset
    tree[tags.VALUES] = percentiles(shot)
    _set_frames(tree, depth, shot)
    return tree


def _constants(depth: Depth, shot: Shot, start: Distances) -> str:
    """What of the depth the group holds, as constants of its nodes or as its inputs' starting values."""
    quantity, sequence = depth.quantity_of(shot), depth.sequence
    sizes = (sequence.width, sequence.height), plate_size(depth)
    return repr((_VERSION, quantity, start, sizes, sequence.confidence is not None))


def span(depth: Depth, shot: Shot) -> tuple[float, float]:
    """Nearest and farthest distance that effects start with: those of 98 % of the shot, at most 1 to 8.

    A sky or a far horizon would otherwise leave all of an effect behind everything that can be told apart.
    """
    suits = distances(depth, shot)
    return suits.near, max(min(suits.far, 8.0 * suits.near), 1.001 * suits.near)


def _add_interface(tree: bpy.types.NodeTree, depth: Depth, shot: Shot, start: Distances) -> None:
    reach = span(depth, shot)
    for name, description in (
        ("Z", "Distance along the camera's axis; the far limit where there is no depth"),
        ("Disparity", "The depth maps' own values, larger is nearer; 0 where there is no depth"),
        ("Mist", "0 in front of Mist Start, 1 from Mist Depth behind it; 0 where there is no depth"),
        (
            "Has Depth",
            "1 where there is depth, 0 on frames of other shots, outside the plate and where the map is missing",
        ),
        *([("Confidence", "How sure the estimator is, 0 to 1")] if depth.sequence.confidence is not None else []),
    ):
        nodes.interface_output(tree, name, "Float", description=description)
    distance = nodes.panel(tree, "Distance", description="From disparity to distance")
    mist = nodes.panel(tree, "Mist", description="The range of the Mist output")

    scale = "Multiplies all distances; the same as the Scale of the camera's rig"
    nodes.interface_number(tree, "Scale", start.scale, scale, minimum=1e-6, parent=distance)
    distance_nodes.add_inputs(tree, depth.quantity_of(shot), start, parent=distance)
    distance_nodes.add_fit_inputs(tree, parent=nodes.panel(tree, "Camera Solve", closed=True))
    for name, default, minimum, description in (
        ("Mist Start", reach[0], 0.0, "Distance at which Mist rises from 0"),
        ("Mist Depth", reach[1] - reach[0], 1e-6, "Distance over which Mist rises to 1"),
    ):
        nodes.interface_number(tree, name, default, description, minimum=minimum, subtype="DISTANCE", parent=mist)


def _build(tree: bpy.types.NodeTree, depth: Depth, start: Distances, quantity: Quantity) -> None:
    inputs, outputs = nodes.group_sockets(tree)
    images = [disparity_image(depth)]
    confidence = confidence_image(depth)
    if confidence is not None:
        images.append(confidence)
    sources = [nodes.new(tree, "CompositorNodeImage", image=image, label=image.name) for image in images]
    sequence = depth.sequence
    maps = resample.to_plate_size(
        tree,
        [nodes.output_of(node, "Image") for node in sources],
        map_size=(sequence.width, sequence.height),
        plate_size=plate_size(depth),
    )
    fitted = [fit_to_render(tree, socket) for socket in maps]
    disparity, inside = _unfaded(tree, fitted[0])
    shown = nodes.math(tree, "MULTIPLY", _shown(tree), _is_there(tree, sources[0]))
    has_depth = nodes.math(tree, "MULTIPLY", inside, shown, label="Has Depth")
    scaled_limit = nodes.math(tree, "MULTIPLY", inputs["Far Limit"], inputs["Scale"])
    z = distance_nodes.distance(
        tree,
        disparity,
        inputs,
        quantity,
        p1=start.p1,
        value_range=start.p99 - start.p1,
        scale=inputs["Scale"],
    )
    z = _blend(tree, scaled_limit, z, has_depth)
    behind = nodes.math(tree, "SUBTRACT", z, inputs["Mist Start"])
    mist = nodes.math(tree, "DIVIDE", behind, inputs["Mist Depth"], clamp=True, label="Mist")
    results = {
        "Z": z,
        "Disparity": nodes.math(tree, "MULTIPLY", disparity, has_depth),
        "Mist": nodes.math(tree, "MULTIPLY", mist, has_depth),
        "Has Depth": has_depth,
    }
    if confidence is not None:
        results["Confidence"] = nodes.math(tree, "MULTIPLY", _unfaded(tree, fitted[1])[0], has_depth)
    for name, socket in results.items():
        nodes.feed(outputs[name], socket)


def fit_to_render(tree: bpy.types.NodeTree, socket: Socket) -> Socket:
    """Fit an image of the plate's size to the render size; images that went through this lie on one another."""
    fitted = nodes.value(tree, "CompositorNodeScale", "Image", {"Image": socket}, label="Fit to Render")
    nodes.set_option(fitted.node, "space", "RENDER_SIZE")
    nodes.set_option(fitted.node, "frame_method", "FIT")
    return fitted


def _unfaded(tree: bpy.types.NodeTree, image: Socket) -> tuple[Socket, Socket]:
    """A scaled map's value, and 1 inside it, 0 outside.

    Scaling fades value and alpha alike over the outermost pixel; their quotient does not fade.
    """
    alpha = compositor_nodes.channel(tree, image, "Alpha")
    parts = alpha.node
    value = nodes.math(tree, "DIVIDE", nodes.output_of(parts, "Red"), nodes.math(tree, "MAXIMUM", alpha, 1e-6))
    return value, nodes.math(tree, "GREATER_THAN", alpha, 1e-3, label="Inside the plate")


def _shown(tree: bpy.types.NodeTree) -> Socket:
    """1 on frames of the shot, 0 on others, between two frame numbers that `_set_frames` sets."""
    first, last = (nodes.value(tree, "Value", "Value", label=label) for label in ("Shown From", "Shown To"))
    return compositor_nodes.between(tree, first, last, label="In the shot")


def _is_there(tree: bpy.types.NodeTree, source: bpy.types.Node) -> Socket:
    """1 where the frame's map can be read, else 0: a file that is missing has alpha 0 everywhere, a map has 1."""
    alpha = {"Image": nodes.output_of(source, "Alpha")}
    mean = nodes.value(tree, "CompositorNodeLevels", "Mean", alpha, label="The map's alpha")
    nodes.set_option(mean.node, "channel", "RED")
    return nodes.math(tree, "GREATER_THAN", mean, 0.5, label="The map is there")


def _blend(tree: bpy.types.NodeTree, a: Socket, b: Socket, weight: Socket) -> Socket:
    """Blend from a to b: exactly a at weight 0 and b at 1."""
    rest = nodes.math(tree, "SUBTRACT", 1.0, weight)
    return nodes.math(tree, "MULTIPLY_ADD", b, weight, nodes.math(tree, "MULTIPLY", a, rest))


def _set_frames(tree: bpy.types.NodeTree, depth: Depth, shot: Shot) -> None:
    first, last = depth.frames_shown(shot)
    shown = {
        "Shown From": -_NEVER if first is None else first + depth.frame_offset - 0.5,
        "Shown To": _NEVER if last is None else last + depth.frame_offset + 0.5,
    }
    for node in tree.nodes:
        if node.label in shown:
            set_where_new(nodes.output_of(node, "Value"), default_value=shown[node.label])
        elif node.bl_idname == "CompositorNodeImage" and node.image is not None and node.image.source == "SEQUENCE":
            show_frames(node, shot.first_frame, shot.last_frame, frame_offset=depth.frame_offset)
