"""Where the depth mesh is torn, and what closes the tear as its camera sees it.

A depth map has no gap between an actor and the wall behind, but a few pixels of neither: a renderer's or a network's
edge is soft. A surface through them is a shard from the side. So edges are found, pixels of neither are given to the
nearer of both surfaces, and the faces that still lie between both are taken out of the surface, as *torn*: twice they
come back, once as the rim of what is in front, half a pixel wide as its pixels are, and once as the rim of what is
behind, so that nothing shows between them.

All of it works on the lattice before it is displaced, see `lattice`: points on integer coordinates in columns, with
their distance in the attribute `DEPTH` and their place in the image in `PLACE`. Planes are linear in 1/Z over the
image, so a slope is told from an edge by 1/Z however steep it is: a floor goes on at its slope beyond the pixels that
are compared, an edge does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import bpy

from . import nodes
from .geometry import (
    Socket,
    at_index,
    at_point_of,
    combine,
    join,
    move,
    named,
    on_points,
    repeat,
    separate,
    split,
    store,
    switch,
    vector,
)
from .lattice import LENS, add_rays, call

DEPTH, PLACE = "depth", "plate"
"""Attributes: Z of each point; (u, v, 0), which becomes what the material reads once the points stand where they
belong."""

_EDGE, _TORN = "edge", "torn"
MARKS = (_EDGE, _TORN)
"""Attributes that serve on the way alone."""

_GOES_ON = 0.4
"""Share of a jump over 2 n pixels by which a surface may go on over n more, for the jump to be an edge: a plane goes on
by .5."""

_DIAGONAL = 1e-4
"""Weight of neighbors across a corner, which count where no others are there."""


class Cells(NamedTuple):
    """The lattice's points: how many, and the column and the row of each."""

    columns: Socket
    rows: Socket
    column: Socket
    row: Socket


def cells(tree: bpy.types.NodeTree, columns: Socket, rows: Socket) -> Cells:
    """The points of a lattice or of a part of it, by their position."""

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        x, y, _ = split(group, nodes.value(group, "GeometryNodeInputPosition", "Position"))
        found = {}
        for name, at, count in (("Column", x, inputs["Columns"]), ("Row", y, inputs["Rows"])):
            half = nodes.math(group, "MULTIPLY", nodes.math(group, "SUBTRACT", count, 1.0), 0.5)
            found[name] = "Float", nodes.math(group, "ROUND", nodes.math(group, "ADD", at, half))
        return found

    made = call(tree, "cells", "Cells", {"Columns": ("Float", columns), "Rows": ("Float", rows)}, body)
    return Cells(columns, rows, made["Column"], made["Row"])


def neighbor(tree: bpy.types.NodeTree, points: Cells, across: Any, up: Any) -> Socket:
    """Index of the point so many columns and rows on, or of the last one that way."""
    ways = {"Across": across, "Up": up}
    ways = {name: by for name, by in ways.items() if isinstance(by, Socket) or by}

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        column, row = (
            _clamped(group, nodes.math(group, "ADD", inputs[at], inputs[by]), inputs[count])
            if by in ways
            else inputs[at]
            for at, by, count in (("Column", "Across", "Columns"), ("Row", "Up", "Rows"))
        )
        return {"Index": ("Int", nodes.math(group, "MULTIPLY_ADD", column, inputs["Rows"], row))}

    given = {"Columns": points.columns, "Rows": points.rows, "Column": points.column, "Row": points.row, **ways}
    asked = {key: ("Float", value) for key, value in given.items()}
    return call(tree, f"neighbor/{' '.join(ways)}", "Neighbor", asked, body)["Index"]


def mark(tree: bpy.types.NodeTree, geometry: Socket, points: Cells, *, cut: Socket, width: Socket) -> Socket:
    """Find the edges, and give their pixels of neither side to the nearer one.

    A point is at an edge where, over `width` pixels to both sides, the distance differs by more than the share `cut` of
    the farther one and does not go on so beyond, or where it differs from both sides: a wire.
    """
    given = {"Geometry": ("Geometry", geometry), "Columns": ("Int", points.columns), "Rows": ("Int", points.rows)}
    given |= {"Edge Cut": ("Float", cut), "Edge Width": ("Int", width)}
    return call(tree, "mark edges", "Mark Edges", given, _mark)["Geometry"]


def smooth(tree: bpy.types.NodeTree, geometry: Socket, points: Cells, *, cut: Socket, times: Socket) -> Socket:
    """Even out the distance, but not across edges.

    Each time 1/Z goes half the way to the mean of its neighbors, along columns and rows on their own, where both of
    them are nearer than an edge: so a plane stays a plane, up to its border.
    """
    given = {"Geometry": ("Geometry", geometry), "Columns": ("Int", points.columns), "Rows": ("Int", points.rows)}
    given |= {"Edge Cut": ("Float", cut), "Times": ("Int", times)}
    return call(tree, "smooth", "Smooth Depth", given, _smooth)["Geometry"]


def tear(tree: bpy.types.NodeTree, geometry: Socket, points: Cells, *, cut: Socket) -> tuple[Socket, Socket]:
    """The surface, and the faces that are torn: at an edge, with corners on both sides of it."""

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        near_edge = nodes.math(group, "GREATER_THAN", on_points(group, named(group, _EDGE, "FLOAT")), 0.0)
        is_torn = spans(group, inputs["Rows"], cut=inputs["Edge Cut"])
        marked = store(group, inputs["Geometry"], _TORN, is_torn, kind="BOOLEAN", domain="FACE", where=near_edge)
        torn, surface = separate(group, marked, named(group, _TORN, "BOOLEAN"), domain="FACE")
        return {"Surface": ("Geometry", surface), "Torn": ("Geometry", torn)}

    given = {"Geometry": ("Geometry", geometry), "Rows": ("Int", points.rows), "Edge Cut": ("Float", cut)}
    made = call(tree, "tear", "Tear", given, body)
    return made["Surface"], made["Torn"]


def spans(tree: bpy.types.NodeTree, rows: Socket, *, cut: Any) -> Socket:
    """Whether the distance of a face's four corners differs by more than a share of the farthest one."""

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        depth = named(group, DEPTH, "FLOAT")
        index = nodes.value(group, "GeometryNodeInputIndex", "Index")
        # Faces lie in columns as the points do, one fewer in each.
        column = _quotient(group, index, nodes.math(group, "SUBTRACT", inputs["Rows"], 1.0))
        first = nodes.math(group, "ADD", index, column)
        over = nodes.math(group, "ADD", first, inputs["Rows"])
        corners = [
            at_index(group, depth, each)
            for each in (first, nodes.math(group, "ADD", first, 1.0), over, nodes.math(group, "ADD", over, 1.0))
        ]
        return {"Spans": ("Bool", _differ(group, corners, nodes.math(group, "SUBTRACT", 1.0, inputs["Edge Cut"])))}

    return call(tree, "spans", "Spans an Edge", {"Rows": ("Int", rows), "Edge Cut": ("Float", cut)}, body)["Spans"]


def rims(tree: bpy.types.NodeTree, torn: Socket, whole: Socket, points: Cells, *, cut: Socket) -> Socket:
    """The torn faces as the rim of what is in front, and as that of what is behind, where they belong.

    `whole` is the lattice that they are of. In front, points that belong behind come halfway to those in front, at
    their distance: pixels end halfway to their neighbors. Behind, points that belong in front go to the distance of
    those behind, and show what is beside them there.
    """
    given = {"Torn": ("Geometry", torn), "Whole": ("Geometry", whole), "Edge Cut": ("Float", cut)}
    given |= {"Columns": ("Int", points.columns), "Rows": ("Int", points.rows)}
    return call(tree, "rims", "Rims", given, _rims, inherit=LENS)["Rims"]


def stand(
    tree: bpy.types.NodeTree,
    geometry: Socket,
    *,
    moved: tuple[Socket, Socket, Socket] | None = None,
    used: tuple[str, ...] = (),
) -> Socket:
    """Put points of the lattice where they belong, with the attributes that materials and exports read.

    They stand at the distance and the place that they have as attributes, showing what is at their place, or at those
    that are `moved`: distance, place, and place to show. Attributes that are `used` up are removed.
    """

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        made, names = inputs["Geometry"], used
        ray = add_rays(group, named(group, PLACE, "FLOAT_VECTOR"))
        if moved is not None:
            # All three are computed from what the geometry has, before any of it is changed.
            for name, kind in (("Distance", "FLOAT"), ("Place", "FLOAT_VECTOR"), ("Shown", "FLOAT_VECTOR")):
                made = store(group, made, name, inputs[name], kind=kind)
            made = store(group, made, DEPTH, named(group, "Distance", "FLOAT"), kind="FLOAT")
            made = store(group, made, PLACE, named(group, "Shown", "FLOAT_VECTOR"), kind="FLOAT_VECTOR")
            ray = add_rays(group, named(group, "Place", "FLOAT_VECTOR"))
            names = (*used, "Distance", "Place", "Shown")
        uv, depth = named(group, PLACE, "FLOAT_VECTOR"), named(group, DEPTH, "FLOAT")
        made = store(group, made, "UVMap", uv, kind="FLOAT2", domain="CORNER")
        made = move(group, made, vector(group, "SCALE", ray, scale=depth))
        u, v, _ = split(group, uv)
        weighted = (nodes.math(group, "MULTIPLY", each, depth) for each in (u, v))
        made = store(group, made, PLACE, combine(group, *weighted, depth), kind="FLOAT_VECTOR")
        for name in names:
            inside = {"Geometry": made, "Name": name}
            made = nodes.value(group, "GeometryNodeRemoveAttribute", "Geometry", inside)
        return {"Geometry": ("Geometry", made)}

    given: dict[str, tuple[str, Any]] = {"Geometry": ("Geometry", geometry)}
    if moved is not None:
        given |= dict(zip(("Distance", "Place", "Shown"), zip(("Float", "Vector", "Vector"), moved)))
    kind = f"stand/{'moved' if moved is not None else 'as it is'}/{' '.join(used)}"
    return call(tree, kind, "Stand", given, body, inherit=LENS)["Geometry"]


# ------------------------------------------------------------------------------------------------------- the groups


def _mark(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    points = cells(tree, inputs["Columns"], inputs["Rows"])
    depth, width = named(tree, DEPTH, "FLOAT"), inputs["Edge Width"]
    back = nodes.math(tree, "MULTIPLY", width, -1.0)
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])
    steps = {True: ((back, 0), (width, 0)), False: ((0, back), (0, width))}
    around = [at_index(tree, depth, neighbor(tree, points, *step)) for both in steps.values() for step in both]
    differs = _differ(tree, [depth, *around], keep)
    geometry = store(tree, inputs["Geometry"], _EDGE, differs, kind="BOOLEAN")

    # All that follows is computed for those few alone.
    found = [_across(tree, points, depth, width, keep, is_horizontal=way) for way in steps]
    is_edge = nodes.math(tree, "MAXIMUM", *(each["Is Edge"] for each in found))
    higher = nodes.math(tree, "GREATER_THAN", *(each["Height"] for each in reversed(found)))
    side = switch(tree, higher, *(each["Side"] for each in found), kind="FLOAT")
    is_marked = named(tree, _EDGE, "BOOLEAN")
    geometry = store(tree, geometry, _EDGE, is_edge, kind="BOOLEAN", where=is_marked)
    geometry = store(tree, geometry, DEPTH, nodes.math(tree, "DIVIDE", 1.0, side), kind="FLOAT", where=is_marked)
    return {"Geometry": ("Geometry", geometry)}


def _smooth(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    points = cells(tree, inputs["Columns"], inputs["Rows"])
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])

    def once(now: dict[str, Socket]) -> dict[str, Socket]:
        depth = named(tree, DEPTH, "FLOAT")
        here = nodes.math(tree, "DIVIDE", 1.0, depth)
        change: Any = 0.0
        for steps, at, count in (
            (((-1, 0), (1, 0)), points.column, points.columns),
            (((0, -1), (0, 1)), points.row, points.rows),
        ):
            sides = [at_index(tree, depth, neighbor(tree, points, *step)) for step in steps]
            is_one = nodes.math(tree, "SUBTRACT", 1.0, _differ(tree, [depth, *sides], keep))
            both = nodes.math(tree, "ADD", *(nodes.math(tree, "DIVIDE", 1.0, each) for each in sides))
            bend = nodes.math(tree, "MULTIPLY_ADD", here, -2.0, both)
            # Points of the border have the depth of the pixel beside them, which bends every plane.
            half = nodes.math(tree, "MULTIPLY", nodes.math(tree, "SUBTRACT", count, 1.0), 0.5)
            off = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", at, half))
            inside = nodes.math(tree, "LESS_THAN", off, nodes.math(tree, "SUBTRACT", half, 1.5))
            is_one = nodes.math(tree, "MULTIPLY", is_one, inside)
            change = nodes.math(tree, "MULTIPLY_ADD", bend, is_one, change)
        even = nodes.math(tree, "DIVIDE", 1.0, nodes.math(tree, "MULTIPLY_ADD", change, 0.125, here))
        return {"Geometry": store(tree, now["Geometry"], DEPTH, even, kind="FLOAT")}

    made = repeat(tree, inputs["Times"], {"Geometry": ("GEOMETRY", inputs["Geometry"])}, once)
    return {"Geometry": ("Geometry", made["Geometry"])}


def _rims(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    points = cells(tree, inputs["Columns"], inputs["Rows"])
    depth, place = named(tree, DEPTH, "FLOAT"), named(tree, PLACE, "FLOAT_VECTOR")
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])
    # Weights, and with them 1/Z and places, of the neighbors in front, and of those behind.
    sums: dict[str, tuple[str, Any]] = {}
    for side in _SIDES:
        sums |= {f"{side} Weight": ("Float", 0.0), f"{side} 1 / Z": ("Float", 0.0)}
        sums[f"{side} Place"] = ("Vector", (0.0, 0.0, 0.0))
    for across, up in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        given = {"Whole": ("Geometry", inputs["Whole"]), "Keep": ("Float", keep), "Z": ("Float", depth), **sums}
        given["Index"] = ("Int", neighbor(tree, points, across, up))
        given["Share"] = ("Float", _DIAGONAL if across and up else 1.0)
        made = call(tree, "rim neighbor", "Rim Neighbor", given, _rim_neighbor)
        sums = {name: (kind, made[name]) for name, (kind, _) in sums.items()}
    moved = {}
    for side in _SIDES:
        weight, inverse, total = (sums[f"{side} {name}"][1] for name in ("Weight", "1 / Z", "Place"))
        some = nodes.math(tree, "GREATER_THAN", weight, 0.0)
        distance = switch(tree, some, depth, nodes.math(tree, "DIVIDE", weight, inverse), kind="FLOAT")
        mean = vector(tree, "SCALE", total, scale=nodes.math(tree, "DIVIDE", 1.0, weight))
        moved[side] = distance, switch(tree, some, place, mean, kind="VECTOR")
    halfway = vector(tree, "SCALE", vector(tree, "ADD", place, moved["Front"][1]), scale=0.5)
    front = stand(tree, inputs["Torn"], moved=(moved["Front"][0], halfway, halfway), used=MARKS)
    behind = stand(tree, inputs["Torn"], moved=(moved["Behind"][0], place, moved["Behind"][1]), used=MARKS)
    some = nodes.value(tree, "GeometryNodeAttributeDomainSize", "Face Count", {"Geometry": inputs["Torn"]})
    some = nodes.math(tree, "GREATER_THAN", some, 0.0)
    return {"Rims": ("Geometry", switch(tree, some, None, join(tree, front, behind)))}


_SIDES = ("Front", "Behind")


def _rim_neighbor(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Add one neighbor to the sums of those in front, and of those behind."""
    index, depth = inputs["Index"], inputs["Z"]
    theirs = at_point_of(tree, inputs["Whole"], named(tree, DEPTH, "FLOAT"), index)
    place = at_point_of(tree, inputs["Whole"], named(tree, PLACE, "FLOAT_VECTOR"), index, kind="FLOAT_VECTOR")
    made = {}
    for side, nearer, farther in (("Front", theirs, depth), ("Behind", depth, theirs)):
        counts = nodes.math(tree, "LESS_THAN", nearer, nodes.math(tree, "MULTIPLY", farther, inputs["Keep"]))
        weight = nodes.math(tree, "MULTIPLY", counts, inputs["Share"])
        inverse = nodes.math(tree, "DIVIDE", weight, theirs)
        names = [f"{side} {name}" for name in ("Weight", "1 / Z", "Place")]
        made[names[0]] = "Float", nodes.math(tree, "ADD", weight, inputs[names[0]])
        made[names[1]] = "Float", nodes.math(tree, "ADD", inverse, inputs[names[1]])
        made[names[2]] = "Vector", vector(tree, "ADD", vector(tree, "SCALE", place, scale=weight), inputs[names[2]])
    return made


def _across(
    tree: bpy.types.NodeTree, points: Cells, depth: Socket, width: Socket, keep: Socket, *, is_horizontal: bool
) -> dict[str, Socket]:
    """Along one axis: whether a point is at an edge, how high that is, and 1/Z of the side that it belongs to."""
    given = {"Here": ("Float", nodes.math(tree, "DIVIDE", 1.0, depth)), "Keep": ("Float", keep)}
    for name, times in (("A", -1.0), ("B", 1.0), ("A2", -2.0), ("B2", 2.0)):
        by = nodes.math(tree, "MULTIPLY", width, times)
        index = neighbor(tree, points, *((by, 0) if is_horizontal else (0, by)))
        given[name] = "Float", nodes.math(tree, "DIVIDE", 1.0, at_index(tree, depth, index))
    return call(tree, "edge across", "Edge Across", given, _edge_across)


def _edge_across(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """The inputs have 1/Z at one width and at two, before and after: A, B, A2, B2."""
    a, b, here, keep = (inputs[name] for name in ("A", "B", "Here", "Keep"))
    near, far = nodes.math(tree, "MAXIMUM", a, b), nodes.math(tree, "MINIMUM", a, b)
    jump = nodes.math(tree, "SUBTRACT", near, far)
    is_high = nodes.math(tree, "LESS_THAN", far, nodes.math(tree, "MULTIPLY", near, keep))
    way = nodes.math(tree, "SIGN", nodes.math(tree, "SUBTRACT", b, a))
    before, after = nodes.math(tree, "SUBTRACT", a, inputs["A2"]), nodes.math(tree, "SUBTRACT", inputs["B2"], b)
    goes_on = nodes.math(tree, "MAXIMUM", *(nodes.math(tree, "MULTIPLY", each, way) for each in (before, after)))
    ends = nodes.math(tree, "LESS_THAN", goes_on, nodes.math(tree, "MULTIPLY", jump, _GOES_ON))
    step = nodes.math(tree, "MULTIPLY", is_high, ends)

    in_front = nodes.math(tree, "LESS_THAN", near, nodes.math(tree, "MULTIPLY", here, keep))
    behind = nodes.math(tree, "LESS_THAN", here, nodes.math(tree, "MULTIPLY", far, keep))
    is_edge = nodes.math(tree, "MAXIMUM", step, nodes.math(tree, "MAXIMUM", in_front, behind))

    # Of neither side: off from both of them by half of what makes an edge.
    half = nodes.math(tree, "MULTIPLY_ADD", keep, 0.5, 0.5)
    off_near = nodes.math(tree, "LESS_THAN", here, nodes.math(tree, "MULTIPLY", near, half))
    off_far = nodes.math(tree, "LESS_THAN", far, nodes.math(tree, "MULTIPLY", here, half))
    is_neither = nodes.math(tree, "MULTIPLY", nodes.math(tree, "MULTIPLY", off_near, off_far), step)
    middle = nodes.math(tree, "MULTIPLY", nodes.math(tree, "ADD", near, far), 0.5)
    nearer = switch(tree, nodes.math(tree, "GREATER_THAN", here, middle), far, near, kind="FLOAT")
    return {
        "Is Edge": ("Float", is_edge),
        "Height": ("Float", nodes.math(tree, "MULTIPLY", jump, step)),
        "Side": ("Float", switch(tree, is_neither, here, nearer, kind="FLOAT")),
    }


def _differ(tree: bpy.types.NodeTree, distances: list[Socket], keep: Socket) -> Socket:
    """Whether the nearest of some distances is less than a share of the farthest one."""
    least = most = distances[0]
    for each in distances[1:]:
        least, most = nodes.math(tree, "MINIMUM", least, each), nodes.math(tree, "MAXIMUM", most, each)
    return nodes.math(tree, "LESS_THAN", least, nodes.math(tree, "MULTIPLY", most, keep))


def _quotient(tree: bpy.types.NodeTree, index: Socket, count: Socket) -> Socket:
    """The whole part of a quotient, also of numbers so large that the division is rounded over it."""
    about = nodes.math(tree, "FLOOR", nodes.math(tree, "DIVIDE", index, count))
    rest = nodes.math(tree, "SUBTRACT", index, nodes.math(tree, "MULTIPLY", about, count))
    less = nodes.math(tree, "LESS_THAN", rest, -0.5)
    more = nodes.math(tree, "GREATER_THAN", rest, nodes.math(tree, "SUBTRACT", count, 0.5))
    return nodes.math(tree, "ADD", about, nodes.math(tree, "SUBTRACT", more, less))


def _clamped(tree: bpy.types.NodeTree, index: Socket, count: Socket) -> Socket:
    last = nodes.math(tree, "SUBTRACT", count, 1.0)
    return nodes.math(tree, "MINIMUM", nodes.math(tree, "MAXIMUM", index, 0.0), last)
