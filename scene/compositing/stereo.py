"""A left and a right image of a shot, from its distances."""

from __future__ import annotations

from functools import partial
from typing import Any

import bpy

from ...inference.contract.depth_sequence import Shot
from .. import nodes
from ..camera import SENSOR_WIDTH
from ..depth import Depth
from ..problems import Problem
from . import chain, compositor_nodes, tree, view
from .depth_group import span
from .tree import STEREO_KIND as KIND

_STEPS = 20
"""Distances at which a ray of the new eye looks for the surface."""

_LEAP = 1.5
"""A surface that is steeper than this is none that the ray sees, but the edge of something in front."""

_STRIP, _BESIDE = 6.0, 2.0
"""Pixels: width of the strip that fills a hole where there is no wider background, and how far beside the edge it
begins."""

Socket = bpy.types.NodeSocket


def add_stereo(
    scene: bpy.types.Scene,
    depth: Depth,
    shot: Shot,
    *,
    eye_distance: float | None = None,
    convergence: float | None = None,
) -> bpy.types.Node:
    """Make a left and a right image of the scene's result by the depth of a shot, or find those that were made before.

    The eyes stand *Eye Distance* apart on either side of the camera, and look in parallel; both images are shifted so
    that what lies at the *Convergence* distance has no parallax: a point at Z moves by ``f eye distance / 2 (1 /
    convergence - 1 / Z)`` to the right in the right image, in the sensor's units. What neither image of the shot saw is
    filled by the strip of background beside it; *Left Filled* and *Right Filled* say where.

    The node stands beside the image's way to the output. Every argument that is None keeps what the node has, or a
    start that suits the shot: 1/30 of the convergence distance, which is a third of the way from the nearest. Returns
    the group node "Fathom Stereo Pair"; raises as `chain.open_setup`, and Problem up to Blender 4.2.
    """
    if not compositor_nodes.is_deep():
        raise Problem("Stereo Pair needs Blender 4.5 or later, whose compositor takes as many steps as it has.")
    setup = chain.open_setup(scene, depth, shot)

    def suits() -> dict[str, float]:
        near, far = span(depth, shot)
        meets = 1.0 / (1.0 / near + (1.0 / far - 1.0 / near) / 3.0)
        return {"Convergence": meets, "Eye Distance": meets / 30.0, "Nearest": 0.9 * near}

    node, _ = chain.effect_beside(setup, KIND, "Stereo Pair", build, suits)
    camera = view.camera_of(setup)
    if camera is not None:
        view.follow_sensor(node, camera, scene)
    view.follow_size(node, scene)
    tree.set_inputs(node, {"Eye Distance": eye_distance, "Convergence": convergence})
    chain.show(setup, nodes.output_of(node, "Left"))
    return node


def build(group: bpy.types.NodeTree) -> None:
    """Make the group "Fathom Stereo Pair"."""
    for side in ("Left", "Right"):
        nodes.interface_output(group, side, "Color", description=f"The {side.lower()} eye's image")
    for side in ("Left", "Right"):
        what = f"1 where the {side.lower()} image shows what the camera did not see"
        nodes.interface_output(group, f"{side} Filled", "Float", description=what)
    tree.effect_inputs(group)
    eyes = nodes.panel(group, "Eyes", description="Where the eyes stand")
    lens = nodes.panel(group, "Camera", description="Follows the shot's camera", closed=True)
    for name, default, minimum, subtype, parent, description in (
        ("Eye Distance", 0.065, 0.0, "DISTANCE", eyes, "Between the two eyes; the camera is in the middle"),
        (
            "Convergence",
            5.0,
            1e-3,
            "DISTANCE",
            eyes,
            "What lies here has no parallax: it is in the plane of the screen",
        ),
        ("Nearest", 1.0, 1e-3, "DISTANCE", eyes, "What is nearer is moved as if it were here; near costs quality"),
        ("Focal Length", 50.0, 0.01, None, lens, "In millimeters; follows the shot's camera"),
        (
            "Sensor Width",
            SENSOR_WIDTH,
            0.01,
            None,
            lens,
            "Of the whole render in millimeters; follows the shot's camera",
        ),
    ):
        nodes.interface_number(group, name, default, description, minimum=minimum, subtype=subtype, parent=parent)
    compositor_nodes.size_inputs(group, lens)
    inputs, outputs = nodes.group_sockets(group)
    do = partial(nodes.math, group)
    width, _ = compositor_nodes.frame_size(group, inputs["Image"], inputs)
    pixels = do("MULTIPLY", do("DIVIDE", inputs["Focal Length"], inputs["Sensor Width"]), width, label="Lens in pixels")
    half = do("MULTIPLY", do("MULTIPLY", inputs["Eye Distance"], 0.5), pixels, label="Shift at distance 1")
    farthest = do("DIVIDE", half, inputs["Convergence"], label="Shift of what is infinitely far")
    # Shifts are counted from that of what is infinitely far, so that 0, as beyond a border, is far.
    reach = do("MULTIPLY", do("DIVIDE", half, inputs["Nearest"]), -1.0, label="Of what is nearest")
    shift = do("DIVIDE", half, do("MAXIMUM", inputs["Z"], inputs["Nearest"]))
    shift = do("MULTIPLY", do("MULTIPLY", shift, -1.0), inputs["Has Depth"], label="Shift in pixels")
    for side, sign in (("Left", -1.0), ("Right", 1.0)):
        given = {"Image": inputs["Image"], "Has Depth": inputs["Has Depth"], "Shift": shift}
        node = compositor_nodes.part(
            group, "Eye", _build_eye, {**given, "Reach": reach, "Farthest": farthest, "Sign": sign}
        )
        nodes.feed(outputs[side], nodes.output_of(node, "Image"))
        nodes.feed(outputs[f"{side} Filled"], nodes.output_of(node, "Filled"))


def _build_eye(group: bpy.types.NodeTree) -> None:
    """An eye's image, and where it is filled; *Sign* is 1 for the right eye.

    A pixel looks along its ray from the nearest shift to the farthest, for the first at which the pixel that would come
    here by it lies no farther than it: there the ray has met the surface. If the surface leaps there, the ray has
    passed behind an edge, and goes on. One that ends behind an edge sees what no camera saw.
    """
    nodes.interface_output(group, "Image", "Color")
    nodes.interface_output(group, "Filled", "Float")
    inputs, outputs = compositor_nodes.plain_inputs(
        group, ("Has Depth", "Shift", "Reach", "Farthest", "Sign"), ("Image",)
    )
    do = partial(nodes.math, group)
    pixels = [
        do("ROUND", do("MULTIPLY_ADD", inputs["Reach"], 1.0 - at / _STEPS, inputs["Farthest"]))
        for at in range(_STEPS + 1)
    ]
    pixels[0], pixels[-1] = do("SUBTRACT", pixels[0], 1.0), do("ADD", pixels[-1], 1.0)  # beyond what there is
    given = {name: inputs[name] for name in ("Shift", "Farthest", "Sign")}
    state: dict[str, Any] = {"Open": 1.0}
    for offset in pixels:
        node = compositor_nodes.part(group, "Step of a Ray", _build_step, {"Offset": offset, **given, **state})
        state = {name: nodes.output_of(node, name) for name in _STATE}

    def place(shift: Socket) -> Socket:
        """How far to the right what comes here by a shift lies."""
        whole = do("MULTIPLY", do("ADD", shift, inputs["Farthest"]), inputs["Has Depth"])
        return do("MULTIPLY", whole, do("MULTIPLY", inputs["Sign"], -1.0), label="Where it is looked up")

    # What is mirrored may be something in front again, as between two posts: there the narrow strip is repeated.
    there = compositor_nodes.looked_up(group, inputs["Shift"], place(state["Mirrored"]))
    is_wide = do("GREATER_THAN", compositor_nodes.channel(group, there, "Red"), state["Between"])
    beside = do("MULTIPLY_ADD", do("SUBTRACT", state["Mirrored"], state["Beside"]), is_wide, state["Beside"])
    own = do("MULTIPLY_ADD", do("SUBTRACT", beside, inputs["Shift"]), state["Behind"], inputs["Shift"])
    found = do("MULTIPLY_ADD", own, state["Open"], state["Met"], label="Shift of what is seen")
    nodes.feed(outputs["Image"], compositor_nodes.looked_up(group, inputs["Image"], place(found)))
    filled = do("MULTIPLY", do("MULTIPLY", state["Open"], state["Behind"]), inputs["Has Depth"])
    nodes.feed(outputs["Filled"], filled)


_STATE = ("Step", "There", "Depth", "Met", "Open", "Mirrored", "Beside", "Between", "Behind")
"""What a step hands on: its shift, that of the surface there, how far behind it; the shift at which the surface was
met, 1 where none was yet; the shifts of the background beside an edge that was passed, mirrored as a whole and as a
narrow strip, one between those of both sides, and 1 where an edge was passed."""


def _build_step(group: bpy.types.NodeTree) -> None:
    """A step of all rays, by so many pixels."""
    for name in _STATE:
        nodes.interface_output(group, name, "Float")
    inputs, outputs = compositor_nodes.plain_inputs(group, ("Shift", "Farthest", "Sign", "Offset", *_STATE))
    do = partial(nodes.math, group)
    step = do("SUBTRACT", inputs["Offset"], inputs["Farthest"])
    there = compositor_nodes.moved(group, inputs["Shift"], do("MULTIPLY", inputs["Offset"], inputs["Sign"]), 0.0)
    depth = do("SUBTRACT", step, there, label="Behind the surface")
    last_step, last_there, last_depth = (inputs[name] for name in ("Step", "There", "Depth"))
    wide = do("SUBTRACT", step, last_step)
    is_behind = do("SUBTRACT", 1.0, do("LESS_THAN", depth, 0.0))
    crosses = do("MULTIPLY", is_behind, do("LESS_THAN", last_depth, 0.0))
    leap = do("ABSOLUTE", do("SUBTRACT", there, last_there))
    is_edge = do("GREATER_THAN", leap, do("MULTIPLY_ADD", wide, _LEAP, 0.5))
    meets = do("MULTIPLY", do("MULTIPLY", crosses, do("SUBTRACT", 1.0, is_edge)), inputs["Open"])
    rise = do("MAXIMUM", do("SUBTRACT", depth, last_depth), 1e-6)
    share = do("DIVIDE", do("MULTIPLY", last_depth, -1.0), rise, clamp=True)
    at = do("MULTIPLY_ADD", share, wide, last_step)
    still_open = do("SUBTRACT", inputs["Open"], meets)
    # Behind an edge: the background beside it, mirrored as far as this pixel is behind the edge; or a strip of it,
    # there and back again.
    passes = do("MULTIPLY", do("MULTIPLY", crosses, is_edge), still_open)
    along = do("SUBTRACT", last_there, last_step)
    edge = do("SUBTRACT", last_step, _BESIDE)
    passed = {
        "Mirrored": do("SUBTRACT", edge, along),
        "Beside": do("SUBTRACT", edge, do("PINGPONG", along, _STRIP)),
        "Between": do("MULTIPLY", do("ADD", there, last_there), 0.5),
    }
    results = {
        "Step": step,
        "There": there,
        "Depth": depth,
        "Met": do("MULTIPLY_ADD", at, meets, inputs["Met"]),
        "Open": still_open,
        **{
            name: do("MULTIPLY_ADD", do("SUBTRACT", value, inputs[name]), passes, inputs[name])
            for name, value in passed.items()
        },
        "Behind": do("MAXIMUM", inputs["Behind"], passes),
    }
    for name, socket in results.items():
        nodes.feed(outputs[name], socket)
