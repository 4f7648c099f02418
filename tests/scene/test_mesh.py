"""The depth mesh: every vertex where the depth says, the plate on it, nothing where there is no depth."""

import os
import shutil
import subprocess
from pathlib import Path

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.inference.contract.job import Source
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene import nodes, places
from bl_ext.dev.fathom.scene import plate as plates
from geometry_tools import attribute, evaluated, image_grid, render, set_up_cycles, unprojected, vertices

from tests.marks import rest_slow

SIZE, PLATE = (23, 15), (60, 37)


def filmed(frames, **more):
    return depth_maker.dolly(frames, width=60, height=37, focal_length=70.0, principal_point=(27.0, 21.5), **more)


def still(frames):
    return depth_maker.dolly(frames, width=60, height=37, focal_length=70.0, step=0.0, yaw=0.0)


def build(folder, scene, *, camera=filmed, offset=0, **how):
    made = {"size": SIZE, "plate_size": PLATE, "frames": range(1, 6), "camera": camera} | how
    depth = depths.load(depth_maker.make(folder, **made), frame_offset=offset)
    shot = depth.done_shot_at(offset + made["frames"][0])
    eye = cameras.build_camera(depth, shot, scene=scene)
    mesh = meshes.build_mesh(depth, shot, eye)
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    return depth, shot, eye, mesh


def psnr(seen, wanted):
    """Decibels, of 8-bit values."""
    return 10 * np.log10(255**2 / max(np.mean((seen - wanted) ** 2), 1e-9))


def has_warnings(thing):
    return [w.message for w in getattr(thing.modifiers[0], "node_warnings", ())]


def expected_z(depth, shot, frame, inputs):
    """Z [columns, rows], rows from the bottom, by the formulas of the architecture."""
    d = depth_maker.slanted(frame, *SIZE).astype(np.float32)[::-1].T.astype(float)
    if depth.sequence.quantity == "inverse_depth":
        return 1 / np.maximum(d, 1 / inputs["Far Limit"])
    t = (d - shot.range.p1) / (shot.range.p99 - shot.range.p1)
    inverse = t * (1 / inputs["Near"] - 1 / inputs["Far"]) + 1 / inputs["Far"]
    return 1 / np.clip(inverse, 1 / inputs["Far Limit"], 1 / inputs["Near Limit"])


@pytest.mark.parametrize(
    ("quantity", "inputs"),
    [
        ("inverse_depth", {"Far Limit": 30.0}),
        ("relative_disparity", {"Near": 2.0, "Far": 10.0, "Near Limit": 1.0, "Far Limit": 300.0}),
    ],
)
def test_a_sky_ends_at_the_far_limit_and_nowhere_nearer(tmp_path, empty_file, quantity, inputs):
    def below_a_sky(frame, width, height):
        scene = depth_maker.slanted(frame, width, height)
        scene[: height // 2] = 0
        return scene

    _, shot, _, mesh = build(tmp_path, empty_file, quantity=quantity, disparity=below_a_sky)
    assert 0 == shot.range.minimum < 0.2 < shot.range.p1
    for name, value in inputs.items():
        nodes.set_modifier_input(mesh.modifiers[0], name, value)
    found = attribute(evaluated(mesh, empty_file, 2).data, meshes.DEPTH_ATTRIBUTE, 1).reshape(25, 17)[1:-1, 1:-1]
    sky, ground = found[:, SIZE[1] - SIZE[1] // 2 :], found[:, : SIZE[1] - SIZE[1] // 2]
    assert np.allclose(sky, inputs["Far Limit"], rtol=1e-5)
    assert ground.max() < 11


@pytest.mark.parametrize("distortion", [(0.0, 0.0), (-0.25, 0.06)])
@pytest.mark.parametrize(
    ("quantity", "inputs"),
    rest_slow(
        [
            ("inverse_depth", {"Far Limit": 3.5}),
            ("relative_disparity", {"Near": 2.0, "Far": 40.0, "Near Limit": 2.2, "Far Limit": 30.0}),
        ],
        rows=True,
    ),
)
def test_vertices_are_the_analytic_unprojection(tmp_path, empty_file, quantity, inputs, distortion):
    def camera(frames):
        return filmed(frames, distortion=distortion)

    depth, shot, eye, mesh = build(tmp_path, empty_file, camera=camera, offset=50, quantity=quantity)
    for name, value in inputs.items():
        nodes.set_modifier_input(mesh.modifiers[0], name, value)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location, rig.rotation_euler, rig[cameras.SCALE] = (1, -2, 3), (0.3, 0.1, -0.7), 3.0
    columns, rows = SIZE
    u, v = image_grid(columns, rows)
    for frame in (1, 3, 5):
        found = vertices(mesh, empty_file, frame + 50).reshape(columns + 2, rows + 2, 3)[1:-1, 1:-1]
        z = expected_z(depth, shot, frame, inputs)
        assert z.min() < z.max()
        place = np.array(rig.matrix_world)
        wanted = unprojected(shot.camera, shot.camera.poses[frame - 1], u, v, z) @ place[:3, :3].T + place[:3, 3]
        seen_from = np.array(eye.matrix_world)[:3, 3]
        distance = np.linalg.norm(wanted - seen_from, axis=1)
        assert np.max(np.linalg.norm(found.reshape(-1, 3) - wanted, axis=1) / distance) < 1e-5
    assert has_warnings(mesh) == []


def test_attributes_hold_depth_and_place_in_the_image(tmp_path, empty_file):
    depth, shot, _, mesh = build(tmp_path, empty_file)
    result = evaluated(mesh, empty_file, 2).data
    z = expected_z(depth, shot, 2, {"Far Limit": 1e6})
    inner = attribute(result, meshes.DEPTH_ATTRIBUTE, 1).reshape(25, 17)[1:-1, 1:-1]
    assert np.allclose(inner, z, rtol=1e-6)
    place = attribute(result, meshes.PLATE_ATTRIBUTE, 3).reshape(25, 17, 3)
    u, v = image_grid(*SIZE)
    assert np.allclose(place[1:-1, 1:-1, 0] / z, u, atol=1e-6) and np.allclose(place[1:-1, 1:-1, 1] / z, v, atol=1e-6)
    assert place[0, 0, 0] / place[0, 0, 2] == pytest.approx(-1 / 23, abs=1e-6)  # the border: one pixel outside
    assert place[-1, -1, 1] / place[-1, -1, 2] == pytest.approx(1 + 1 / 15, abs=1e-6)
    assert result.uv_layers[0].name == "UVMap"


@pytest.mark.parametrize("detail", [0.5, 0.31, 0.04])
def test_less_detail_takes_whole_pixels(tmp_path, empty_file, detail):
    size = (40, 26)
    _depth, _shot, _eye, mesh = build(tmp_path, empty_file, size=size)
    nodes.set_modifier_input(mesh.modifiers[0], "Detail", detail)
    columns, rows = (max(1, round(n * detail)) for n in size)
    seen = evaluated(mesh, empty_file, 3)
    place = attribute(seen.data, meshes.PLATE_ATTRIBUTE, 3).reshape(columns + 2, rows + 2, 3)[1:-1, 1:-1]
    z = place[..., 2]
    i, j = place[..., 0] / z * size[0] - 0.5, place[..., 1] / z * size[1] - 0.5
    assert np.allclose(i, np.round(i), atol=1e-4) and np.allclose(j, np.round(j), atol=1e-4)
    d = depth_maker.slanted(3, *size)[::-1].T
    assert np.allclose(1 / z, d[np.round(i).astype(int), np.round(j).astype(int)], rtol=1e-5)
    steps = np.diff(np.round(i[:, 0]))
    assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_point_cloud_has_a_point_for_each_pixel_that_closes_the_image(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path, empty_file)
    meshes.build_mesh(depth, shot, eye, points=True)
    empty_file.frame_set(2)
    instances = bpy.context.evaluated_depsgraph_get().object_instances
    clouds = [i.object.data for i in instances if i.object.type == "POINTCLOUD"]
    assert len(clouds) == 1 and len(clouds[0].points) == SIZE[0] * SIZE[1]
    radius = attribute(clouds[0], "radius", 1)
    z = attribute(clouds[0], meshes.DEPTH_ATTRIBUTE, 1)
    assert np.allclose(radius, meshes.POINT_RADIUS * z / (70 / 60 * 23), rtol=1e-5)
    meshes.build_mesh(depth, shot, eye, points=False)
    assert len(evaluated(mesh, empty_file, 2).data.polygons) == 24 * 16


def stepped(frame, width, height):
    """A near box before a far wall."""
    d = np.full((height, width), 0.1)
    d[height // 4 : 3 * height // 4, width // 4 : width // 2 + frame % 2] = 0.5
    return d


def test_edge_cut_removes_streamers_and_only_them(tmp_path, empty_file):
    _depth, _shot, _eye, mesh = build(tmp_path, empty_file, disparity=stepped, size=(24, 16))
    assert len(evaluated(mesh, empty_file, 2).data.polygons) == 25 * 17
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 0.1)
    result = evaluated(mesh, empty_file, 2).data
    z = attribute(result, meshes.DEPTH_ATTRIBUTE, 1)[:, 0]
    spans = [np.ptp(z[list(face.vertices)]) for face in result.polygons]
    assert max(spans) < 1e-5
    # The box is 6 x 8 pixels: 5 x 7 faces stay, and of the wall all but the 7 x 9 cells that touch the box.
    assert sum(z[face.vertices[0]] < 5 for face in result.polygons) == 5 * 7
    assert len(result.polygons) == 25 * 17 - 7 * 9 + 5 * 7
    used = {v for face in result.polygons for v in face.vertices}
    assert len(used) == len(result.vertices)
    assert {e for face in result.polygons for e in face.edge_keys} == {tuple(sorted(e.vertices)) for e in result.edges}


@pytest.mark.parametrize("depth_size", [PLATE, (30, 19)])
def test_seen_from_its_own_camera_it_is_the_plate(tmp_path, empty_file, depth_size):
    depth, shot, _eye, mesh = build(tmp_path / "made", empty_file, disparity=stepped, size=depth_size, offset=10)
    set_up_cycles(empty_file, size=PLATE)
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 0.1)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location, rig[cameras.SCALE] = (4, 5, 6), 2.5
    for frame in (1, 4):
        seen = render(empty_file, tmp_path / "seen", frame + 10)[..., :3]
        plate = depth_maker.smooth_image(frame, *PLATE).astype(float)
        d = stepped(frame, *depth_size)
        y, x = (np.arange(n)[:, None] for n in (PLATE[1], PLATE[0]))
        rows, columns = (y * depth_size[1] // PLATE[1])[:, 0], (x * depth_size[0] // PLATE[0])[:, 0]
        full = d[rows][:, columns]
        margin = 3 * PLATE[0] // depth_size[0]
        near_edge = np.zeros(full.shape, bool)
        for dy in range(-margin, margin + 1):
            for dx in range(-margin, margin + 1):
                near_edge |= np.roll(full, (dy, dx), (0, 1)) != full
        near_edge[[0, -1]] = near_edge[:, [0, -1]] = False  # rolled over from the other side; the wall is flat there
        assert 0.3 < np.mean(~near_edge) < 1
        assert psnr(seen[~near_edge], plate[~near_edge]) > 45


def test_a_slope_shows_the_plate_without_swimming(tmp_path, empty_file):
    """Coarse depth, steep slope, fine plate: the place in the plate must be exact between the vertices too."""

    def steep(frame, width, height):
        return np.repeat(np.linspace(1.0, 0.12, width)[None], height, axis=0)

    _, _, _, _mesh = build(
        tmp_path / "made", empty_file, disparity=steep, size=(8, 6), plate_size=(64, 48), camera=still
    )
    set_up_cycles(empty_file, size=(64, 48))
    plate = depth_maker.smooth_image(2, 64, 48).astype(float)
    seen = render(empty_file, tmp_path / "seen", 2)[..., :3]
    assert psnr(seen, plate) > 45


def test_frames_are_followed_clamped_and_given_up_to_other_shots(tmp_path, empty_file):
    shots = [(1, 3, "done"), (4, 5, "refused"), (6, 8, "done")]
    folder = depth_maker.make(tmp_path, frames=range(1, 9), shots=shots, camera=still, size=(6, 4))
    depth = depths.load(folder, frame_offset=100)
    first, refused, last = depth.sequence.shots
    made = {}
    for shot in (first, last):
        made[shot] = meshes.build_mesh(depth, shot, cameras.build_camera(depth, shot, scene=empty_file))
        nodes.set_modifier_input(made[shot].modifiers[0], "Edge Cut", 1.0)
    with pytest.raises(depths.DepthError, match="Frames 4-5"):
        meshes.build_mesh(depth, refused, made[first].parent)

    def z_of(shot, frame):
        result = evaluated(made[shot], empty_file, frame).data
        return attribute(result, meshes.DEPTH_ATTRIBUTE, 1).reshape(8, 6)[1:-1, 1:-1] if len(result.vertices) else None

    def z_truth(frame):
        return 1 / depth_maker.slanted(frame, 6, 4)[::-1].T

    for scene_frame, shown, source in (
        (-40, first, 1),
        (100, first, 1),
        (101, first, 1),
        (102, first, 2),
        (103, first, 3),
        (106, last, 6),
        (108, last, 8),
        (109, last, 8),
        (5000, last, 8),
    ):
        other = last if shown is first else first
        assert np.allclose(z_of(shown, scene_frame), z_truth(source), rtol=1e-5)
        assert z_of(other, scene_frame) is None
    for scene_frame in (104, 105):
        assert z_of(first, scene_frame) is None and z_of(last, scene_frame) is None


def test_fractions_of_a_frame_show_the_nearest_frame(tmp_path, empty_file):
    _, _, _, mesh = build(tmp_path, empty_file)
    whole = attribute(evaluated(mesh, empty_file, 3).data, meshes.DEPTH_ATTRIBUTE, 1)
    for frame, subframe in ((2, 0.75), (3, 0.25)):
        empty_file.frame_set(frame, subframe=subframe)
        result = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        assert np.array_equal(attribute(result, meshes.DEPTH_ATTRIBUTE, 1), whole)


def test_confidence_leaves_out_the_doubtful(tmp_path, empty_file):
    def confidence(frame, width, height):
        values = np.ones((height, width))
        values[: height // 2] = 0.25  # the upper half
        return values

    _, _, _, mesh = build(tmp_path, empty_file, confidence=confidence, size=(20, 12))
    assert len(evaluated(mesh, empty_file, 2).data.vertices) == 22 * 14
    nodes.set_modifier_input(mesh.modifiers[0], "Minimum Confidence", 0.5)
    kept = attribute(evaluated(mesh, empty_file, 2).data, meshes.PLATE_ATTRIBUTE, 3)
    assert len(kept) == 22 * 7 and (kept[:, 1] / kept[:, 2]).max() < 0.5
    assert has_warnings(mesh) == []


def test_building_again_doubles_nothing_and_keeps_the_artists_inputs(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path, empty_file, confidence=depth_maker.slanted)
    modifier = mesh.modifiers[0]
    for name, value in (("Detail", 0.5), ("Edge Cut", 0.33), ("Point Cloud", True), ("Far Limit", 12.0)):
        nodes.set_modifier_input(modifier, name, value)
    mesh.location.x = 3
    kinds = ("objects", "meshes", "materials", "node_groups", "images", "cameras", "actions", "collections")
    counts = [len(getattr(bpy.data, kind)) for kind in kinds]
    later = depths.load(depth.folder, frame_offset=4)
    again = meshes.build_mesh(later, shot, eye)
    assert again == mesh and len(mesh.modifiers) == 1 and mesh.location.x == 0
    assert [len(getattr(bpy.data, kind)) for kind in kinds] == counts
    kept = [nodes.modifier_input(modifier, n) for n in ("Edge Cut", "Point Cloud", "Far Limit", "Detail")]
    assert kept == pytest.approx([0.33, True, 12.0, 0.5])
    assert nodes.modifier_input(modifier, "Frame Offset") == 4
    assert meshes.build_mesh(later, shot, eye, detail=0.25, points=False) == mesh
    assert nodes.modifier_input(modifier, "Detail") == 0.25 and not nodes.modifier_input(modifier, "Point Cloud")
    curves = mesh.animation_data.drivers
    assert len(curves) == len({curve.data_path for curve in curves}) == 3


def test_it_follows_the_cameras_lens_at_once(tmp_path, empty_file):
    _depth, _shot, eye, mesh = build(tmp_path, empty_file)
    before = vertices(mesh, empty_file, 1)
    eye.data.lens *= 2
    eye.data.update_tag()
    after = vertices(mesh, empty_file, 1)
    matrix = np.linalg.inv(np.array(eye.matrix_world))
    local = [points @ matrix[:3, :3].T + matrix[:3, 3] for points in (before, after)]
    assert np.allclose(local[0][:, 2], local[1][:, 2], rtol=1e-5)
    assert np.allclose(local[0][:, :2], 2 * local[1][:, :2], atol=1e-4)


@pytest.mark.parametrize(("fit", "size"), [("VERTICAL", (40, 24)), ("AUTO", (24, 40)), ("AUTO", (40, 24))])
def test_an_artists_own_camera_serves_too(tmp_path, empty_file, fit, size):
    depth = depths.load(depth_maker.make(tmp_path / "made", size=size))
    shot = depth.sequence.shots[0]
    eye = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
    eye.data.sensor_fit, eye.data.shift_x, eye.data.shift_y = fit, 0.05, -0.1
    empty_file.collection.objects.link(eye)
    empty_file.camera = eye
    meshes.build_mesh(depth, shot, eye)
    set_up_cycles(empty_file, size=size)
    seen = render(empty_file, tmp_path / "seen", 2)[..., :3]
    plate = depth_maker.smooth_image(2, *size).astype(float)
    assert psnr(seen, plate) > 45


def test_a_movie_is_shown_in_step(tmp_path, empty_file, inference_python):
    clip = tmp_path / "clip.mp4"
    write = "import footage_maker, sys; footage_maker.movie(sys.argv[1], range(8))"
    tests = depth_maker.__file__.rpartition("/")[0]
    subprocess.run([inference_python, "-c", write, clip], cwd=tests, check=True)
    source = Source(kind="movie", path=str(clip), width=64, height=48)
    folder = depth_maker.make(tmp_path / "made", frames=range(2, 8), source=source, camera=still)
    depth = depths.load(folder, frame_offset=20)
    shot = depth.sequence.shots[0]
    mesh = meshes.build_mesh(depth, shot, cameras.build_camera(depth, shot, scene=empty_file, focal_length=40.0))
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    set_up_cycles(empty_file, size=(64, 48))
    # Frame n of the movie is the image with the number n - 1, eight bars of 8 pixels, the lowest bit left.
    for scene_frame, frame in ((5, 2), (22, 2), (25, 5), (27, 7), (60, 7)):
        seen = render(empty_file, tmp_path / "seen", scene_frame)[:24, 4::8, :3].mean(axis=(0, 2)) > 128
        assert sum(int(bit) << i for i, bit in enumerate(seen)) == frame - 1


def test_inputs_are_plain_values(tmp_path, empty_file):
    _, _, _, mesh = build(tmp_path, empty_file)
    items = {i.name: i for i in mesh.modifiers[0].node_group.interface.items_tree}
    assert items["Detail"].force_non_field and items["Point Cloud"].force_non_field
    assert all(getattr(items[name], "structure_type", "SINGLE") == "SINGLE" for name in ("Detail", "Point Cloud"))


def test_without_the_plate_it_is_built_only_when_asked_so(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, camera=still))
    shot = depth.sequence.shots[0]
    (tmp_path / "plate" / "plate.0002.png").unlink()
    eye = cameras.build_camera(depth, shot, scene=empty_file, plate=False)
    with pytest.raises(plates.PlateError, match="Frame 2 of the plate is missing"):
        meshes.build_mesh(depth, shot, eye)
    assert len(eye.children) == 0
    mesh = meshes.build_mesh(depth, shot, eye, plate=False)
    assert len(evaluated(mesh, empty_file, 1).data.polygons) > 0
    assert len(bpy.data.materials) == 0


def test_many_pixels_start_with_less_detail(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, frames=range(1, 2), size=(1280, 720), plate_size=(16, 9), camera=still)
    depth = depths.load(folder)
    mesh = meshes.build_mesh(
        depth, depth.sequence.shots[0], cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    )
    detail = nodes.modifier_input(mesh.modifiers[0], "Detail")
    assert detail == 1.0
    viewport = nodes.modifier_input(mesh.modifiers[0], "Viewport Detail")
    assert 1280 * 720 * viewport**2 == pytest.approx(meshes.VIEWPORT_POINTS)


def test_it_works_after_saving_moving_and_opening_elsewhere(tmp_path, empty_file):
    home = tmp_path / "home"
    folder = depth_maker.make(home, camera=still, size=(6, 4))
    bpy.ops.wm.save_as_mainfile(filepath=str(home / "shot.blend"))
    depth = depths.load(folder)
    eye = cameras.build_camera(depth, depth.sequence.shots[0], scene=empty_file)
    mesh = meshes.build_mesh(depth, depth.sequence.shots[0], eye)
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    name = mesh.name
    bpy.ops.wm.save_mainfile()
    home.rename(tmp_path / "away")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "away" / "shot.blend"))
    scene, mesh = bpy.context.scene, bpy.data.objects[name]
    z = attribute(evaluated(mesh, scene, 2).data, meshes.DEPTH_ATTRIBUTE, 1).reshape(8, 6)[1:-1, 1:-1]
    assert np.allclose(1 / z, depth_maker.slanted(2, 6, 4)[::-1].T, rtol=1e-5)
    depth = depths.load("//depth")
    assert meshes.build_mesh(depth, depth.sequence.shots[0], mesh.parent) == mesh
    assert (tmp_path / "away" / "depth" / depth_sequence.SIDECAR).exists()


def test_a_clip_in_two_scenes_at_different_frames_shows_its_plate_in_step_in_both(tmp_path, empty_file):
    depth, shot, _eye, mesh = build(tmp_path, empty_file)
    other = bpy.data.scenes.new("Edit")

    def built(scene, offset):
        placed = depths.load(depth.folder, frame_offset=offset)
        return meshes.build_mesh(placed, shot, cameras.build_camera(placed, shot, scene=scene))

    def offset_of(thing):
        tree = nodes.material_tree(nodes.modifier_input(thing.modifiers[0], "Material"))
        user = next(node.image_user for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage")
        return user.frame_start - 1 - user.frame_offset

    material = nodes.modifier_input(mesh.modifiers[0], "Material")
    material.diffuse_color = (1, 0, 0, 1)  # the artist's
    twin = built(other, 100)
    assert (offset_of(mesh), offset_of(twin)) == (0, 100)
    assert tuple(nodes.modifier_input(twin.modifiers[0], "Material").diffuse_color) == (1, 0, 0, 1)
    assert built(other, 50) == twin and built(empty_file, 7) == mesh
    assert (offset_of(mesh), offset_of(twin)) == (7, 50) and len(bpy.data.materials) == 2
    assert built(other, 7) == twin and len(bpy.data.materials) == 2


def test_a_clean_plate_in_the_material_stays_when_it_is_built_again(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path, empty_file, frames=range(1, 2))
    tree = nodes.material_tree(nodes.modifier_input(mesh.modifiers[0], "Material"))
    texture = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    plate, own = texture.image, bpy.data.images.new("clean plate", *PLATE)
    copied = plate.copy()
    copied.pixels.foreach_set(np.full(len(copied.pixels), 0.75, np.float32))
    copied.update()
    for image in (own, copied):
        texture.image = image
        meshes.build_mesh(depth, shot, eye)
        assert texture.image == image
    texture.image = None
    meshes.build_mesh(depth, shot, eye)
    assert texture.image == plate


def test_another_file_that_the_artist_chose_for_the_image_of_the_plate_stays_when_it_is_built_again(
    tmp_path, empty_file
):
    depth, shot, eye, mesh = build(tmp_path, empty_file, frames=range(1, 3))
    tree = nodes.material_tree(nodes.modifier_input(mesh.modifiers[0], "Material"))
    texture = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    image, (behind,) = texture.image, eye.data.background_images
    graded = shutil.copytree(tmp_path / "plate", tmp_path / "graded")
    image.filepath = str(graded / "plate.0001.png")
    for _ in range(2):
        cameras.build_camera(depth, shot, scene=empty_file)
        meshes.build_mesh(depth, shot, eye)
        assert texture.image == behind.image == image
        assert Path(image.filepath) == graded / "plate.0001.png"
    places.ask(graded)
    shutil.rmtree(graded)
    meshes.build_mesh(depth, shot, eye)
    assert Path(bpy.path.abspath(texture.image.filepath)) == tmp_path / "plate" / "plate.0001.png"


def test_the_plate_of_another_estimate_in_the_folder_takes_the_place_of_the_one_before(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path, empty_file, frames=range(1, 3))
    tree = nodes.material_tree(nodes.modifier_input(mesh.modifiers[0], "Material"))
    texture = next(node for node in tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    shutil.copytree(tmp_path / "plate", tmp_path / "plate_v2")
    sidecar = depth.folder / depth_sequence.SIDECAR
    sidecar.write_text(sidecar.read_text().replace('"../plate"', '"../plate_v2"'))
    later = depths.load(depth.folder)
    cameras.build_camera(later, shot, scene=empty_file)
    meshes.build_mesh(later, shot, eye)
    (behind,) = eye.data.background_images
    assert texture.image == behind.image
    assert Path(texture.image.filepath) == tmp_path / "plate_v2" / "plate.0001.png"


@pytest.mark.parametrize("goes", ["the project", "the file", "the mesh"])
def test_it_does_so_also_where_all_was_moved_saved_elsewhere_or_appended_meanwhile(tmp_path, empty_file, goes):
    here, blend = tmp_path / "here", tmp_path / "here" / "a.blend"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    mesh = build(here, empty_file, frames=range(1, 3))[-1].name
    (tmp_path / "deep" / "er").mkdir(parents=True)
    bpy.ops.wm.save_mainfile()
    if goes == "the file":
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deep" / "er" / "a.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    if goes == "the project":
        here = here.rename(tmp_path / "there")
        bpy.ops.wm.open_mainfile(filepath=str(here / "a.blend"))
    elif goes == "the file":
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "deep" / "er" / "a.blend"))
    else:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "deep" / "b.blend"))
        bpy.ops.wm.append(directory=f"{blend}/Object/", filename=mesh)
    shutil.copytree(here / "plate", here / "plate_v2")
    sidecar = here / "depth" / depth_sequence.SIDECAR
    sidecar.write_text(sidecar.read_text().replace('"../plate"', '"../plate_v2"'))
    later = depths.load(sidecar)
    eye = bpy.data.objects[mesh].parent
    meshes.build_mesh(later, later.done_shots[0], eye)
    (image,) = {
        node.image
        for node in nodes.material_tree(nodes.modifier_input(bpy.data.objects[mesh].modifiers[0], "Material")).nodes
        if node.bl_idname == "ShaderNodeTexImage"
    }
    assert Path(os.path.realpath(bpy.path.abspath(image.filepath))) == here / "plate_v2" / "plate.0001.png"


def test_copies_of_material_and_node_group_that_the_artist_made_stay_when_it_is_built_again(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path, empty_file, offset=7)
    modifier = mesh.modifiers[0]
    first, group = nodes.modifier_input(modifier, "Material"), modifier.node_group
    material, modifier.node_group = first.copy(), group.copy()
    nodes.set_modifier_input(modifier, "Material", material)
    later = depths.load(depth.folder, frame_offset=50)
    for each in (depth, later, depth):
        assert meshes.build_mesh(each, shot, eye) == mesh and len(mesh.modifiers) == 1
        assert nodes.modifier_input(mesh.modifiers[0], "Material") == material
        assert mesh.modifiers[0].node_group not in (None, group)
        texture = next(n for n in nodes.material_tree(material).nodes if n.bl_idname == "ShaderNodeTexImage")
        assert texture.image_user.frame_start == each.frame_offset + 2
    other = modifier.node_group
    other.interface.remove(other.interface.items_tree["Detail"])
    meshes.build_mesh(depth, shot, eye)
    assert [each.node_group for each in mesh.modifiers] == [group], "one that cannot be filled in is made again"


def test_a_group_that_the_artist_copied_for_one_mesh_is_not_that_of_the_next(tmp_path, empty_file):
    depth, shot, eye, mesh = build(tmp_path / "first", empty_file)
    group = mesh.modifiers[0].node_group
    mesh.modifiers[0].node_group = own = group.copy()
    own.name = "A wavy mesh"
    *_, other = build(tmp_path / "second", empty_file)
    meshes.build_mesh(depth, shot, eye)
    assert other.modifiers[0].node_group == group and mesh.modifiers[0].node_group == own
