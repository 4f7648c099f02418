"""The depth mesh's second layer: what is behind goes on behind what is in front, as far as a moved camera may look.

Nobody filmed it, so it is made up: beside each edge, the plane of what is behind goes on, and shows the plate mirrored
at the edge. That wants few points, so this layer has a coarse lattice of its own, and works as follows.

1. *Seeds* are points behind an edge: a neighbor is in front of them, and they are not in front of any.
2. Each point finds its nearest seed by jump flooding (Rong and Tan, "Jump Flooding in GPU with Applications to Voronoi
   Diagram and Distance Transform", I3D 2006, section 3): it asks its neighbors at 2^n points, 2^(n-1), … 1 which seed
   they know.
3. Mirrored at its seed, a point p has another one m on the surface behind. With w = 1/Z, which is linear in the image
   on a plane, the plane goes on to ``w = 2 w(seed) - w(m)`` at p.
4. Points that lie in front of that by more than an edge go there. All faces at none of these are left out.
5. Where planes of different seeds meet, the layer would jump, and be a skin or a hole from aside. So it is evened out:
   each such point goes to the mean of its neighbors' w, first of those farther off. That leaves planes as they are.
"""

from __future__ import annotations

from typing import Any

import bpy

from ..inference.contract.depth_sequence import Quantity
from . import nodes
from .geometry import Socket, at_index, combine, delete, named, on_points, repeat, sample, store, switch, vector
from .lattice import Lattice, add_distance, add_lattice, call, detail_of
from .mesh_edges import DEPTH, PLACE, Cells, cells, neighbor, spans, stand

POINTS, VIEWPORT_POINTS = 40_000.0, 12_000.0
"""Points of the second layer at most, roughly: in renders, and in the viewport."""

_NEAREST, _SEED, _FILLED, _SHOWN = "nearest", "seed", "filled", "shown"
_PUSH = 1.01
"""The layer lies behind what it continues by so much, where it does not join that: it never shows through."""
_FAR_AWAY = 1e12
_EVENED, _FARTHEST_STEP = 6, 4.0
"""How many times the layer is evened out, and by neighbors so many points off at first."""
_LARGEST_TURN = 0.5
"""Share of 1/Z by which the layer may leave that of its seed: farther off, a mirrored point is of something else."""


def add(
    tree: bpy.types.NodeTree,
    grid: Any,
    quantity: Quantity,
    *,
    cut: Socket,
    reach: Socket,
    matte: Any | None = None,
) -> Socket:
    """Add the nodes of the second layer; returns its geometry, where it belongs.

    Parameters
    ----------
    grid : callable
        ``grid(tree, columns, rows)`` adds a flat lattice.
    cut : Socket
        Share of the farther distance from which on a difference is an edge.
    reach : Socket
        How far it goes on, in widths of the image.
    matte : callable or None
        ``matte(place, frame)`` adds the nodes that say whether a place of the image is left out, and filled.
    """
    inputs, _ = nodes.group_sockets(tree)
    own = detail_of(tree)
    pixels = nodes.math(tree, "MULTIPLY", inputs["Map Width"], inputs["Map Height"])
    most = switch(
        tree, nodes.value(tree, "GeometryNodeIsViewport", "Is Viewport"), POINTS, VIEWPORT_POINTS, kind="FLOAT"
    )
    coarse = nodes.math(tree, "SQRT", nodes.math(tree, "DIVIDE", most, pixels))
    lattice = add_lattice(tree, quantity, detail=nodes.math(tree, "MINIMUM", own, coarse))
    counts = {"Columns": ("Int", lattice.columns), "Rows": ("Int", lattice.rows), "Edge Cut": ("Float", cut)}

    geometry = grid(tree, lattice.columns, lattice.rows)
    geometry = store(tree, geometry, PLACE, lattice.uv, kind="FLOAT_VECTOR")
    geometry = store(tree, geometry, DEPTH, lattice.distance, kind="FLOAT")
    nearest = add_distance(tree, quantity, _most_disparity(tree, lattice))
    if matte is not None:
        nearest = switch(tree, matte(lattice.pixel, lattice.frame), nearest, 1.0 / _FAR_AWAY, kind="FLOAT")
    geometry = store(tree, geometry, _NEAREST, nearest, kind="FLOAT")
    given = {"Geometry": ("Geometry", geometry), **counts, "Reach": ("Float", reach)}
    geometry = call(tree, "seeds", "Find Seeds", given, _find_seeds)["Geometry"]
    geometry = call(tree, "fill", "Fill", {"Geometry": ("Geometry", geometry), **counts}, _fill)["Geometry"]
    geometry = call(tree, "even", "Even Out", {"Geometry": ("Geometry", geometry), **counts}, _even)["Geometry"]
    empty = nodes.math(tree, "LESS_THAN", on_points(tree, named(tree, _FILLED, "FLOAT")), 1e-3)
    # Where it reaches no farther, it is next to what is in front; a steep floor that it continues spans less.
    unreached = nodes.math(tree, "LESS_THAN", named(tree, _SEED, "FLOAT"), -0.5)
    ends = nodes.math(tree, "GREATER_THAN", on_points(tree, unreached), 1e-3)
    jumps = spans(tree, lattice.rows, cut=nodes.math(tree, "MAXIMUM", cut, 0.5))
    useless = nodes.math(tree, "MAXIMUM", empty, nodes.math(tree, "MULTIPLY", ends, jumps))
    geometry = before = delete(tree, geometry, useless, domain="FACE", mode="ALL")
    place, is_filled = named(tree, PLACE, "FLOAT_VECTOR"), _is_filled(tree)
    shown = switch(tree, is_filled, place, named(tree, _SHOWN, "FLOAT_VECTOR"), kind="VECTOR")
    moved = named(tree, DEPTH, "FLOAT"), place, shown
    geometry = stand(tree, geometry, moved=moved, used=(_NEAREST, _SEED, _FILLED, _SHOWN))
    some = nodes.value(tree, "GeometryNodeAttributeDomainSize", "Face Count", {"Geometry": before})
    return switch(tree, nodes.math(tree, "GREATER_THAN", some, 0.0), None, geometry)


# ------------------------------------------------------------------------------------------------------------ steps


def _most_disparity(tree: bpy.types.NodeTree, lattice: Lattice) -> Socket:
    """The largest of nine values around a point, so that no thin thing in front falls between the points."""
    inputs, _ = nodes.group_sockets(tree)
    most: Any = None
    third = [
        nodes.math(tree, "DIVIDE", 1 / 3, nodes.math(tree, "SUBTRACT", count, 2.0))
        for count in (lattice.columns, lattice.rows)
    ]
    for across in (-1.0, 0.0, 1.0):
        for up in (-1.0, 0.0, 1.0):
            step = combine(tree, *(nodes.math(tree, "MULTIPLY", by, n) for by, n in zip(third, (across, up))), 0.0)
            place = vector(tree, "ADD", lattice.pixel, step)
            each = sample(tree, inputs["Disparity"], place, lattice.frame)
            most = each if most is None else nodes.math(tree, "MAXIMUM", most, each)
    return most


def _find_seeds(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Store the index of each point's nearest seed, or -1."""
    geometry, reach = inputs["Geometry"], inputs["Reach"]
    points = cells(tree, inputs["Columns"], inputs["Rows"])
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])
    depth, nearest = named(tree, DEPTH, "FLOAT"), named(tree, _NEAREST, "FLOAT")
    limit = nodes.math(tree, "MULTIPLY", depth, keep)
    here = nodes.math(tree, "DIVIDE", 1.0, depth)
    beside: Any = 0.0
    for x, y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        there = [at_index(tree, nearest, neighbor(tree, points, n * x, n * y)) for n in (1, 2, 4)]
        given = {"Theirs": nodes.math(tree, "MINIMUM", *there[:2]), "Beyond": there[2], "Limit": limit, "Here": here}
        given |= {"Opposite": at_index(tree, depth, neighbor(tree, points, -2 * x, -2 * y)), "Others": beside}
        asked = {key: ("Float", value) for key, value in given.items()}
        beside = call(tree, "beside an edge", "Beside an Edge", asked, _beside)["Beside"]
    is_clean = nodes.math(tree, "GREATER_THAN", nearest, limit)
    is_seed = nodes.math(tree, "MULTIPLY", beside, is_clean)
    index = nodes.value(tree, "GeometryNodeInputIndex", "Index")
    first = switch(tree, is_seed, -1.0, index, kind="FLOAT")
    geometry = store(tree, geometry, _SEED, first, kind="FLOAT")

    inside = nodes.math(tree, "SUBTRACT", points.columns, 2.0)
    far = nodes.math(tree, "MAXIMUM", nodes.math(tree, "MULTIPLY", reach, inside), 1.0)
    times = nodes.math(tree, "CEIL", nodes.math(tree, "LOGARITHM", nodes.math(tree, "ADD", far, 1.0), 2.0))
    step = nodes.math(tree, "POWER", 2.0, nodes.math(tree, "SUBTRACT", times, 1.0))

    def ask(now: dict[str, Socket]) -> dict[str, Socket]:
        seed = named(tree, _SEED, "FLOAT")
        best, least = seed, _distance_to(tree, points, seed)
        back, on = nodes.math(tree, "MULTIPLY", now["Step"], -1.0), now["Step"]
        for across, up in ((back, 0), (on, 0), (0, back), (0, on), (back, back), (back, on), (on, back), (on, on)):
            theirs = at_index(tree, seed, neighbor(tree, points, across, up))
            away = _distance_to(tree, points, theirs)
            best = switch(tree, nodes.math(tree, "LESS_THAN", away, least), best, theirs, kind="FLOAT")
            least = nodes.math(tree, "MINIMUM", least, away)
        return {
            "Geometry": store(tree, now["Geometry"], _SEED, best, kind="FLOAT"),
            "Step": nodes.math(tree, "MULTIPLY", now["Step"], 0.5),
        }

    state = {"Geometry": ("GEOMETRY", geometry), "Step": ("FLOAT", step)}
    return {"Geometry": ("Geometry", repeat(tree, times, state, ask)["Geometry"])}


def _beside(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Whether what is one or two points away is in front of a point, and no slope leads on from either to there."""
    here, theirs = inputs["Here"], inputs["Theirs"]
    is_nearer = nodes.math(tree, "LESS_THAN", theirs, inputs["Limit"])
    jump = nodes.math(tree, "SUBTRACT", nodes.math(tree, "DIVIDE", 1.0, theirs), here)
    goes_on = nodes.math(tree, "SUBTRACT", here, nodes.math(tree, "DIVIDE", 1.0, inputs["Opposite"]))
    beyond = nodes.math(
        tree, "SUBTRACT", nodes.math(tree, "DIVIDE", 1.0, inputs["Beyond"]), nodes.math(tree, "DIVIDE", 1.0, theirs)
    )
    slope = nodes.math(tree, "MAXIMUM", goes_on, beyond)
    ends = nodes.math(tree, "LESS_THAN", slope, nodes.math(tree, "MULTIPLY", jump, 0.5))
    found = nodes.math(tree, "MULTIPLY", is_nearer, ends)
    return {"Beside": ("Float", nodes.math(tree, "MAXIMUM", inputs["Others"], found))}


def _distance_to(tree: bpy.types.NodeTree, points: Cells, seed: Socket) -> Socket:
    """Squared distance of a point to a seed in points of the lattice; very much for none."""

    def body(group: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
        column, row = _where(group, inputs["Rows"], inputs["Seed"])
        x = nodes.math(group, "SUBTRACT", column, inputs["Column"])
        y = nodes.math(group, "SUBTRACT", row, inputs["Row"])
        squared = nodes.math(group, "MULTIPLY_ADD", x, x, nodes.math(group, "MULTIPLY", y, y))
        is_none = nodes.math(group, "LESS_THAN", inputs["Seed"], 0.0)
        return {"Squared": ("Float", switch(group, is_none, squared, _FAR_AWAY, kind="FLOAT"))}

    given = {"Rows": points.rows, "Column": points.column, "Row": points.row, "Seed": seed}
    asked = {key: ("Float", value) for key, value in given.items()}
    return call(tree, "distance to a seed", "Distance to a Seed", asked, body)["Squared"]


def _where(tree: bpy.types.NodeTree, rows: Socket, index: Socket) -> tuple[Socket, Socket]:
    """Column and row of a point by its index, which is small enough to be divided."""
    middle = nodes.math(tree, "ADD", index, 0.5)
    column = nodes.math(tree, "FLOOR", nodes.math(tree, "DIVIDE", middle, rows))
    return column, nodes.math(tree, "SUBTRACT", index, nodes.math(tree, "MULTIPLY", column, rows))


def _fill(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Move what is in front of its seed's surface onto that."""
    geometry, points = inputs["Geometry"], cells(tree, inputs["Columns"], inputs["Rows"])
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])
    seed = named(tree, _SEED, "FLOAT")
    has_seed = nodes.math(tree, "GREATER_THAN", seed, -0.5)
    column, row = _where(tree, points.rows, seed)
    # Mirrored, but not onto the border, whose points stand for pixels beside them.
    mirrored = [
        nodes.math(
            tree,
            "MINIMUM",
            nodes.math(tree, "MAXIMUM", nodes.math(tree, "MULTIPLY_ADD", at, 2.0, _minus(tree, own)), 1.0),
            nodes.math(tree, "SUBTRACT", count, 2.0),
        )
        for at, own, count in ((column, points.column, points.columns), (row, points.row, points.rows))
    ]
    other = nodes.math(tree, "MULTIPLY_ADD", mirrored[0], points.rows, mirrored[1])

    depth, nearest = named(tree, DEPTH, "FLOAT"), named(tree, _NEAREST, "FLOAT")
    place = named(tree, PLACE, "FLOAT_VECTOR")
    w_seed = nodes.math(tree, "DIVIDE", 1.0, at_index(tree, depth, seed))
    w_other = nodes.math(tree, "DIVIDE", 1.0, at_index(tree, depth, other))
    w_front = nodes.math(tree, "DIVIDE", 1.0, at_index(tree, nearest, other))
    turn = nodes.math(tree, "SUBTRACT", w_other, w_seed)
    most = nodes.math(tree, "MULTIPLY", w_seed, _LARGEST_TURN)
    front = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", w_front, w_seed))
    is_same = nodes.math(
        tree, "LESS_THAN", nodes.math(tree, "MAXIMUM", nodes.math(tree, "ABSOLUTE", turn), front), most
    )
    inverse = nodes.math(tree, "SUBTRACT", w_seed, nodes.math(tree, "MULTIPLY", turn, is_same))
    behind = nodes.math(tree, "DIVIDE", _PUSH, inverse)
    is_front = nodes.math(
        tree, "LESS_THAN", nodes.math(tree, "MULTIPLY", nearest, inverse), keep, label="In front of that plane"
    )
    filled = nodes.math(tree, "MULTIPLY", has_seed, is_front)
    shown = switch(
        tree,
        is_same,
        at_index(tree, place, seed, kind="FLOAT_VECTOR"),
        at_index(tree, place, other, kind="FLOAT_VECTOR"),
        kind="VECTOR",
    )
    geometry = store(tree, geometry, _FILLED, filled, kind="FLOAT")
    is_filled = _is_filled(tree)
    geometry = store(tree, geometry, _SHOWN, shown, kind="FLOAT_VECTOR", where=is_filled)
    geometry = store(tree, geometry, DEPTH, behind, kind="FLOAT", where=is_filled)
    return {"Geometry": ("Geometry", geometry)}


def _even(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Let what is filled go over smoothly from the surface of one seed to that of another, behind what is in front."""
    points = cells(tree, inputs["Columns"], inputs["Rows"])
    depth, seed = named(tree, DEPTH, "FLOAT"), named(tree, _SEED, "FLOAT")
    keep = nodes.math(tree, "SUBTRACT", 1.0, inputs["Edge Cut"])
    limit = nodes.math(tree, "DIVIDE", keep, named(tree, _NEAREST, "FLOAT"))

    def once(now: dict[str, Socket]) -> dict[str, Socket]:
        step = now["Step"]
        here = nodes.math(tree, "DIVIDE", 1.0, depth)
        even = here
        for is_across, at, count in ((True, points.column, points.columns), (False, points.row, points.rows)):
            given = {"Step": step, "Back": _minus(tree, step), "Here": here, "Even": even, "At": at, "Count": count}
            sides = {}
            for name in ("Back", "Step"):
                by = given[name]
                index = neighbor(tree, points, *((by, 0) if is_across else (0, by)))
                sides[f"{name} Z"], sides[f"{name} Seed"] = at_index(tree, depth, index), at_index(tree, seed, index)
            asked = {key: ("Float", value) for key, value in {**given, **sides}.items()}
            even = call(tree, "even along", "Even Along", asked, _even_along)["Even"]
        moved = nodes.math(tree, "DIVIDE", 1.0, nodes.math(tree, "MINIMUM", even, limit))
        return {
            "Geometry": store(tree, now["Geometry"], DEPTH, moved, kind="FLOAT", where=_is_filled(tree)),
            "Step": nodes.math(tree, "MAXIMUM", nodes.math(tree, "FLOOR", nodes.math(tree, "MULTIPLY", step, 0.75)), 1),
        }

    state = {"Geometry": ("GEOMETRY", inputs["Geometry"]), "Step": ("FLOAT", _FARTHEST_STEP)}
    return {"Geometry": ("Geometry", repeat(tree, _EVENED, state, once)["Geometry"])}


def _even_along(tree: bpy.types.NodeTree, inputs: Any) -> dict[str, tuple[str, Socket]]:
    """Add a quarter of the bend along an axis, where both neighbors are in the image and of the background."""
    both = nodes.math(tree, "ADD", *(nodes.math(tree, "DIVIDE", 1.0, inputs[f"{side} Z"]) for side in ("Back", "Step")))
    bend = nodes.math(tree, "MULTIPLY_ADD", inputs["Here"], -2.0, both)
    counts = nodes.math(
        tree, "GREATER_THAN", nodes.math(tree, "MINIMUM", inputs["Back Seed"], inputs["Step Seed"]), -0.5
    )
    half = nodes.math(tree, "MULTIPLY", nodes.math(tree, "SUBTRACT", inputs["Count"], 1.0), 0.5)
    off = nodes.math(tree, "ABSOLUTE", nodes.math(tree, "SUBTRACT", inputs["At"], half))
    inside = nodes.math(tree, "LESS_THAN", nodes.math(tree, "ADD", off, inputs["Step"]), half)
    quarter = nodes.math(tree, "MULTIPLY", nodes.math(tree, "MULTIPLY", counts, inside), 0.25)
    return {"Even": ("Float", nodes.math(tree, "MULTIPLY_ADD", bend, quarter, inputs["Even"]))}


def _is_filled(tree: bpy.types.NodeTree) -> Socket:
    return nodes.math(tree, "GREATER_THAN", named(tree, _FILLED, "FLOAT"), 0.5)


def _minus(tree: bpy.types.NodeTree, number: Socket) -> Socket:
    return nodes.math(tree, "MULTIPLY", number, -1.0)
