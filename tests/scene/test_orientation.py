"""Scale, level and origin by points of the image, of depth without a solve."""

import bpy
import depth_maker
import numpy as np
import pytest
import room_maker
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import depth_list, orientation
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene.problems import Problem
from room_maker import Room

FLOOR = np.array([[0.3, 0.1], [0.7, 0.12], [0.5, 0.25]])


def built(folder, scene, *, quantity="inverse_depth", values=None, distortion=0.0, known=True, mesh=True):
    """The room's depth in another unit, its camera standing at frame 1001, tilted as the artist left it."""
    room = Room(k1=distortion)

    def camera(frames):
        return depth_maker.dolly(
            frames, width=320, height=180, focal_length=320.0, principal_point=(159.5, 89.5),
            distortion=(distortion, 0.0), step=0.0, yaw=0.0,
        )  # fmt: skip

    made = depth_maker.make(
        folder,
        size=(160, 90),
        plate_size=room_maker.SIZE,
        frames=range(1001, 1003),
        quantity=quantity,
        disparity=lambda frame, width, height: (values or (lambda each: 5 * each))(room.inverse(1001, width, height)),
        camera=camera if known else None,
    )
    depth = depths.load(made, frame_offset=-1000)
    depth_list.remember(scene, depth)
    shot = depth.done_shots[0]
    eye = cameras.build_camera(depth, shot, scene=scene, focal_length=None if known else 36.0)
    if mesh:
        meshes.build_mesh(depth, shot, eye)
    cameras.find_rig(depth, shot, scene).rotation_euler = (0.3, -0.1, 0.5)
    scene.frame_set(1)
    return depth, shot, eye, room


def world(room, places):
    """Where in the room the places are, from the first camera."""
    pose = room.pose(1001)
    rays = room.rays(places)
    return (rays * room.distances(rays, 1001)[:, None]) @ pose[:3, :3].T + pose[:3, 3]


@pytest.mark.parametrize("mesh", [True, False])
@pytest.mark.parametrize("distortion", [0.0, -0.2])
def test_two_points_and_their_distance(tmp_path, empty_file, mesh, distortion):
    depth, shot, _, room = built(tmp_path, empty_file, distortion=distortion, mesh=mesh)
    one, two = world(room, FLOOR[:2])
    orientation.set_scale(depth, shot, FLOOR[:2], np.linalg.norm(one - two), scene=empty_file)
    assert cameras.find_rig(depth, shot, empty_file)[cameras.SCALE] == pytest.approx(5, rel=0.01)
    third, fourth = orientation.points_at(depth, shot, np.array([[0.2, 0.2], [0.9, 0.9]]), empty_file)
    wanted = np.linalg.norm(np.subtract(*world(room, np.array([[0.2, 0.2], [0.9, 0.9]]))))
    assert (third - fourth).length == pytest.approx(wanted, rel=0.01)


def test_a_distance_from_the_camera(tmp_path, empty_file):
    depth, shot, eye, room = built(tmp_path, empty_file, known=False)
    (point,) = world(room, FLOOR[:1])
    orientation.set_distance(depth, shot, FLOOR[:1], np.linalg.norm(point), scene=empty_file)
    assert cameras.find_rig(depth, shot, empty_file)[cameras.SCALE] == pytest.approx(5, rel=0.01)
    assert np.allclose(eye.matrix_world.to_scale(), 5, rtol=0.01)


def test_near_and_far_that_the_artist_set_count(tmp_path, empty_file):
    depth, shot, _, room = built(tmp_path, empty_file, quantity="relative_disparity", values=lambda each: 3 * each + 1)
    mesh = next(thing for thing in empty_file.objects if thing.type == "MESH")
    from bl_ext.dev.fathom.scene import nodes

    values = shot.range
    for name, at in (("Near", values.p99), ("Far", values.p1)):
        nodes.set_modifier_input(mesh.modifiers[0], name, 2 / ((at - 1) / 3))
    one, two = world(room, FLOOR[:2])
    orientation.set_scale(depth, shot, FLOOR[:2], np.linalg.norm(one - two), scene=empty_file)
    assert cameras.find_rig(depth, shot, empty_file)[cameras.SCALE] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("is_child", [False, True])
def test_three_points_on_the_floor(tmp_path, empty_file, is_child):
    depth, shot, eye, room = built(tmp_path, empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    if is_child:
        above = bpy.data.objects.new("above", None)
        empty_file.collection.objects.link(above)
        above.location, above.rotation_euler = (1, 2, 3), (0.1, 0.2, 0.3)
        rig.parent = above
    orientation.set_scale(
        depth, shot, FLOOR[:2], np.linalg.norm(np.subtract(*world(room, FLOOR[:2]))), scene=empty_file
    )
    orientation.set_floor(depth, shot, FLOOR, scene=empty_file)
    empty_file.view_layers[0].update()
    places = np.concatenate([FLOOR, [[0.8, 0.05]]])
    found = np.array(orientation.points_at(depth, shot, places, empty_file))
    assert np.abs(found[:, 2]).max() < 0.02 and np.linalg.norm(found[0]) < 0.01
    assert np.allclose(found, world(room, places) - world(room, FLOOR[:1]), atol=0.05)
    look = eye.matrix_world.to_3x3().col[2]
    assert eye.matrix_world.translation.z == pytest.approx(1.5, rel=0.02) and abs(look.x) < 0.01 and look.y < -0.99


def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path, empty_file):
    depth, shot, _, _ = built(tmp_path, empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    before = (rig[cameras.SCALE], tuple(rig.location))
    with pytest.raises(Problem, match="lie in a line"):
        orientation.set_floor(depth, shot, np.array([[0.2, 0.1], [0.5, 0.1], [0.8, 0.1]]), scene=empty_file)
    with pytest.raises(Problem, match="no depth at one of the points"):
        orientation.set_scale(depth, shot, np.array([[0.2, 0.1], [1.5, 0.1]]), 1.0, scene=empty_file)
    with pytest.raises(Problem, match="are one"):
        orientation.set_scale(depth, shot, FLOOR[[0, 0]], 1.0, scene=empty_file)
    with pytest.raises(Problem, match="above 0"):
        orientation.set_distance(depth, shot, FLOOR[:1], 0.0, scene=empty_file)
    assert before == (rig[cameras.SCALE], tuple(rig.location))
    bpy.data.objects.remove(cameras.find_camera(depth, shot, empty_file))
    with pytest.raises(Problem, match="press Build > Camera first"):
        orientation.set_floor(depth, shot, FLOOR, scene=empty_file)


def test_the_operators_take_points_and_selected_tracks(tmp_path, empty_file):
    depth, shot, _, room = built(tmp_path, empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    with pytest.raises(RuntimeError, match="Select 2 tracks in the Movie Clip Editor, or give the points"):
        bpy.ops.fathom.set_scale(distance=2.0)
    with pytest.raises(RuntimeError, match="are not 2 points"):
        bpy.ops.fathom.set_scale(distance=2.0, points="0.1,0.2")
    distance = np.linalg.norm(np.subtract(*world(room, FLOOR[:2])))
    bpy.ops.fathom.set_scale(distance=distance, points="0.3,0.1 0.7,0.12")
    assert rig[cameras.SCALE] == pytest.approx(5, rel=0.01)
    clip = room_maker.load_clip(tmp_path / "depth")
    for number, place in enumerate(FLOOR):
        track = clip.tracking.tracks.new(name=f"floor {number}", frame=1)
        track.markers.insert_frame(1, co=place)
        track.select = True
    empty_file.frame_set(1)
    room_maker.in_clip_editor(clip, bpy.ops.fathom.set_floor)
    empty_file.view_layers[0].update()
    found = np.array(orientation.points_at(depth, shot, FLOOR, empty_file))
    assert np.abs(found[:, 2]).max() < 0.02
    with pytest.raises(RuntimeError, match="Select 2 tracks, or none to click 2 points in the image: 3 are selected"):
        room_maker.in_clip_editor(clip, bpy.ops.fathom.set_scale)
    empty_file.frame_set(2)
    with pytest.raises(RuntimeError, match="has no marker at this frame"):
        room_maker.in_clip_editor(clip, bpy.ops.fathom.set_floor)
