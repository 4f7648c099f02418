"""The group Refine Depth against numpy, on rendered pixels."""

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes, refine_depth

SIZE = (48, 32)
pytestmark = pytest.mark.skipif(bpy.app.version < (4, 5, 0), reason="Blender 4.2 cannot grow by a socket's number")


@pytest.fixture
def refined(empty_file, tmp_path):
    """A function that gives the group's output for distances."""

    def run(z, **inputs):
        depth_maker.write_map(tmp_path / "z.exr", z)
        tree = compositor_nodes.scene_tree(empty_file)
        tree.nodes.clear()
        image = bpy.data.images.load(str(tmp_path / "z.exr"))
        image.colorspace_settings.name = "Non-Color"
        source = nodes.new(tree, "CompositorNodeImage", image=image)
        node = nodes.new(tree, "CompositorNodeGroup")
        node.node_tree = refine_depth.refine_group()
        nodes.feed(nodes.input_of(node, "Z"), compositor_nodes.channel(tree, nodes.output_of(source, "Image"), "Red"))
        for name, value in inputs.items():
            nodes.input_of(node, name).default_value = value
        compositor.prepare(empty_file, SIZE)
        compositor.show(empty_file, nodes.output_of(node, "Z"))
        found = compositor.render(empty_file, tmp_path)[..., 0]
        bpy.data.images.remove(image)
        return found

    return run


def wall():
    return np.tile(np.linspace(0.2, 0.3, 24, dtype=np.float32), (16, 1))


def card():
    """Maps of half the size: a card of 1/Z 1 before a slanted wall."""
    values = wall()
    values[4:12, 8:16] = 1.0
    return values


def test_nothing_lies_between_the_sides_of_an_edge_and_slopes_stay(refined):
    inverse = compositor.bilinear(card(), SIZE)
    assert ((inverse > 0.35) & (inverse < 0.9)).mean() > 0.03
    found = 1 / refined(1 / inverse, Fringe=2.0, Edge=0.0)
    assert not ((found > 0.35) & (found < 0.9)).any()
    near = inverse > 0.62
    np.testing.assert_allclose(found[near], 1.0, rtol=1e-4)
    off = np.abs(found - compositor.bilinear(wall(), SIZE))[~near]
    assert (off > 0.01).sum() <= 4, "the corners, where hardly anything of the card is left"
    assert off.max() < 0.06
    np.testing.assert_allclose(1 / refined(1 / inverse, Fringe=0.0, Edge=0.0), inverse, rtol=1e-4)


def test_near_sides_grow_and_shrink(refined):
    inverse = card().repeat(2, axis=0).repeat(2, axis=1)
    more, less = (1 / refined(1 / inverse, Fringe=0.0, Edge=pixels) for pixels in (2.0, -2.0))
    assert (more[8:24, 14:34] > 0.9).all() and (more[:, :13] < 0.35).all() and (more[:5] < 0.35).all()
    assert (less[10:22, 18:30] > 0.9).all() and (less[8:24, 16:17] < 0.35).all()
    np.testing.assert_allclose(more[26:], inverse[26:], rtol=1e-4)


@pytest.mark.parametrize(
    ("map_size", "plate_size", "fringe"),
    [((48, 32), (48, 32), 0), ((24, 16), (48, 32), 2), ((20, 10), (50, 25), 3), ((10, 5), (500, 250), 8)],
)
def test_maps_get_the_fringe_that_they_need(map_size, plate_size, fringe):
    assert refine_depth.fringe_of(map_size, plate_size) == fringe
