"""The fog volume: closed, ending at the depth, letting through what Beer and Lambert say."""

import subprocess
import sys

import bmesh
import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import fog as fogs
from bl_ext.dev.fathom.scene import fog_look, nodes
from bl_ext.dev.fathom.scene import mesh as meshes
from geometry_tools import evaluated, image_grid, rays, render, set_up_cycles, unprojected, vertices

SIZE = (24, 15)
BANDS = (2.0, 5.0, 10.0)


def filmed(frames, **more):
    return depth_maker.dolly(frames, width=24, height=15, focal_length=26.0, principal_point=(12.5, 6.0), **more)


def bands(frame, width, height):
    """Three walls, near, middle and far, from left to right, that move left by a pixel a frame."""
    edges = np.array([width // 3, 2 * width // 3]) - frame
    return np.repeat(1 / np.array(BANDS)[np.searchsorted(edges, np.arange(width), side="right")][None], height, axis=0)


def build(folder, scene, **how):
    made = {"size": SIZE, "camera": filmed} | how
    depth = depths.load(depth_maker.make(folder, **made))
    shot = depth.done_shot_at(made.get("frames", range(1, 6))[0])
    fog = fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=scene))
    return depth, shot, fog


def set_look(fog, **values):
    fog_look.set_look(fog_look.look_of(fog), {name.replace("_", " ").title(): each for name, each in values.items()})


def body(fog, scene, frame):
    mesh = bmesh.new()
    mesh.from_mesh(evaluated(fog, scene, frame).data)
    return mesh


def white_world(scene):
    scene.world = bpy.data.worlds.new("white")
    tree = nodes.material_tree(scene.world)
    background = next(n for n in tree.nodes if n.bl_idname == "ShaderNodeBackground")
    background.inputs["Color"].default_value = (1, 1, 1, 1)


@pytest.mark.parametrize("quantity", ["inverse_depth", "relative_disparity"])
@pytest.mark.parametrize("start", [0.05, 3.0, 1000.0])
def test_body_is_closed_and_turned_outwards(tmp_path, empty_file, quantity, start):
    _, _, fog = build(tmp_path, empty_file, quantity=quantity)
    nodes.set_modifier_input(fog.modifiers[0], "Start", start)
    mesh = body(fog, empty_file, 2)
    assert all(edge.is_manifold and edge.is_contiguous for edge in mesh.edges)
    assert (mesh.calc_volume(signed=True) > 0) == (start < 1000)
    assert [w.message for w in getattr(fog.modifiers[0], "node_warnings", ())] == []


@pytest.mark.parametrize("quantity", ["inverse_depth", "relative_disparity"])
def test_far_side_is_the_depth_and_near_side_the_start(tmp_path, empty_file, quantity):
    _depth, shot, fog = build(tmp_path, empty_file, quantity=quantity)
    nodes.set_modifier_input(fog.modifiers[0], "Start", 0.5)
    u, v = image_grid(*SIZE)
    for frame in (1, 3, 5):
        found = vertices(fog, empty_file, frame)
        z = 1 / depth_maker.slanted(frame, *SIZE)[::-1].T
        if quantity == "relative_disparity":
            near, far, least, most = (
                nodes.modifier_input(fog.modifiers[0], name) for name in ("Near", "Far", "Near Limit", "Far Limit")
            )
            t = (1 / z - shot.range.p1) / (shot.range.p99 - shot.range.p1)
            z = np.clip(1 / np.maximum(t * (1 / near - 1 / far) + 1 / far, 1 / most), least, most)
        for distance in (z * (1 - fogs.GAP), np.full(SIZE, 0.5)):
            wanted = unprojected(shot.camera, shot.camera.poses[frame - 1], u, v, distance)
            gaps = np.linalg.norm(found[:, None] - wanted[None], axis=2).min(axis=0)
            assert np.max(gaps / np.ravel(distance)) < 1e-5


def expected_transmittance(camera, density, start, z):
    """exp(-density * length of the ray between start and z), of each pixel, top row first."""
    u, v = image_grid(*SIZE)
    length = np.linalg.norm(rays(camera, u, v), axis=-1) * np.maximum(z - start, 0)
    return np.exp(-density * length).T[::-1]


@pytest.mark.parametrize(("start", "scale"), [(0.001, 1.0), (1.0, 1.0), (3.0, 1.0), (0.5, 3.0)])
def test_transmittance_follows_beer_and_lambert(tmp_path, empty_file, start, scale):
    depth, shot, fog = build(tmp_path / "made", empty_file, disparity=bands)
    nodes.set_modifier_input(fog.modifiers[0], "Start", start)
    cameras.find_rig(depth, shot, empty_file)[cameras.SCALE] = scale
    density = 0.18  # before Scale: fog looks alike whatever that is
    set_look(fog, density=density, color=(0, 0, 0, 1))
    white_world(empty_file)
    set_up_cycles(empty_file, size=SIZE)
    for frame in (1, 4):
        seen = render(empty_file, tmp_path / "seen", frame, linear=True)[..., :3]
        d = bands(frame, *SIZE)
        wanted = expected_transmittance(shot.camera, density, start, 1 / d[::-1].T)
        flat = np.ones(SIZE[0], bool)  # within a pixel of an edge lies the slope between two walls
        flat[[i + j for i in np.flatnonzero(np.diff(d[0])) for j in (0, 1)]] = False
        for distance in BANDS:
            columns = flat & np.isclose(1 / d[0], distance)
            assert columns.sum() >= 2
            assert np.allclose(seen[:, columns], wanted[:, columns, None], rtol=0.05)
            assert np.mean(seen[:, columns]) == pytest.approx(np.mean(wanted[:, columns]), rel=0.01)


def test_color_scatters_and_height_and_noise_change_the_fog(tmp_path, empty_file):
    _, _, fog = build(tmp_path / "made", empty_file, disparity=lambda n, w, h: np.full((h, w), 0.2))
    white_world(empty_file)
    set_up_cycles(empty_file, size=SIZE, samples=16)
    empty_file.cycles.volume_bounces = 0

    def seen(**look):
        set_look(fog, density=0.2, color=(0, 0, 0, 1), ambient=0.0, by_height=0.0, noise_amount=0.0)
        set_look(fog, **look)
        return render(empty_file, tmp_path / "seen", 1, linear=True)[..., :3]

    plain = seen()
    colored = seen(color=(0.0, 0.9, 0.0, 1))
    assert colored[..., 0].mean() == pytest.approx(plain[..., 0].mean(), rel=0.05)
    assert colored[..., 1].mean() > plain[..., 1].mean() + 0.1
    # The camera looks along the horizon at height 0: below the base nothing changes, above the fog thins out.
    layered = seen(by_height=1.0, top=0.0, height_falloff=1 / 3, floor_height=0.0)
    assert np.allclose(layered[-2:], plain[-2:], rtol=0.05)
    assert np.all(layered[0] > 1.5 * plain[0])
    patchy = seen(noise_amount=1.0, noise_scale=2.0)
    assert np.std(patchy / plain) > 3 * np.std(layered[-4:] / plain[-4:])
    assert np.mean(np.log(patchy)) == pytest.approx(np.mean(np.log(plain)), rel=0.35)


def test_fog_has_no_holes_at_depth_edges_and_fills_the_frame(tmp_path, empty_file):
    """Every ray of the image passes through fog, the outermost and those across the steps too."""
    _, _, fog = build(tmp_path / "made", empty_file, disparity=bands)
    set_look(fog, density=0.5, color=(0, 0, 0, 1))
    white_world(empty_file)
    set_up_cycles(empty_file, size=(96, 60), samples=4)
    empty_file.cycles.filter_width = 1.5
    assert render(empty_file, tmp_path / "seen", 2, linear=True)[..., :3].max() < np.exp(-0.5 * 1.5)


def test_fog_and_mesh_do_not_quarrel_over_the_surface(tmp_path, empty_file):
    """With both in one place some rays slip through the surface and bring in the world's light."""
    depth, shot, fog = build(tmp_path / "made", empty_file, image=lambda n, w, h: np.full((h, w, 3), 128, np.uint8))
    set_look(fog, density=0.2, color=(0, 0, 0, 1))
    nodes.set_modifier_input(fog.modifiers[0], "Start", 0.5)
    mesh = meshes.build_mesh(depth, shot, fog.parent)
    nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    white_world(empty_file)
    set_up_cycles(empty_file, size=SIZE, samples=8)
    empty_file.cycles.filter_width = 1.5
    seen = render(empty_file, tmp_path / "seen", 2, linear=True)[..., 0]
    z = 1 / depth_maker.slanted(2, *SIZE)[::-1].T
    gray = ((128 / 255 + 0.055) / 1.055) ** 2.4
    wanted = gray * expected_transmittance(shot.camera, 0.2, 0.5, z)
    assert np.allclose(seen, wanted, rtol=0.05)


def test_nothing_at_frames_of_other_shots(tmp_path, empty_file):
    shots = [(1, 2, "done"), (3, 4, "refused")]
    depth, _shot, fog = build(tmp_path, empty_file, shots=shots, frames=range(1, 5))
    assert [len(evaluated(fog, empty_file, frame).data.polygons) > 0 for frame in (-5, 1, 2, 3, 4, 50)] == [
        True
    ] * 3 + [False] * 3
    with pytest.raises(depths.DepthError, match="Frames 3-4"):
        fogs.build_fog(depth, depth.sequence.shots[1], fog.parent)


def test_building_again_doubles_nothing_and_keeps_the_artists_inputs(tmp_path, empty_file):
    depth, shot, fog = build(tmp_path, empty_file)
    nodes.set_modifier_input(fog.modifiers[0], "Start", 1.25)
    set_look(fog, density=0.7, noise_amount=0.3)
    own = bpy.data.materials.new("own")
    kinds = ("objects", "meshes", "materials", "node_groups", "images", "collections")
    counts = [len(getattr(bpy.data, kind)) for kind in kinds]
    assert fogs.build_fog(depth, shot, fog.parent) == fog
    assert [len(getattr(bpy.data, kind)) for kind in kinds] == counts
    assert nodes.modifier_input(fog.modifiers[0], "Start") == 1.25
    assert fog_look.look_of(fog).inputs["Noise Amount"].default_value == pytest.approx(0.3)
    fogs.build_fog(depth, shot, fog.parent, density=0.4, detail=0.5)
    assert fog_look.look_of(fog).inputs["Density"].default_value == pytest.approx(0.4)
    assert nodes.modifier_input(fog.modifiers[0], "Detail") == 0.5
    nodes.set_modifier_input(fog.modifiers[0], "Material", own)
    fogs.build_fog(depth, shot, fog.parent)
    assert nodes.modifier_input(fog.modifiers[0], "Material") == own


def test_fog_of_two_scenes_follows_the_scale_of_each(tmp_path, empty_file):
    depth, shot, fog = build(tmp_path, empty_file)
    set_look(fog, density=0.7)
    other = bpy.data.scenes.new("Edit")
    twin = fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=other))
    assert fog_look.look_of(twin).inputs["Density"].default_value == pytest.approx(0.7)
    for thing, scene, scale in ((fog, empty_file, 3.0), (twin, other, 5.0)):
        cameras.find_rig(depth, shot, scene)[cameras.SCALE] = scale
        thing.update_tag()
        assert fogs.build_fog(depth, shot, thing.parent) == thing
    curves = [look.id_data.animation_data.drivers for look in map(fog_look.look_of, (fog, twin))]
    followed = [
        {t.id for curve in each for variable in curve.driver.variables for t in variable.targets if t.id in (fog, twin)}
        for each in curves
    ]
    assert followed == [{fog}, {twin}] and len(bpy.data.materials) == 2


@pytest.mark.parametrize("build_kind", ["fog", "mesh"])
def test_another_file_that_overrides_it_opens_after_it_was_built_of_depth_of_another_kind(
    tmp_path, empty_file, build_kind
):
    """Blender crashed over a material that is overridden, where the input of that identifier is a number by now."""
    depth, shot, fog = build(tmp_path, empty_file, quantity="relative_disparity")
    thing = fog if build_kind == "fog" else meshes.build_mesh(depth, shot, fog.parent)
    name, before = thing.name, thing.modifiers[0].name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "light.blend"))
    with bpy.data.libraries.load(str(tmp_path / "shot.blend"), link=True, relative=True) as (_, linked):
        linked.objects = [name]
    overridden = linked.objects[0].override_create()
    bpy.context.collection.objects.link(overridden)
    nodes.set_modifier_input(overridden.modifiers[0], "Material", bpy.data.materials.new("mine"))
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    sidecar = depth.folder / depth_sequence.SIDECAR
    sidecar.write_text(sidecar.read_text().replace("relative_disparity", "inverse_depth"))
    later, scene = depths.load(depth.folder), bpy.context.scene
    eye = cameras.build_camera(later, later.done_shots[0], scene=scene)
    again = (fogs.build_fog if build_kind == "fog" else meshes.build_mesh)(later, later.done_shots[0], eye)
    assert again.name == name and len(again.modifiers) == 1 and again.modifiers[0].name != before
    bpy.ops.wm.save_mainfile()
    opens = f"import bpy; bpy.ops.wm.open_mainfile(filepath={str(tmp_path / 'light.blend')!r})"
    done = subprocess.run([sys.executable, "-c", opens], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
