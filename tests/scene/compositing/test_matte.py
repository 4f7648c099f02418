"""The depth matte against numpy, on rendered pixels."""

import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import add_depth_matte, compositor_nodes


@pytest.mark.parametrize(("map_size", "plate_size"), [((32, 18), (32, 18)), ((16, 9), (32, 18)), ((16, 9), (33, 19))])
@pytest.mark.parametrize("softness", [0.0, 0.4])
def test_target_tolerance_softness(tmp_path, empty_file, map_size, plate_size, softness):
    depth = depths.load(depth_maker.make(tmp_path, size=map_size, plate_size=plate_size))
    shot = depth.sequence.shots[0]
    node = add_depth_matte(empty_file, depth, shot, target=2.9, tolerance=0.3, softness=softness)
    compositor.prepare(empty_file, plate_size)
    for frame in (1, 3, 5):
        z = compositor.distance(frame, map_size, plate_size, depths.distances(depth, shot).far_limit)
        beyond = np.abs(z - 2.9) - 0.3
        matte = 1 - np.clip(beyond / max(softness, 1e-6), 0, 1)
        clear = np.abs(beyond) > 1e-4 if softness == 0 else np.ones_like(z, bool)  # at a hard edge rounding decides
        assert 0.05 < matte.mean() < 0.95
        compositor.show(empty_file, nodes.output_of(node, "Matte"))
        found = compositor.render(empty_file, tmp_path, frame)[..., 0]
        np.testing.assert_allclose(found[clear], matte[clear], atol=2e-3)
        compositor.show(empty_file, nodes.output_of(node, "Image"))
        found = compositor.render(empty_file, tmp_path, frame)
        wanted = compositor.plate(frame, plate_size) * matte[..., None]
        np.testing.assert_allclose(found[clear][..., :3], wanted[clear], atol=2e-3)
        np.testing.assert_allclose(found[clear][..., 3], matte[clear], atol=2e-3)


def test_the_result_stays_as_it_was_and_the_viewer_shows_the_cutout(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, size=(16, 9)))
    node = add_depth_matte(empty_file, depth, depth.sequence.shots[0], target=2.9, tolerance=0.1)
    tree = compositor_nodes.find_scene_tree(empty_file)
    compositor.prepare(empty_file, (16, 9))
    found = compositor.render(empty_file, tmp_path, 2)
    np.testing.assert_allclose(found[..., :3], compositor.plate(2, (16, 9)), atol=3e-4)
    viewer = next(n for n in tree.nodes if n.bl_idname == "CompositorNodeViewer")
    assert nodes.input_of(viewer, "Image").links[0].from_node == node


def test_no_matte_on_frames_of_other_shots(tmp_path, empty_file):
    shots = [(1, 2, "done"), (3, 4, "refused")]
    depth = depths.load(depth_maker.make(tmp_path, size=(16, 9), frames=range(1, 5), shots=shots))
    node = add_depth_matte(empty_file, depth, depth.sequence.shots[0], target=1, tolerance=100)
    compositor.prepare(empty_file, (16, 9))
    compositor.show(empty_file, nodes.output_of(node, "Matte"))
    for frame, value in ((0, 1), (1, 1), (2, 1), (3, 0), (4, 0), (9, 0)):
        assert np.all(compositor.render(empty_file, tmp_path, frame)[..., 0] == value)


def test_the_second_time_nothing_is_doubled_and_what_was_tuned_is_kept(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    shot = depth.sequence.shots[0]
    node = add_depth_matte(empty_file, depth, shot)
    tree = compositor_nodes.find_scene_tree(empty_file)
    nodes.input_of(node, "Target").default_value = 7.5
    before = (len(tree.nodes), len(tree.links))
    assert add_depth_matte(empty_file, depth, shot, softness=0.75) == node
    assert (len(tree.nodes), len(tree.links)) == before
    values = [nodes.input_of(node, name).default_value for name in ("Target", "Softness")]
    assert values == [7.5, 0.75]


def test_falloffs_clips_and_invert(tmp_path, empty_file):
    size = (32, 18)
    depth = depths.load(depth_maker.make(tmp_path, size=size, frames=range(1, 2)))
    shot = depth.sequence.shots[0]
    values = {"target": 2.9, "tolerance": 0.1, "softness": 0.2, "near_falloff": 0.5, "far_falloff": 0.1, "invert": 1.0}
    node = add_depth_matte(empty_file, depth, shot, **values)
    nodes.input_of(node, "Black Clip").default_value, nodes.input_of(node, "White Clip").default_value = 0.2, 0.7
    compositor.prepare(empty_file, size)
    z = compositor.distance(1, size, size, depths.distances(depth, shot).far_limit)
    width = np.where(z > 2.9, 0.3, 0.7)
    matte = 1 - np.clip((np.abs(z - 2.9) - 0.1) / width, 0, 1)
    wanted = 1 - np.clip((matte - 0.2) / 0.5, 0, 1)
    assert 0.05 < wanted.mean() < 0.95
    compositor.show(empty_file, nodes.output_of(node, "Matte"))
    np.testing.assert_allclose(compositor.render(empty_file, tmp_path, 1)[..., 0], wanted, atol=5e-3)


def test_choke_and_blur(tmp_path, empty_file):
    """A square of 16 pixels: smaller or larger by the choke's pixels all around, and softer by the blur."""
    size = (40, 40)

    def square(frame, width, height):
        d = np.full((height, width), 0.1)
        d[12:28, 12:28] = 1.0
        return d

    depth = depths.load(depth_maker.make(tmp_path, size=size, frames=range(1, 2), disparity=square))
    node = add_depth_matte(empty_file, depth, depth.sequence.shots[0], target=1.0, tolerance=0.5, softness=0.0)
    compositor.prepare(empty_file, size)
    compositor.show(empty_file, nodes.output_of(node, "Matte"))
    has_choke = compositor_nodes.is_deep()
    for choke, side in ((0, 16), *(((2, 12), (-3, 22)) if has_choke else ())):
        if has_choke:
            nodes.input_of(node, "Choke").default_value = choke
        found = compositor.render(empty_file, tmp_path, 1)[..., 0]
        assert found[20].sum() == pytest.approx(side, abs=0.1) and found[:, 20].sum() == pytest.approx(side, abs=0.1)
    if has_choke:
        nodes.input_of(node, "Choke").default_value = 0
    nodes.input_of(node, "Blur").default_value = 6
    found = compositor.render(empty_file, tmp_path, 1)[20, :, 0]
    assert found.sum() == pytest.approx(16, rel=0.02) and np.abs(np.diff(found)).max() < 0.35 and found[20] > 0.95
