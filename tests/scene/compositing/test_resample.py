"""Maps come to the plate's size exactly, in every version."""

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes, resample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("map_size", "plate_size"),
    [
        ((16, 9), (32, 18)),
        ((16, 9), (33, 19)),
        ((17, 9), (33, 19)),
        ((24, 14), (36, 21)),
        ((9, 16), (301, 524)),
        ((33, 19), (16, 9)),
        ((33, 19), (33, 19)),
        ((1, 1), (7, 4)),
        ((47, 1), (47, 4)),  # the first pixels' centers coincide
        ((1, 47), (4, 47)),
        ((16, 9), (48, 27)),  # so do the map's first and the plate's second
    ],
)
def test_bilinear_to_the_pixel(tmp_path, empty_file, map_size, plate_size):
    check_bilinear(tmp_path, empty_file, map_size, plate_size)


SIDE = st.integers(1, 60)


@given(map_size=st.tuples(SIDE, SIDE), plate_size=st.tuples(st.integers(4, 90), st.integers(4, 90)))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_to_any_other(tmp_path, empty_file, map_size, plate_size):
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    check_bilinear(tmp_path, bpy.context.scene, map_size, plate_size)


def check_bilinear(tmp_path, scene, map_size, plate_size):
    values = np.random.default_rng(1).random(map_size[::-1]).astype(np.float32) * 9
    depth_maker.write_map(tmp_path / "map.exr", values)
    image = bpy.data.images.load(str(tmp_path / "map.exr"))
    image.colorspace_settings.name = "Non-Color"
    tree = compositor_nodes.scene_tree(scene)
    source = nodes.new(tree, "CompositorNodeImage", image=image)
    both = resample.to_plate_size(
        tree, [nodes.output_of(source, "Image")] * 2, map_size=map_size, plate_size=plate_size
    )
    compositor.prepare(scene, plate_size)
    for socket in both:
        compositor.show(scene, socket)
        pixels = compositor.render(scene, tmp_path)
        np.testing.assert_allclose(pixels[..., 0], compositor.bilinear(values, plate_size), atol=2e-4)
        assert pixels[..., 3].min() == 1


def helpers():
    return {image.name for image in bpy.data.images if image.name.startswith("Fathom")}


def test_helper_images_are_shared_and_survive_a_saved_file(tmp_path, empty_file):
    for _ in range(2):
        tree = bpy.data.node_groups.new("tree", "CompositorNodeTree")
        resample._pixel_centers(tree, (700, 5))
    names = helpers()
    assert 1 <= len(names) <= 2
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert helpers() == names
    scene = bpy.context.scene
    tree = compositor_nodes.scene_tree(scene)
    x, y = resample._pixel_centers(tree, (700, 5))
    assert helpers() == names
    compositor.prepare(scene, (700, 5))
    compositor.show(scene, x)
    np.testing.assert_allclose(compositor.render(scene, tmp_path)[2, :, 0], np.arange(700) + 0.5, rtol=1e-6)
    compositor.show(scene, y)
    np.testing.assert_allclose(compositor.render(scene, tmp_path)[:, 9, 0], 4.5 - np.arange(5), rtol=1e-6)
