"""The depth mesh at its edges: no shards, no slits, something behind what is in front; parts by a matte; noise."""

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import mesh as meshes
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.problems import Problem
from geometry_tools import attribute, evaluated
from mathutils import Vector
from mathutils.bvhtree import BVHTree

SIZE = (48, 32)
NEAR, FAR = 2.0, 10.0
BOX = (slice(10, 24), slice(18, 32))
FOCAL = 40.0


def still(frames):
    return depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=FOCAL, step=0.0, yaw=0.0)


def boxed(frame, width, height, soft=0):
    """A near box before a far wall; `soft`: so many pixels of neither around it."""
    inside = np.zeros((height, width), bool)
    inside[BOX] = True
    d = np.where(inside, 1 / NEAR, 1 / FAR)
    grown = inside
    for i in range(soft):
        grown = grown | np.roll(grown, 1, 0) | np.roll(grown, -1, 0) | np.roll(grown, 1, 1) | np.roll(grown, -1, 1)
        share = 1 - (i + 1) / (soft + 1)
        d = np.where(grown & (d <= 1 / FAR), share / NEAR + (1 - share) / FAR, d)
    return d


def floor(frame, width, height):
    """A floor up to its horizon, before a wall that stands on it."""
    v = (np.arange(height) + 0.5) / height
    return np.repeat(np.maximum(0.02, 0.8 * (v - 0.4))[:, None], width, axis=1)


def white_box(frame, width, height):
    image = np.zeros((height, width, 3), np.uint8)
    image[BOX] = 255
    return image


def build(folder, scene, disparity, *, frames=range(1, 2), **how):
    depth = depths.load(depth_maker.make(folder, size=SIZE, frames=frames, camera=still, disparity=disparity))
    shot = depth.sequence.shots[0]
    mesh = meshes.build_mesh(depth, shot, cameras.build_camera(depth, shot, scene=scene), **how)
    change(mesh, One_Mesh=True)
    return mesh


def change(mesh, **values):
    for name, value in values.items():
        nodes.set_modifier_input(mesh.modifiers[0], name.replace("_", " "), value)


def depth_of(mesh, scene, frame=1):
    return attribute(evaluated(mesh, scene, frame).data, meshes.DEPTH_ATTRIBUTE, 1)[:, 0]


def seen(mesh, scene, *, aside=0.0, frame=1):
    """Z [H, W] that rays from the camera, moved aside, find; infinite where they find nothing."""
    result = evaluated(mesh, scene, frame).data
    tree = BVHTree.FromPolygons([v.co for v in result.vertices], [p.vertices for p in result.polygons])
    width, height = SIZE
    z = np.full((height, width), np.inf)
    for j in range(height):
        for i in range(width):
            ray = Vector(((i + 0.51 - width / 2) / FOCAL, (height / 2 - j - 0.51) / FOCAL, -1.0))
            hit = tree.ray_cast(Vector((aside, 0.0, 0.0)), ray)[0]
            if hit is not None:
                z[j, i] = -hit.z
    return z


@pytest.mark.parametrize("soft", [0, 1, 2])
def test_pixels_of_neither_side_go_to_one(tmp_path, shared_file, soft):
    mesh = build(tmp_path, shared_file, lambda *of: boxed(*of, soft=soft))
    z = depth_of(mesh, shared_file)
    assert np.all((z < NEAR * 1.06) | (z > FAR * 0.94))
    front = seen(mesh, shared_file)
    assert np.isfinite(front).all()  # no slit for the camera that filmed it
    true = boxed(1, *SIZE)
    assert np.mean(front[4:-4, 4:-4] < 5) == pytest.approx(np.mean(true[4:-4, 4:-4] > 0.3), abs=0.03 + 0.03 * soft)


def test_from_aside_the_wall_goes_on_and_nothing_hangs_between(tmp_path, shared_file):
    mesh = build(tmp_path, shared_file, boxed)
    wide = seen(mesh, shared_file, aside=0.4)[:, 12:36]
    assert np.isfinite(wide).all()
    assert np.all((wide < NEAR * 1.02) | (np.abs(wide - FAR) < 0.15 * FAR))
    change(mesh, Background=0.0)
    assert np.isinf(seen(mesh, shared_file, aside=0.4)[:, 12:36]).mean() > 0.05
    change(mesh, Background=0.25, Edge_Cut=1.0)
    shards = seen(mesh, shared_file, aside=0.4)[:, 12:36]
    assert np.mean((shards > NEAR * 1.1) & (shards < FAR * 0.8)) > 0.05


def test_what_is_made_up_is_the_plane_of_what_is_behind_and_shows_it_mirrored(tmp_path, shared_file):
    def tilted(frame, width, height):
        plane = np.broadcast_to(np.linspace(0.06, 0.14, width), (height, width))
        return np.where(boxed(frame, width, height) > 0.3, 0.5, plane)

    mesh = build(tmp_path, shared_file, tilted)
    result = evaluated(mesh, shared_file, 1).data
    at = np.array([v.co for v in result.vertices])
    u = at[:, 0] / -at[:, 2] * FOCAL / SIZE[0] + 0.5
    v = at[:, 1] / -at[:, 2] * FOCAL / SIZE[1] + 0.5
    place = attribute(result, meshes.PLATE_ATTRIBUTE, 3)
    shown = place[:, :2] / place[:, 2:]
    hidden = (np.abs(u - 25 / 48) < 0.1) & (np.abs(v - 15 / 32) < 0.15) & (at[:, 2] < -4)
    assert hidden.sum() > 10
    plane = 0.06 + 0.08 * (u[hidden] * SIZE[0] - 0.5) / (SIZE[0] - 1)
    assert np.abs(-1 / at[hidden, 2] / plane - 1).max() < 0.03
    i, j = shown[hidden, 0] * SIZE[0], SIZE[1] - shown[hidden, 1] * SIZE[1]
    in_box = (i > 18) & (i < 32) & (j > 10) & (j < 24)
    assert not in_box.any()  # what is in front is not painted on what is behind


def test_what_is_made_up_of_two_surfaces_goes_over_from_one_to_the_other(tmp_path, shared_file):
    def two_walls(frame, width, height):
        walls = np.where(np.arange(height)[:, None] < 17, 1 / (4 * FAR), 1 / FAR)
        return np.where(boxed(frame, width, height) > 0.3, 1 / NEAR, walls)

    mesh = build(tmp_path, shared_file, two_walls)
    wide = seen(mesh, shared_file, aside=0.4)
    assert np.isfinite(wide[:, 12:36]).all()
    exposed = wide[BOX[0], 24:32]  # beside the box, on the side that the camera is moved to
    exposed = exposed[:, (exposed > 2 * NEAR).all(axis=0)]
    assert exposed.shape[1] > 3 and np.all(exposed > 0.9 * FAR)
    assert np.any((exposed > 1.2 * FAR) & (exposed < 3 * FAR))


def test_what_is_made_up_has_no_hole_before_the_sky(tmp_path, shared_file):
    def under_the_sky(frame, width, height):
        behind = np.where(np.arange(height)[:, None] < 17, 1e-4, 1 / FAR)
        return np.where(boxed(frame, width, height) > 0.3, 1 / NEAR, behind)

    mesh = build(tmp_path, shared_file, under_the_sky)
    for aside in (0.2, -0.2):
        assert np.isfinite(seen(mesh, shared_file, aside=aside)[:, 12:36]).all()


def test_a_floor_is_no_edge_however_steep(tmp_path, shared_file):
    mesh = build(tmp_path, shared_file, floor)
    z = 1 / floor(1, *SIZE)[:, 0]
    assert np.max(1 - np.minimum(z[1:], z[:-1]) / np.maximum(z[1:], z[:-1])) > 0.3
    assert len(evaluated(mesh, shared_file, 1).data.polygons) == (SIZE[0] + 1) * (SIZE[1] + 1)


def test_a_wire_of_one_pixel_stays(tmp_path, shared_file):
    def wired(frame, width, height):
        d = np.full((height, width), 1 / FAR)
        d[:, 20] = 1 / NEAR
        return d

    mesh = build(tmp_path, shared_file, wired)
    front = seen(mesh, shared_file)
    assert np.allclose(front[:, 20], NEAR, rtol=0.01)
    assert np.allclose(np.delete(front, [19, 20, 21], axis=1), FAR, rtol=0.02)
    z = depth_of(mesh, shared_file)
    assert np.all((z < NEAR * 1.06) | (z > FAR * 0.94))


def test_normals_look_at_the_camera_and_are_smooth(tmp_path, shared_file):
    mesh = build(tmp_path, shared_file, depth_maker.slanted)
    result = evaluated(mesh, shared_file, 1).data
    away = [p.normal.dot(p.center) for p in result.polygons]
    assert max(away) < 0
    assert all(p.use_smooth for p in result.polygons[:3])


def test_smoothing_takes_noise_but_no_edge_and_no_plane(tmp_path, shared_file):
    noise = np.random.default_rng(0).normal(0, 0.002, (SIZE[1], SIZE[0]))

    def noisy(frame, width, height):
        return boxed(frame, width, height) + np.linspace(0, 0.02, width) + (noise if frame == 1 else 0)

    mesh = build(tmp_path, shared_file, noisy, frames=range(1, 3))
    change(mesh, Background=0.0)
    clean = depth_of(mesh, shared_file, 2)
    rough = depth_of(mesh, shared_file, 1)
    change(mesh, Smoothing=8)
    smooth, still_clean = depth_of(mesh, shared_file, 1), depth_of(mesh, shared_file, 2)
    assert np.allclose(still_clean, clean, rtol=1e-4)
    inner = np.abs(1 / smooth - 1 / clean)
    assert np.sqrt(np.mean(inner**2)) < 0.5 * np.sqrt(np.mean((1 / rough - 1 / clean) ** 2))


def test_a_matte_leaves_a_subject_out_or_keeps_it_apart(tmp_path, shared_file):
    mattes = tmp_path / "mattes"
    mattes.mkdir()
    depth_maker.write_png(mattes / "matte.0001.png", white_box(1, *SIZE))
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2), camera=still, disparity=boxed))
    shot = depth.sequence.shots[0]
    eye = cameras.build_camera(depth, shot, scene=shared_file)
    with pytest.raises(Problem, match="no Matte Folder"):
        meshes.build_mesh(depth, shot, eye, part="rest")
    rest = meshes.build_mesh(depth, shot, eye, mattes=mattes, part="rest")
    subject = meshes.build_mesh(depth, shot, eye, mattes=mattes, part="subject")
    assert rest != subject and subject.name == "plate Subject"
    for each in (rest, subject):
        change(each, One_Mesh=True)
    assert depth_of(rest, shared_file).min() > FAR * 0.9
    assert np.allclose(seen(rest, shared_file), FAR, rtol=0.02)  # closed behind the subject
    assert depth_of(subject, shared_file).max() < NEAR * 1.01
    assert len(evaluated(subject, shared_file, 1).data.vertices) == 14 * 14
    assert meshes.build_mesh(depth, shot, eye) == rest  # as it was
    assert depth_of(rest, shared_file).min() > FAR * 0.9
    assert meshes.build_mesh(depth, shot, eye, part="whole") == rest
    assert depth_of(rest, shared_file).min() == pytest.approx(NEAR)
    (mattes / "matte.0001.png").rename(mattes / "matte.0007.png")
    with pytest.raises(Problem, match=r"Frame 1 has no matte"):
        meshes.build_mesh(depth, shot, eye, mattes=mattes, part="rest")


def test_mattes_that_are_others_by_now_are_read_when_it_is_built_again(tmp_path, shared_file):
    mattes = tmp_path / "mattes"
    mattes.mkdir()
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2), camera=still, disparity=boxed))
    shot = depth.sequence.shots[0]
    eye = cameras.build_camera(depth, shot, scene=shared_file)
    white = white_box(1, *SIZE)
    for half in (False, True):
        white[:, BOX[1].start + 7 if half else SIZE[0] :] = 0
        depth_maker.write_png(mattes / "matte.0001.png", white)
        subject = meshes.build_mesh(depth, shot, eye, mattes=mattes, part="subject")
        change(subject, One_Mesh=True)
        assert len(evaluated(subject, shared_file, 1).data.vertices) == 14 * (7 if half else 14)


def test_the_viewport_has_a_detail_of_its_own(tmp_path, shared_file):
    mesh = build(tmp_path, shared_file, lambda frame, width, height: np.full((height, width), 0.2))
    change(mesh, Viewport_Detail=0.5)
    assert len(evaluated(mesh, shared_file, 1).data.vertices) == 26 * 18
    change(mesh, Detail=0.25)
    assert len(evaluated(mesh, shared_file, 1).data.vertices) == 14 * 10


def test_apply_makes_a_plain_mesh_of_one_frame(tmp_path, shared_file):
    mesh = build(tmp_path, shared_file, depth_maker.slanted, frames=range(1, 4))
    change(mesh, Viewport_Detail=0.5)
    mesh.parent.parent.location = (1, 2, 3)
    shared_file.frame_set(2)
    bpy.context.view_layer.objects.active = mesh
    assert bpy.ops.fathom.apply_depth_mesh() == {"FINISHED"}
    made = bpy.context.object
    assert made != mesh and not made.modifiers and made.name == "plate Mesh 2"
    assert mesh.hide_get() and mesh.hide_render and not made.hide_get()  # both are in one place
    mesh.hide_set(False)
    assert nodes.modifier_input(mesh.modifiers[0], "Viewport Detail") == pytest.approx(0.5)
    assert len(made.data.vertices) == 50 * 34
    assert np.allclose(made.matrix_world, mesh.matrix_world, atol=1e-6)
    z = attribute(made.data, meshes.DEPTH_ATTRIBUTE, 1).reshape(50, 34)[1:-1, 1:-1]
    assert np.allclose(1 / z, depth_maker.slanted(2, *SIZE)[::-1].T, rtol=1e-5)
    (held,) = (each for each in made.data.materials if each is not None)
    image = next(node for node in held.node_tree.nodes if node.bl_idname == "ShaderNodeTexImage")
    assert (image.image_user.frame_duration, image.image_user.frame_offset) == (1, 1)  # frame 2, always
    assert held != mesh.modifiers[0].id_data.active_material
    shared_file.frame_set(3)
    assert np.allclose(1 / z, depth_maker.slanted(2, *SIZE)[::-1].T, rtol=1e-5)
    change(mesh, Point_Cloud=True)
    with pytest.raises(Problem, match="shows points"):
        meshes.apply_at_frame(mesh, shared_file)
    with pytest.raises(Problem, match="no depth mesh"):
        meshes.apply_at_frame(made, shared_file)
