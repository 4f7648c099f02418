"""What fog looks like: presets, the lamp, noise that drifts with the scene's time, the layer over the floor."""

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import fog as fogs
from bl_ext.dev.fathom.scene import fog_light, fog_look, nodes, orientation
from bl_ext.dev.fathom.scene.problems import Problem
from geometry_tools import image_grid, rays, render, set_up_cycles

SIZE = (24, 16)
WALL = 5.0


def filmed(frames):
    return depth_maker.dolly(frames, width=24, height=16, focal_length=26.0, step=0.0, yaw=0.0)


@pytest.fixture
def built(shared_file, tmp_path):
    """Depth, shot and fog of a wall at five meters, filmed by a camera that stands still."""
    wall = {"disparity": lambda n, w, h: np.full((h, w), 1 / WALL), "size": SIZE, "camera": filmed}
    depth = depths.load(depth_maker.make(tmp_path / "a", **wall))
    shot = depth.done_shot_at(1)
    shared_file.world = bpy.data.worlds.new("black")
    nodes.material_tree(shared_file.world).nodes["Background"].inputs["Color"].default_value = (0, 0, 0, 1)
    yield depth, shot, fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=shared_file))
    bpy.data.batch_remove(list(bpy.data.lights))


def look(fog, name):
    value = fog_look.look_of(fog).inputs[name].default_value
    return tuple(value) if name == "Color" else value


def seen(scene, tmp_path, frame=1, samples=1):
    set_up_cycles(scene, size=SIZE, samples=samples)
    return render(scene, tmp_path / "seen", frame, linear=True)[..., :3]


def test_new_fog_is_haze_and_needs_no_lamp(built, shared_file, tmp_path):
    """It shows Color * Brightness * (1 - T), to float precision, from one sample."""
    depth, shot, fog = built
    u, v = image_grid(*SIZE)
    length = (np.linalg.norm(rays(shot.camera, u, v), axis=-1) * (WALL - 0.1 * depths.distances(depth, shot).near)).T
    wanted = 1 - np.exp(-look(fog, "Density") * length[::-1, :, None])
    assert 0.2 < wanted.min() < wanted.max() < 0.9
    wanted = wanted * np.array(look(fog, "Color")[:3]) * look(fog, "Brightness")
    assert np.allclose(seen(shared_file, tmp_path), wanted, rtol=1e-3)


def test_an_object_has_the_fog_of_its_own_distance_in_front(built, shared_file, tmp_path):
    """And what is behind that is hidden by it."""
    _, shot, fog = built
    away = 2.5
    bpy.ops.mesh.primitive_plane_add(size=1.0, location=(0.0, away, 0.0), rotation=(np.pi / 2, 0.0, 0.0))
    material = bpy.data.materials.new("shines")
    tree = nodes.material_tree(material)
    tree.nodes.clear()
    shine = nodes.value(tree, "ShaderNodeEmission", "Emission", {"Color": (0.9, 0.1, 0.1, 1.0)})
    nodes.feed(nodes.input_of(nodes.new(tree, "ShaderNodeOutputMaterial"), "Surface"), shine)
    bpy.context.object.data.materials.append(material)
    u, v = image_grid(*SIZE)
    start = nodes.modifier_input(fog.modifiers[0], "Start")
    length = (np.linalg.norm(rays(shot.camera, u, v), axis=-1) * (away - start)).T[::-1]
    through = np.exp(-look(fog, "Density") * length)[7:9, 11:13, None]
    fogged = np.array(look(fog, "Color")[:3]) * look(fog, "Brightness")
    wanted = np.array([0.9, 0.1, 0.1]) * through + fogged * (1 - through)
    assert np.allclose(seen(shared_file, tmp_path)[7:9, 11:13], wanted, rtol=1e-3)


@pytest.mark.parametrize("preset", [name for name, *_ in fog_look.PRESETS])
def test_presets_suit_the_distances_of_the_shot(built, shared_file, preset):
    depth, shot, fog = built
    fogs.apply_preset(depth, shot, fog, preset, scene=shared_file)
    through = np.exp(-look(fog, "Density") * WALL)
    assert 0.001 < through < 0.6
    assert look(fog, "Ambient") == 1.0
    assert (look(fog, "By Height") == 1.0) == (preset == "GROUND_MIST")
    assert (look(fog, "Noise Amount") > 0) == (preset != "HAZE")
    assert max(look(fog, "Color")[:3]) < 0.5 if preset == "SMOKE" else min(look(fog, "Color")[:3]) > 0.5


def test_presets_of_relative_depth_follow_its_near_and_far(shared_file, tmp_path):
    depth = depths.load(depth_maker.make(tmp_path / "a", quantity="relative_disparity", camera=filmed))
    shot = depth.done_shot_at(1)
    fog = fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=shared_file))
    before = look(fog, "Density")
    nodes.set_modifier_input(fog.modifiers[0], "Far", 2.0 * nodes.modifier_input(fog.modifiers[0], "Far"))
    fogs.apply_preset(depth, shot, fog, "HAZE", scene=shared_file)
    assert look(fog, "Density") == pytest.approx(before / 2)


def test_ground_mist_lies_on_the_leveled_floor(built, shared_file):
    depth, shot, fog = built
    note = fogs.apply_preset(depth, shot, fog, "GROUND_MIST", scene=shared_file)
    assert "not leveled" in note and "Set Floor" in note
    assert look(fog, "Floor Height") == pytest.approx(-WALL * 8 / 26, rel=0.2)  # the lowest of what is seen
    rig = cameras.find_rig(depth, shot, shared_file)
    rig.location.z = 1.6
    assert fogs.apply_preset(depth, shot, fog, "GROUND_MIST", scene=shared_file) is None
    assert look(fog, "Floor Height") == 0.0
    assert 0 < look(fog, "Top") < 1.6


def test_set_floor_levels_it(shared_file, tmp_path):
    depth = depths.load(depth_maker.make(tmp_path / "a", camera=filmed))
    shot = depth.done_shot_at(1)
    fog = fogs.build_fog(depth, shot, cameras.build_camera(depth, shot, scene=shared_file))
    orientation.set_floor(depth, shot, [[0.2, 0.1], [0.8, 0.1], [0.5, 0.4]], scene=shared_file)
    assert fog_look.floor_of(depth, shot, fog, shared_file) == (0.0, None)


def test_fog_by_height_is_whole_up_to_its_top_and_falls_by_e_above(built, shared_file, tmp_path):
    _depth, _shot, fog = built
    nodes.set_modifier_input(fog.modifiers[0], "Start", 1e-3)
    values = {"Density": 0.3, "Color": (1, 1, 1, 1), "Brightness": 1.0, "By Height": 1.0}
    fog_look.set_look(fog_look.look_of(fog), values | {"Floor Height": -1.0, "Top": 1.0, "Height Falloff": 0.5})
    layered = seen(shared_file, tmp_path, samples=16)[..., 0]
    fog_look.set_look(fog_look.look_of(fog), {"By Height": 0.0})
    even = seen(shared_file, tmp_path)[..., 0]
    assert np.allclose(layered[8:], even[8:], rtol=0.02)  # below the horizon, where the top lies
    rise = (8 - 0.5) / 26  # of the ray through the uppermost row, by distance
    mean = (1 - np.exp(-rise * WALL / 0.5)) / (rise * WALL / 0.5)
    assert -np.log(1 - layered[0]) == pytest.approx(-np.log(1 - even[0]) * mean, rel=0.1)


def test_noise_drifts_by_the_scenes_time(built, shared_file, tmp_path):
    """A second later the patches of one layer are where the wind has moved them; nothing is keyed."""
    _, _, fog = built
    values = {"Noise Amount": 1.0, "Noise Scale": 1.0, "Noise Evolution": 0.0, "Wind Speed": 0.0, "Density": 0.3}
    fog_look.set_look(fog_look.look_of(fog), values)
    still = [seen(shared_file, tmp_path, frame) for frame in (11, 35)]
    assert np.array_equal(*still)
    fog_look.set_look(fog_look.look_of(fog), {"Wind Speed": 1.0})
    moved = [seen(shared_file, tmp_path, frame) for frame in (11, 35, 11)]
    assert np.abs(moved[0] - moved[1]).mean() > 0.02
    assert np.array_equal(moved[0], moved[2])
    shared_file.render.fps = 48
    later = seen(shared_file, tmp_path, 70)  # 70/48 s = 35/24 s
    shared_file.render.fps = 24
    assert np.allclose(later, moved[1], atol=1e-4)


def test_contrast_gathers_the_fog_that_there_is_in_denser_swathes(built, shared_file, tmp_path):
    _, _, fog = built
    values = {"Noise Amount": 1.0, "Noise Scale": 3.0, "Density": 0.1, "Color": (1, 1, 1, 1), "Brightness": 1.0}
    thickness = []
    for contrast in (1.0, 10.0):
        fog_look.set_look(fog_look.look_of(fog), values | {"Noise Contrast": contrast})
        thickness.append(-np.log(1 - seen(shared_file, tmp_path, samples=32)[..., 0]))
    soft, gathered = thickness
    assert gathered.std() > 2 * soft.std()
    assert gathered.mean() == pytest.approx(soft.mean(), rel=0.35)


def test_light_it_takes_the_glow_out_and_back(built, shared_file, tmp_path):
    depth, shot, fog = built
    fog_look.set_look(fog_look.look_of(fog), {"Ambient": 0.9})
    before = {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "lights")}
    glowing = seen(shared_file, tmp_path).mean()
    lamp = fog_light.add_light(fog, shared_file)
    assert fog_light.light_of(fog) == lamp == fog_light.add_light(fog, shared_file)
    assert look(fog, "Ambient") == pytest.approx(fog_light.LEFT_AMBIENT)
    lit = seen(shared_file, tmp_path, samples=64)
    assert 0.4 * glowing < lit.mean() < 1.6 * glowing
    strength = lamp.data.energy
    fogs.apply_preset(depth, shot, fog, "SMOKE", scene=shared_file)
    assert lamp.data.energy != strength and look(fog, "Ambient") == pytest.approx(fog_light.LEFT_AMBIENT)
    fog_light.remove_light(fog)
    assert look(fog, "Ambient") == pytest.approx(0.9) and fog_light.light_of(fog) is None
    assert {kind: len(getattr(bpy.data, kind)) for kind in before} == before
    fog_light.remove_light(fog)


def test_fog_of_the_artists_own_material_is_left_alone(built, shared_file):
    depth, shot, fog = built
    nodes.set_modifier_input(fog.modifiers[0], "Material", bpy.data.materials.new("own"))
    for change in (
        lambda: fogs.apply_preset(depth, shot, fog, "HAZE", scene=shared_file),
        lambda: fog_light.add_light(fog, shared_file),
    ):
        with pytest.raises(Problem, match="material of your own"):
            change()
    assert not bpy.data.lights


def test_a_look_of_the_first_version_keeps_what_was_set(built, shared_file):
    depth, shot, fog = built
    material = nodes.modifier_input(fog.modifiers[0], "Material")
    tree = nodes.material_tree(material)
    old = bpy.data.node_groups.new("Fathom Fog Look", "ShaderNodeTree")
    old["fathom_kind"] = "fog look/1"
    names = ("Density", "Anisotropy", "Height Falloff", "Height Base", "Noise Amount", "Noise Scale")
    for name in names:
        nodes.interface_number(old, name, 0.25, "")
    nodes.interface_input(old, "Color", "Color", default=(0.1, 0.2, 0.3, 1.0))
    tree.nodes.clear()
    nodes.new(tree, "ShaderNodeGroup").node_tree = old
    fogs.build_fog(depth, shot, fog.parent)
    assert [look(fog, name) for name in ("Density", "Noise Amount", "Floor Height")] == [0.25] * 3
    assert (look(fog, "By Height"), look(fog, "Height Falloff"), look(fog, "Ambient")) == (1.0, 4.0, 0.0)
    assert look(fog, "Color") == pytest.approx((0.1, 0.2, 0.3, 1.0))
    bpy.data.node_groups.remove(old)
