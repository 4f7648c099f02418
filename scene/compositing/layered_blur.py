"""Blur whose size changes from pixel to pixel, by layers of distance that each have one size.

The image is divided by its blur, from the farthest to the nearest, into layers that overlap evenly. Each is blurred by
one bokeh, together with how much of it and of everything behind it there is, and laid over what is behind:

- A pixel's light goes where its own disc reaches and no further: nothing of a sharp subject gets into the blurred
  background, whose blur ends at the subject's sharp outline, and the soft outline of something near lies over what is
  behind it.
- Behind something near the image is continued, where the soft outline shows what no camera has seen.
- A disc of many pixels needs no full resolution. A layer is blurred at the one at which its disc has a few pixels, down
  to an eighth, so that the time hardly depends on the blur's size.

Between two layers a pixel's share in both is such that the discs have the second moment of its own blur.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import bpy

from .. import nodes
from . import compositor_nodes

Socket = bpy.types.NodeSocket

LEVELS = (0.125, 0.25, 0.5, 1.0)
"""Blur of the layers on either side of the focus, as shares of the largest."""

_HALVED_FROM = (4.0, 12.0, 28.0)
"""Radii in pixels from which on the resolution is halved once, twice and three times."""

_STEPS = dict(zip(LEVELS, (1, 2, 3, 3)))
"""Of these the ones that a level has: a small one is not halved as often before the largest is."""

_LEAST = 1e-4
"""Of weights that are divided by."""


def blurred(
    group: bpy.types.NodeTree, image: Socket, amount: Socket, *, radius: Socket, bokeh: Socket, longest: Socket
) -> Socket:
    """An image blurred by an amount from -1 to 1 in each pixel: in front of the focus below 0, behind it above.

    Parameters
    ----------
    image : Socket
        Premultiplied.
    amount : Socket
        Blur of the pixel as a share of the largest.
    radius : Socket
        The largest blur's, in pixels.
    bokeh : Socket
        The aperture's picture.
    longest : Socket
        The image's longer side in pixels.
    """
    do = partial(nodes.math, group)
    squared = do("MULTIPLY", amount, do("ABSOLUTE", amount), label="Blur, squared")
    levels = [*reversed(LEVELS), 0.0, *(-level for level in LEVELS)]
    # How much of a pixel is in a layer or in front of it, and from that how much is in it and how much behind it.
    reached: list[Any] = [1.0]
    for behind, own in pairwise(level * abs(level) for level in levels):
        slope = 1.0 / (behind - own)
        reached.append(do("MULTIPLY_ADD", squared, -slope, behind * slope, clamp=True))
    shares = [do("SUBTRACT", one, other) for one, other in pairwise(reached)] + [reached[-1]]
    behinds = [do("SUBTRACT", 1.0, each) for each in reached]
    radii = {level: do("MULTIPLY", radius, level) for level in LEVELS}
    lens = {"Bokeh": bokeh, "Longest": longest}
    alpha = compositor_nodes.channel(group, image, "Alpha")

    def laid(layers: range, under: dict[str, Any], common: Any) -> dict[str, Any]:
        """Layers blurred and laid over each other and over what is under them, at a level's resolution or the whole."""
        for at in layers:
            own = {"Image": image, "Alpha": alpha, "Share": shares[at], "Behind": behinds[at], "Common": common}
            if levels[at]:
                own |= {"Radius": radii[abs(levels[at])], **lens}
                steps = _STEPS[abs(levels[at])]
                build = partial(_build_layer, steps=steps)
                node = compositor_nodes.part(group, f"Blurred Layer {steps}", build, {**own, **under})
            else:
                node = compositor_nodes.part(group, "Sharp Layer", _build_layer, {**own, **under})
            under = {f"Under {name}": nodes.output_of(node, name) for name in ("Light", "Alpha", "Through")}
        return under

    def over(stack: dict[str, Any], light: Socket, alpha: Socket) -> tuple[Socket, Socket]:
        """A stack at the resolution of the level `common`, brought to the whole one, over an image."""
        inputs = {**stack, "Common": radii[common], "Light": light, "Alpha": alpha}
        node = compositor_nodes.part(group, "Layers Over", _build_over, inputs)
        return nodes.output_of(node, "Light"), nodes.output_of(node, "Alpha")

    middle, common = len(LEVELS), LEVELS[1]
    nothing = {"Under Through": 1.0}
    # The larger ones are laid over each other at the resolution of the least of them, and brought to the whole once.
    light, seen = over(laid(range(middle - 1), nothing, radii[common]), image, alpha)
    start = {"Under Light": light, "Under Alpha": seen, "Under Through": 1.0}
    sharp = laid(range(middle - 1, middle + 1), start, 0.0)
    hidden = {"Light": sharp["Under Light"], "Alpha": sharp["Under Alpha"], "Hidden": reached[middle + 1]}
    continued = compositor_nodes.part(
        group, "Continued Behind", _build_continued, {**hidden, "Radius": radii[LEVELS[-1]], **lens}
    )
    start |= {f"Under {name}": nodes.output_of(continued, name) for name in ("Light", "Alpha")}
    sharp = laid(range(middle + 1, middle + 2), start, 0.0)
    near = laid(range(middle + 2, len(levels)), nothing, radii[common])
    light, seen = over(near, sharp["Under Light"], sharp["Under Alpha"])
    return compositor_nodes.set_alpha(group, light, seen, mode="REPLACE_ALPHA")


def _build_layer(group: bpy.types.NodeTree, *, steps: int = 0) -> None:
    """A layer, blurred and laid over what is under it: light, its alpha, and how much passes from behind it all.

    *Image* and *Alpha* are the whole image's, *Share* and *Behind* how much of each pixel is in the layer and behind
    it. Where both are blurred to nothing the layer covers nothing.
    """
    for name, kind in (("Light", "Color"), ("Alpha", "Float"), ("Through", "Float")):
        nodes.interface_output(group, name, kind)
    numbers = ("Alpha", "Share", "Behind", "Radius", "Common", "Longest", "Under Alpha", "Under Through")
    inputs, outputs = compositor_nodes.plain_inputs(group, numbers, ("Image", "Bokeh", "Under Light"))
    do = partial(nodes.math, group)
    light = compositor_nodes.multiply_color(group, inputs["Image"], inputs["Share"])
    alpha = do("MULTIPLY", inputs["Share"], inputs["Alpha"])
    share, behind = inputs["Share"], inputs["Behind"]
    if steps:  # else it is sharp
        light, parts = _both_blurred(group, inputs, steps, light, share, behind, alpha)
        share = compositor_nodes.channel(group, parts, "Red")
        behind, alpha = (nodes.output_of(share.node, name) for name in ("Green", "Blue"))
    whole = do("ADD", share, behind)
    gain = do("DIVIDE", 1.0, do("MAXIMUM", whole, _LEAST))
    through = do("SUBTRACT", 1.0, do("MULTIPLY", share, gain), label="Passes")
    rest = compositor_nodes.multiply_color(group, inputs["Under Light"], through)
    own = compositor_nodes.multiply_color(group, light, gain)
    nodes.feed(outputs["Light"], compositor_nodes.add_color(group, own, rest))
    alpha = do("MULTIPLY", alpha, gain)
    nodes.feed(outputs["Alpha"], do("MULTIPLY_ADD", through, inputs["Under Alpha"], alpha))
    nodes.feed(outputs["Through"], do("MULTIPLY", through, inputs["Under Through"]))


def _build_over(group: bpy.types.NodeTree) -> None:
    """Layers, brought to the whole resolution from that of a radius, over an image.

    What covers nothing is brought there, not what lets everything through: beyond the border of a scaled image is 0.
    """
    for name, kind in (("Light", "Color"), ("Alpha", "Float")):
        nodes.interface_output(group, name, kind)
    inputs, outputs = compositor_nodes.plain_inputs(
        group, ("Under Alpha", "Under Through", "Common", "Alpha"), ("Under Light", "Light")
    )
    do = partial(nodes.math, group)
    _, larger = _steps(group, inputs["Common"], _STEPS[LEVELS[1]])
    covered = do("SUBTRACT", 1.0, inputs["Under Through"])
    parts = compositor_nodes.combine_color(group, inputs["Under Alpha"], covered, 0.0)
    light, parts = (compositor_nodes.scaled(group, each, larger) for each in (inputs["Under Light"], parts))
    alpha = compositor_nodes.channel(group, parts, "Red")
    through = do("SUBTRACT", 1.0, nodes.output_of(alpha.node, "Green"))
    rest = compositor_nodes.multiply_color(group, inputs["Light"], through)
    nodes.feed(outputs["Light"], compositor_nodes.add_color(group, rest, light))
    nodes.feed(outputs["Alpha"], do("MULTIPLY_ADD", inputs["Alpha"], through, alpha))


def _build_continued(group: bpy.types.NodeTree) -> None:
    """An image continued where something near hides it wholly, as far as its blur reaches."""
    for name, kind in (("Light", "Color"), ("Alpha", "Float")):
        nodes.interface_output(group, name, kind)
    inputs, outputs = compositor_nodes.plain_inputs(group, ("Alpha", "Hidden", "Radius", "Longest"), ("Light", "Bokeh"))
    do = partial(nodes.math, group)
    hidden = do("GREATER_THAN", inputs["Hidden"], 1.0 - _LEAST)
    seen = do("SUBTRACT", 1.0, hidden)
    light = compositor_nodes.multiply_color(group, inputs["Light"], seen)
    weighted = do("MULTIPLY", seen, inputs["Alpha"])
    lens = {name: inputs[name] for name in ("Bokeh", "Radius", "Longest")} | {"Common": 0.0}
    light, parts = _both_blurred(group, lens, _STEPS[LEVELS[-1]], light, seen, weighted, 0.0)
    share = compositor_nodes.channel(group, parts, "Red")
    gain = do("DIVIDE", hidden, do("MAXIMUM", share, _LEAST))
    found = do("MULTIPLY", do("GREATER_THAN", share, _LEAST), hidden)
    kept = do("SUBTRACT", 1.0, found)
    rest = compositor_nodes.multiply_color(group, inputs["Light"], kept)
    nodes.feed(
        outputs["Light"], compositor_nodes.add_color(group, rest, compositor_nodes.multiply_color(group, light, gain))
    )
    alpha = do("MULTIPLY", nodes.output_of(share.node, "Green"), gain)
    nodes.feed(outputs["Alpha"], do("MULTIPLY_ADD", inputs["Alpha"], kept, alpha))


def _both_blurred(group: bpy.types.NodeTree, inputs: Any, steps: int, light: Socket, *weights: Any) -> list[Socket]:
    """An image and its weights, blurred alike."""
    lens = {name: inputs[name] for name in ("Bokeh", "Radius", "Common", "Longest")}
    both = (light, compositor_nodes.combine_color(group, *weights))
    name, build = f"Bokeh at Its Size {steps}", partial(_build_blur, count=steps)
    made = (compositor_nodes.part(group, name, build, {"Image": each, **lens}) for each in both)
    return [nodes.output_of(node, "Image") for node in made]


def _build_blur(group: bpy.types.NodeTree, *, count: int) -> None:
    """An image blurred by a radius at the resolution that suits that, and then at that of another radius."""
    nodes.interface_output(group, "Image", "Color")
    inputs, outputs = compositor_nodes.plain_inputs(group, ("Radius", "Common", "Longest"), ("Image", "Bokeh"))
    steps, whole = _steps(group, inputs["Radius"], count)
    image = inputs["Image"]
    for step in steps:  # one after the other, each the mean of four pixels
        nothing = (0.0, 0.0, 0.0, 0.0)
        image = compositor_nodes.add_color(group, compositor_nodes.scaled(group, image, step), nothing)
    radius, longest = (nodes.math(group, "DIVIDE", inputs[name], whole) for name in ("Radius", "Longest"))
    image = compositor_nodes.bokeh_blur(group, image, inputs["Bokeh"], radius, longest)
    _, common = _steps(group, inputs["Common"], _STEPS[LEVELS[1]])
    nodes.feed(outputs["Image"], compositor_nodes.scaled(group, image, nodes.math(group, "DIVIDE", whole, common)))


def _steps(group: bpy.types.NodeTree, radius: Socket, count: int) -> tuple[list[Socket], Socket]:
    """By what the resolution is multiplied step by step for a radius, and what brings it back."""
    steps: list[Socket] = []
    whole: Any = 1.0
    for least in _HALVED_FROM[:count]:
        is_large = nodes.math(group, "GREATER_THAN", radius, least - 1e-3)
        steps.append(nodes.math(group, "MULTIPLY_ADD", is_large, -0.5, 1.0))
        whole = nodes.math(group, "MULTIPLY", whole, nodes.math(group, "ADD", is_large, 1.0))
    return steps, whole
