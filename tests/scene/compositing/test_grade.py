"""The depth grade against numpy, on rendered pixels."""

import compositor
import depth_maker
import numpy as np
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_depth_grade, add_fog

SIZE = (32, 18)


def test_three_grades_along_the_ramp(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE, frames=range(1, 2)))
    shot = depth.sequence.shots[0]
    compositor.prepare(empty_file, SIZE)
    node = add_depth_grade(empty_file, depth, shot)
    plate = compositor.plate(1, SIZE)
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 1)[..., :3], plate, atol=3e-4)  # as it is made
    z = compositor.distance(1, SIZE, SIZE, depths.distances(depth, shot).far_limit)
    near, far = np.percentile(z, (20, 80))
    grades = {"Near": (0.5, 0.2, 1.0), "Middle": (1.0, 0.0, 0.25), "Far": (0.8, -1.0, 0.0)}
    add_depth_grade(empty_file, depth, shot, near=near, far=far, near_gain=(0.5,) * 3, far_gain=(0.8,) * 3)
    nodes.input_of(node, "Middle").default_value = 0.4
    for stop, (_, exposure, saturation) in grades.items():
        nodes.input_of(node, f"{stop} Exposure").default_value = exposure
        nodes.input_of(node, f"{stop} Saturation").default_value = saturation
    ramp = np.clip((z - near) / (far - near), 0, 1)
    gain = np.interp(ramp, (0, 0.4, 1), [g * 2**e for g, e, _ in grades.values()])[..., None]
    saturation = np.interp(ramp, (0, 0.4, 1), [s for _, _, s in grades.values()])[..., None]
    gray = plate @ np.array([0.2126, 0.7152, 0.0722])
    wanted = (plate * saturation + gray[..., None] * (1 - saturation)) * gain
    found = compositor.render(empty_file, tmp_path, 1)
    np.testing.assert_allclose(found[..., :3], wanted, atol=2e-3)
    np.testing.assert_allclose(found[..., 3], 1, atol=1e-5)
    compositor.show(empty_file, nodes.output_of(node, "Ramp"))
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 1)[..., 0], ramp, atol=1e-3)


def test_it_goes_behind_the_fog_whichever_is_added_first(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=SIZE))
    shot = depth.sequence.shots[0]
    grade, fog = add_depth_grade(empty_file, depth, shot), add_fog(empty_file, depth, shot)
    assert nodes.input_of(grade, "Image").links[0].from_node == fog
    assert add_depth_grade(empty_file, depth, shot) == grade
