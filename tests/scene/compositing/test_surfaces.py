"""Normals and new light against numpy, on rendered pixels; the light against Cycles' own of the same lamp."""

import math

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import camera as cameras
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_normals, add_relight, lamp_of
from bl_ext.dev.fathom.scene.problems import Problem

SIZE = (48, 32)
NORMAL = np.array([0.3, 0.2, 0.9]) / np.linalg.norm([0.3, 0.2, 0.9])


def rays(focal, size=SIZE):
    """x and y of the pixels' directions (x, y, -1), first row on top, of a lens in pixels."""
    x = (np.arange(size[0]) + 0.5 - size[0] / 2) / focal
    y = (size[1] / 2 - np.arange(size[1]) - 0.5) / focal
    return np.broadcast_to(x, size[::-1]), np.broadcast_to(y[:, None], size[::-1])


def plane(focal):
    """Disparity of a plane with `NORMAL`, 3 from the camera."""

    def disparity(frame, width, height):
        x, y = rays(focal, (width, height))
        return (NORMAL[0] * x + NORMAL[1] * y - NORMAL[2]) / -3.0

    return disparity


def make(tmp_path, focal=50 / 36 * SIZE[0], **more):
    more = {"disparity": plane(focal), "frames": range(1, 2), **more}
    return depths.load(depth_maker.make(tmp_path, size=SIZE, **more))


@pytest.mark.parametrize("has_camera", [False, True])
def test_the_normal_of_a_plane_is_the_planes(tmp_path, empty_file, has_camera):
    focal = 90.0 if has_camera else 50 / 36 * SIZE[0]
    path = lambda frames: depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=focal)  # noqa: E731
    depth = make(tmp_path, focal, camera=path if has_camera else None)
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    if has_camera:
        cameras.build_camera(depth, shot, scene=empty_file)
    node = add_normals(empty_file, depth, shot, smoothness=0.0)
    compositor.show(empty_file, nodes.output_of(node, "Color"))
    found = compositor.render(empty_file, tmp_path, 1)[..., :3] * 2 - 1
    np.testing.assert_allclose(found[2:-2, 2:-2], np.broadcast_to(NORMAL, found[2:-2, 2:-2].shape), atol=3e-3)


@pytest.mark.parametrize("kind", ["point", "sun", "spot"])
def test_the_light_of_a_lamp_is_what_its_formula_gives(tmp_path, empty_file, kind):
    depth = make(tmp_path)
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    node = add_relight(empty_file, depth, shot)
    place, aim, power = np.array([0.4, 0.6, -1.0]), np.array([-0.1, -0.3, -1.0]), 90.0
    values = {"Position": place, "Direction": aim, "Power": power, "Ambient": 0.25, "Smoothness": 0.0}
    if kind == "sun":
        values |= {"Sun": 1.0, "Power": 2.0}
    if kind == "spot":
        values |= {"Spot Size": math.radians(40), "Spot Blend": 0.5}
    for name, value in values.items():
        nodes.input_of(node, name).default_value = value
    found = compositor.render(empty_file, tmp_path, 1)[..., :3]
    x, y = rays(50 / 36 * SIZE[0])
    z = 1 / plane(50 / 36 * SIZE[0])(1, *SIZE)
    point = np.stack([x * z, y * z, -z], axis=-1)
    away = place - point
    distance = np.linalg.norm(away, axis=-1)
    towards = away / distance[..., None]
    aim = aim / np.linalg.norm(aim)
    light = power / (4 * math.pi * distance**2)
    if kind == "sun":
        towards, light = np.broadcast_to(-aim, towards.shape), 2.0
    if kind == "spot":
        border = math.cos(math.radians(20))
        share = np.clip((-(towards @ aim) - border) / ((1 - border) * 0.5), 0, 1)
        light = light * share**2 * (3 - 2 * share)
        assert 0.05 < (share > 0).mean() < 0.95
    returned = light * np.maximum(towards @ NORMAL, 0) / math.pi
    wanted = compositor.plate(1, SIZE) * (0.25 + returned[..., None])
    np.testing.assert_allclose(found[2:-2, 2:-2], wanted[2:-2, 2:-2], rtol=0.02, atol=2e-3)


def test_a_lamp_of_the_scene_drives_the_light(tmp_path, empty_file):
    path = lambda frames: depth_maker.dolly(frames, width=SIZE[0], height=SIZE[1], focal_length=90.0)  # noqa: E731
    depth = make(tmp_path, camera=path)
    shot = depth.sequence.shots[0]
    lamp = bpy.data.objects.new("key", bpy.data.lights.new("key", "POINT"))
    empty_file.collection.objects.link(lamp)
    with pytest.raises(Problem, match="Build > Camera first"):
        add_relight(empty_file, depth, shot, lamp=lamp)
    camera = cameras.build_camera(depth, shot, scene=empty_file)
    rig = cameras.find_rig(depth, shot, empty_file)
    rig.location, rig.rotation_euler, rig["Scale"] = (3, 2, 1), (0.2, 0.1, 1.0), 2.0
    assert lamp_of(empty_file, None) == lamp
    node = add_relight(empty_file, depth, shot, lamp=lamp)
    lamp.data.energy, lamp.data.color = 123.0, (1.0, 0.5, 0.25)
    lamp.location = (1.0, -2.0, 5.0)
    empty_file.frame_set(1)
    wanted = camera.matrix_world.normalized().inverted() @ lamp.matrix_world.translation
    np.testing.assert_allclose(nodes.input_of(node, "Position").default_value, wanted, rtol=1e-4, atol=1e-5)
    assert nodes.input_of(node, "Power").default_value == pytest.approx(123.0)
    assert tuple(nodes.input_of(node, "Color").default_value)[:3] == pytest.approx((1.0, 0.5, 0.25))
    lamp.data.type = "AREA"
    with pytest.raises(Problem, match="area lamp"):
        add_relight(empty_file, depth, shot, lamp=lamp)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["POINT", "SUN", "SPOT"])
def test_the_light_of_a_lamp_is_what_cycles_renders(tmp_path, kind):
    """White, matt surfaces in a lamp's light by Cycles, and the same by distances, without shadows to compare."""
    from development.benchmark_scenes import effects

    shot = effects.still(tmp_path, (240, 136), samples=1, matt=True)
    scene = shot.scene
    data = bpy.data.lights.new("key", kind)
    data.energy = 3.0 if kind == "SUN" else 1500.0
    data.use_shadow = False
    if hasattr(data.cycles, "cast_shadow"):
        data.cycles.cast_shadow = False
    if kind != "SUN":
        data.shadow_soft_size = 0.0
    if kind == "SPOT":
        data.spot_size, data.spot_blend = math.radians(70), 0.6
    lamp = bpy.data.objects.new("key", data)
    lamp.location, lamp.rotation_euler = (-1.5, 1.0, 4.0), (math.radians(50), 0, math.radians(-20))
    scene.collection.objects.link(lamp)
    from development.benchmark_scenes import still_life

    wanted = still_life.render_image(scene, tmp_path, samples=64)
    camera = effects.add_camera(shot)
    assert np.allclose(camera.matrix_world, scene.camera.matrix_world, atol=1e-4)
    node = add_relight(scene, shot.depth, shot.shot, lamp=lamp)
    for name, value in {"Ambient": 0.0, "Smoothness": 0.0}.items():
        nodes.input_of(node, name).default_value = value
    source = nodes.input_of(node, "Image").links[0]
    source.id_data.links.remove(source)
    nodes.input_of(node, "Image").default_value = (0.8, 0.8, 0.8, 1.0)
    found = effects.composited(shot, tmp_path, nodes.output_of(node, "Image"))[..., :3]
    inside = np.ones(found.shape[:2], bool)
    z = shot.distance
    for axis in (0, 1):  # edges have no one normal
        for step in (-1, 1):
            inside &= np.abs(np.roll(z, step, axis) / z - 1) < 0.05
    inside[:1], inside[-1:], inside[:, :1], inside[:, -1:] = False, False, False, False
    lit = inside & (wanted.max(-1) > 0.02)
    assert lit.mean() > 0.15
    off = np.abs(found - wanted).max(-1)[lit] / wanted.max(-1)[lit]
    assert np.median(off) < 0.03 and np.mean(off < 0.1) > 0.9, np.percentile(off, (50, 90, 99))
