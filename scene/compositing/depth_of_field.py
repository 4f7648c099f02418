"""Depth of field on the plate by its depth, with Blender's Defocus node."""

from __future__ import annotations

import math

import bpy

from ...inference.depth_sequence import Shot
from .. import compositor_nodes, nodes
from ..camera import camera_at, find_camera
from ..depth import Depth
from . import tree
from .depth_group import span

KIND, MIX_KIND = "comp_defocus", "comp_defocus_mix"

_BLUR = 0.01
"""Blur radius that the first f-stop is chosen for, in picture widths, where the picture is most out of focus."""

_BLENDERS_FOCUS = 10.0
"""Focus distance of a camera that nobody has focused."""


def add_depth_of_field(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    focus_distance: float | None = None,
    f_stop: float | None = None,
    max_blur: float | None = None,
) -> bpy.types.Node:
    """Blur the scene's result by a shot's depth, or find the Defocus node that was added before.

    Defocus takes the **focus from the scene's camera**: its *Focus Distance* or *Focus Object* under Depth of Field
    (which need not be switched on there; it would blur rendered objects as well), with its focal length and sensor.
    A point at distance Z is blurred to a disc of the diameter ``f^2 / N |1/focus - 1/Z|`` on the sensor, f the focal
    length, N the *f-stop* of the node; what lies at the focus distance stays as it is. Frames without depth pass
    unchanged. The scene's camera may be any; where the scene has none, the one built from the depth is made it. Where
    markers on the timeline switch cameras, the one that the scene looks through at the shot's first frame counts.

    Parameters
    ----------
    scene, depth, shot : Scene, Depth, Shot
        The shot must be done.
    focus_distance : float or None
        Set on that camera. None keeps what it has; a camera that was never focused gets the shot's middle.
    f_stop : float or None
        None keeps what the node has, or starts with a blur of 1 % of the picture's width where it is strongest.
    max_blur : float or None
        Largest blur radius in pixels, 0 for none. As above; starts with 3 % of the render's width.

    Returns
    -------
    Node
        The Defocus node, so that its f-stop, bokeh and blur are at hand.

    Raises
    ------
    CompositingError
        The scene has no camera and none was built from the depth. Nothing is changed then.
    DepthError, PlateError
        See `tree.open_setup`.
    """
    depth.require_done(shot)
    camera = _camera(scene, depth, shot)
    setup = tree.open_setup(scene, depth, shot)
    if scene.camera is None:
        scene.camera = camera
    near, far = span(depth, shot)
    node = setup.find(KIND)
    is_new = node is None
    source = tree.distance(setup)
    if is_new:
        before = tree.picture(setup)
        node = nodes.new(setup.tree, "CompositorNodeDefocus", use_zbuffer=True, scene=scene, label="Depth of Field")
        compositor_nodes.draft_defocus(node, False)
        setup.mark(node, KIND)
        nodes.feed(nodes.input_of(node, "Image"), before)
        choose = setup.mark(
            tree.add_group(
                setup, tree.effect_group(MIX_KIND, "Fathom Where There Is Depth", _build), "Where There Is Depth"
            ),
            MIX_KIND,
        )
        nodes.feed(nodes.input_of(choose, "Effect"), nodes.output_of(node, "Image"))
        tree.insert(setup, nodes.input_of(choose, "Image"), nodes.output_of(choose, "Image"))
        tree.place_after(setup, before.node, [node, choose])
    for each in (node, setup.find(MIX_KIND)):
        if each is not None:
            tree.connect(each, source)
    optics = camera.data.dof
    if focus_distance is None and optics.focus_object is None and optics.focus_distance == _BLENDERS_FOCUS:
        focus_distance = 2.0 / (1.0 / near + 1.0 / far)
    if focus_distance is not None:
        optics.focus_distance = focus_distance
    if f_stop is None and is_new:
        f_stop = _suitable_f_stop(camera.data, optics.focus_distance, near, far)
    if max_blur is None and is_new:
        max_blur = math.ceil(0.03 * scene.render.resolution_x)
    if f_stop is not None:
        node.f_stop = f_stop
    if max_blur is not None:
        node.blur_max = max_blur
    return node


def _build(group: bpy.types.NodeTree) -> None:
    """An effect where there is depth, and the picture elsewhere."""
    nodes.interface_output(group, "Image", "Color", description="The effect where there is depth")
    nodes.interface_input(group, "Image", "Color", description="The picture without the effect")
    nodes.interface_input(group, "Effect", "Color", description="The picture with the effect")
    nodes.interface_input(group, "Has Depth", "Float", default=1.0, description="From Fathom Depth")
    begin, end = nodes.group_ends(group)
    given = {socket.name: socket for socket in begin.outputs}
    mixed = compositor_nodes.mix_pictures(group, given["Has Depth"], given["Image"], given["Effect"])
    nodes.feed(nodes.input_of(end, "Image"), mixed)


def _camera(scene: bpy.types.Scene, depth: Depth, shot: Shot) -> bpy.types.Object:
    camera = camera_at(scene, shot.first_frame + depth.frame_offset) or find_camera(depth, shot, scene)
    if camera is None or camera.type != "CAMERA":
        raise tree.CompositingError(
            f"{scene.name} has no camera, and Defocus takes the focus from it: build the camera of {depth.name} first, "
            "or add one."
        )
    return camera


def _suitable_f_stop(lens: bpy.types.Camera, focus: float, near: float, far: float) -> float:
    """The f-stop at which the larger blur radius of what is near and far is `_BLUR` picture widths."""
    spread = max(abs(1.0 / focus - 1.0 / near), abs(1.0 / focus - 1.0 / far))
    diameter = (lens.lens / 1000.0) ** 2 * spread / (lens.sensor_width / 1000.0)
    return min(max(diameter / (2.0 * _BLUR), 0.01), 128.0)
