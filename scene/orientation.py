"""Scale, level and origin of what is built, from points of the image: for depth without a camera solve.

As in the Orientation panel of the Movie Clip Editor, which does the same to the camera of a solve. All of it goes into
the rig above Fathom's camera: its Scale, location and rotation, which the artist may change further.
"""

from __future__ import annotations

import math

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..inference.contract.depth_sequence import Shot
from . import lookup, nodes, tags
from .camera import SCALE, find_camera, find_rig, given_focal_length
from .depth import Depth, Distances, disparity_image, distances
from .lens_map import undistorted
from .map_samples import bilinear, read_map
from .plate import plate_size
from .problems import Problem
from .solved_tracks import camera_object, source_shift

Places = NDArray[np.float64]

_LEAST_ANGLE = math.radians(1.0)
"""Of a triangle on the floor, below which it has no certain slope."""


def set_scale(depth: Depth, shot: Shot, places: Places, distance: float, *, scene: bpy.types.Scene) -> None:
    """Scale a shot's world so that two points have a distance from each other.

    Parameters
    ----------
    places : [2, 2] float
        Of the points, at the scene's frame: from the image's lower left corner, in widths and heights.
    distance : float
        In units of the scene.

    Raises
    ------
    Problem
        The shot's camera is not built, its distances are a camera solve's, or there is no depth at a point.
    """
    one, two = points_at(depth, shot, places, scene)
    _scale_by(depth, shot, scene, distance, (one - two).length)


def set_distance(depth: Depth, shot: Shot, place: Places, distance: float, *, scene: bpy.types.Scene) -> None:
    """Scale a shot's world so that a point [1, 2] has a distance from the camera, straight; else as `set_scale`."""
    (point,) = points_at(depth, shot, place, scene)
    _scale_by(depth, shot, scene, distance, (point - _own_camera(depth, shot, scene).matrix_world.translation).length)


def set_floor(depth: Depth, shot: Shot, places: Places, *, scene: bpy.types.Scene) -> None:
    """Move and turn a shot's world so that three points [3, 2] lie on the floor, the first at the origin.

    The floor is the plane Z = 0, the camera is above it and looks along Y. Else as `set_scale`; `Problem` as well where
    the points lie in a line.
    """
    first, second, third = points_at(depth, shot, places, scene)
    normal = (second - first).cross(third - first)
    if normal.length < math.sin(_LEAST_ANGLE) * (second - first).length * (third - first).length:
        raise Problem("The three points lie in a line, which leaves the floor's slope open: choose others.")
    up = normal.normalized()
    camera = _own_camera(depth, shot, scene).matrix_world
    if up.dot(camera.translation - first) < 0:
        up = -up
    look = camera.to_3x3() @ Vector((0, 0, -1))
    ahead = look - up * look.dot(up)
    if ahead.length < 1e-6:  # straight down: what is up in the image is ahead
        look = camera.to_3x3() @ Vector((0, 1, 0))
        ahead = look - up * look.dot(up)
    ahead.normalize()
    turn = Matrix((ahead.cross(up), ahead, up)).to_4x4()
    rig = find_rig(depth, shot, scene)
    place = turn @ Matrix.Translation(-first) @ rig.matrix_world
    if rig.parent is not None:
        place = (rig.parent.matrix_world @ rig.matrix_parent_inverse).inverted() @ place
    rig.location = place.translation
    rotation = place.to_3x3().normalized()
    if rig.rotation_mode == "QUATERNION":
        rig.rotation_quaternion = rotation.to_quaternion()
    else:
        rig.rotation_mode = "XYZ"
        rig.rotation_euler = rotation.to_euler("XYZ")


def points_at(depth: Depth, shot: Shot, places: Places, scene: bpy.types.Scene) -> list[Vector]:
    """Where in the world a shot shows places [N, 2] of the image at the scene's frame; Problem as `set_scale`."""
    camera = _own_camera(depth, shot, scene)
    places = np.asarray(places, float).reshape(-1, 2)
    disparity = bilinear(read_map(depth, depth.source_frame(scene.frame_current)), places)
    if not np.all(np.isfinite(disparity)):
        raise Problem("There is no depth at one of the points: choose points on surfaces, within the image.")
    z = _distances(disparity, depth, shot, camera)
    known = shot.camera
    if known is not None and any(known.distortion) and given_focal_length(camera) is None:
        places = undistorted(known, places)
    data, (width, height) = camera.data, plate_size(depth)
    focal = data.lens / data.sensor_width
    x = (places[:, 0] - 0.5 + data.shift_x) / focal
    y = ((places[:, 1] - 0.5) * height / width + data.shift_y) / focal
    matrix = camera.matrix_world
    return [matrix @ (Vector((a, b, -1.0)) * c) for a, b, c in zip(x, y, z)]


def selected_places(clip: bpy.types.MovieClip, count: int, depth: Depth, scene: bpy.types.Scene) -> Places | None:
    """Places [count, 2] of the selected tracks of a clip at the scene's frame; None where no track is selected.

    Problem where there are more or fewer, or one is not tracked at the frame.
    """
    tracks = [track for track in camera_object(clip).tracks if track.select]
    if not tracks:
        return None
    if len(tracks) != count:
        raise Problem(
            f"Select {count} tracks, or none to click {count} points in the image: {len(tracks)} are selected."
        )
    frame = depth.source_frame(scene.frame_current) - source_shift(clip)
    found = []
    for track in tracks:
        marker = track.markers.find_frame(frame)
        if marker is None or marker.mute:
            raise Problem(f"Track {track.name} has no marker at this frame: go to one where all of them have.")
        found.append((marker.co[0] + track.offset[0], marker.co[1] + track.offset[1]))
    return np.array(found, float)


def _scale_by(depth: Depth, shot: Shot, scene: bpy.types.Scene, wanted: float, found: float) -> None:
    if not (math.isfinite(wanted) and wanted > 0):
        raise Problem(f"The distance must be above 0, not {wanted:g}.")
    if not found > 1e-9:
        raise Problem("The two points are one: choose points that are farther apart.")
    rig = find_rig(depth, shot, scene)
    rig[SCALE] = rig[SCALE] * wanted / found
    rig.update_tag()
    scene.view_layers[0].update()


def _own_camera(depth: Depth, shot: Shot, scene: bpy.types.Scene) -> bpy.types.Object:
    """Fathom's camera of a shot, under its rig."""
    if depth.fit_of(shot) is not None:
        raise Problem(
            f"The distances of {depth.name} are those of a camera solve: use Scene Setup and Orientation of the Movie "
            "Clip Editor (Solve), which scale, level and move the scene's camera and all that stands under it."
        )
    camera, rig = find_camera(depth, shot, scene), find_rig(depth, shot, scene)
    if camera is None or rig is None:
        raise Problem(f"The camera of {depth.name} is not built: press Build > Camera first.")
    scene.view_layers[0].update()
    return camera


def _distances(disparity: Places, depth: Depth, shot: Shot, camera: bpy.types.Object) -> Places:
    """Z of disparity, before the rig's Scale, by the inputs that the shot's mesh or fog has; see `depth.Distances`."""
    values = distances(depth, shot)
    image = disparity_image(depth)
    for kind in ("mesh", "subject", "fog"):
        for thing in lookup.tagged(kind, image=image, shot=shot.first_frame, form="MESH"):
            ours = [m for m in thing.modifiers if m.type == "NODES" and m.node_group and tags.KIND in m.node_group]
            if ours and thing.parent == camera:
                return distance_of(disparity, depth, shot, _inputs(ours[0], values))
    return distance_of(disparity, depth, shot, values)


def _inputs(modifier: bpy.types.NodesModifier, start: Distances) -> Distances:
    there = nodes.interface_identifiers(modifier.node_group)
    names = {"near": "Near", "far": "Far", "near_limit": "Near Limit", "far_limit": "Far Limit"}
    found = {field: nodes.modifier_input(modifier, name) for field, name in names.items() if name in there}
    return Distances(**{"p1": start.p1, "p99": start.p99, **found})


def distance_of(disparity: Places, depth: Depth, shot: Shot, values: Distances) -> Places:
    """Z of disparity by the formulas of `depth.Distances`, without a fit."""
    inverse = disparity
    if depth.quantity_of(shot) == "relative_disparity":
        t = (disparity - values.p1) / (values.p99 - values.p1)
        inverse = np.minimum(t * (1 / values.near - 1 / values.far) + 1 / values.far, 1 / values.near_limit)
    return 1.0 / np.maximum(inverse, 1.0 / values.far_limit)
