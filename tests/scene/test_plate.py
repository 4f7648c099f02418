"""The plate as an image: found, named, in step with the depth."""

from dataclasses import replace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import depth_list, missing_files
from bl_ext.dev.fathom.scene import plate as plates

from tests.footage_maker import numbered, streams


def test_plate_is_made_once_and_leaves_the_artists_images_alone(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    own = bpy.data.images.load(depth.sequence.source.path + "/plate.0001.png")
    image = plates.plate_image(depth)
    assert image != own and own.source == "FILE"
    assert (image.source, image.alpha_mode, image.colorspace_settings.name) == ("SEQUENCE", "NONE", "sRGB")
    assert plates.plate_image(depth) == image


def test_color_space_comes_from_the_source(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    sequence = depth.sequence
    linear = replace(depth, sequence=replace(sequence, source=replace(sequence.source, colorspace="Linear Rec.709")))
    assert plates.plate_image(linear).colorspace_settings.name == "Linear Rec.709"
    unknown = replace(depth, sequence=replace(sequence, source=replace(sequence.source, colorspace="Nonsense")))
    with pytest.raises(plates.PlateError, match="knows no color space 'Nonsense'"):
        plates.plate_image(unknown)


def test_another_stream_than_the_first_is_not_shown_as_the_plate(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path))
    path = streams(tmp_path / "cameras.mov", [[numbered(n) for n in range(6)]] * 2)
    source = replace(depth.sequence.source, kind="movie", path=str(path), files=(), stream=1)
    with pytest.raises(
        plates.PlateError, match=r"is video stream 1 of .*cameras\.mov, .* export that stream as a movie"
    ):
        plates.plate_image(replace(depth, sequence=replace(depth.sequence, source=source)))
    assert not [image for image in bpy.data.images if image.source == "MOVIE"]


def test_a_missing_plate_is_said_with_its_frame(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path)
    depth = depths.load(folder)
    (tmp_path / "plate" / "plate.0004.png").unlink()
    with pytest.raises(plates.PlateError, match=r"Frame 4 of the plate is missing \(.*plate\.0004\.png\)"):
        plates.plate_image(depth)
    movie = replace(depth.sequence, source=replace(depth.sequence.source, kind="movie", files=(), path="/no/a.mp4"))
    with pytest.raises(plates.PlateError, match=r"/no/a\.mp4 is missing"):
        plates.plate_image(replace(depth, sequence=movie))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"")
    movie = replace(movie, source=replace(movie.source, path=str(broken)))
    with pytest.raises(plates.PlateError, match=r"cannot read the plate .*broken\.mp4"):
        plates.plate_image(replace(depth, sequence=movie))


def test_one_image_without_a_number_is_a_still(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, frames=range(1, 2), plate_name="still.png")
    image = plates.plate_image(depths.load(folder))
    assert image.source == "FILE"


def test_plate_size(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, size=(24, 16), plate_size=(50, 33))
    depth = depths.load(folder)
    assert plates.plate_size(depth) == (50, 33)
    sizeless = replace(depth.sequence, source=replace(depth.sequence.source, width=None, height=None))
    assert plates.plate_size(replace(depth, sequence=sizeless)) == (24, 16)


def shown(scene, image, user_of, tmp_path):
    """What an emissive plane with the image renders at the scene's current frame."""
    mesh = bpy.data.meshes.new("plane")
    mesh.from_pydata([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], [], [(0, 1, 2, 3)])
    mesh.uv_layers.new()
    scene.collection.objects.link(bpy.data.objects.new("plane", mesh))
    material = bpy.data.materials.new("m")
    if not material.node_tree:
        material.use_nodes = True
    tree = material.node_tree
    tree.nodes.clear()
    texture, emit = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeEmission")
    texture.image = image
    user_of(texture.image_user)
    tree.links.new(texture.outputs["Color"], emit.inputs["Color"])
    tree.links.new(emit.outputs[0], tree.nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    mesh.materials.append(material)
    camera = bpy.data.objects.new("c", bpy.data.cameras.new("c"))
    camera.location.z = 1
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 4
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.use_compositing = False

    def at(frame):
        scene.frame_set(frame)
        scene.render.filepath = str(tmp_path / f"out{frame}.exr")
        bpy.ops.render.render(write_still=True)
        result = bpy.data.images.load(scene.render.filepath)
        return np.array(result.pixels[:]).reshape(4, 4, 4)[1, 1, 0]

    return at


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(5, 8, {1: 5, 14: 5, 15: 5, 16: 6, 18: 8, 19: 8, 90: 8}), (6, 6, {1: 6, 16: 6, 40: 6})],
)
def test_image_users_clamp_at_both_ends(tmp_path, empty_file, first, last, expected):
    folder = depth_maker.make(
        tmp_path / "made", frames=range(first, last + 1), disparity=lambda n, w, h: np.full((h, w), float(n))
    )
    depth = depths.load(folder, frame_offset=10)
    image = depths.disparity_image(depth)
    at = shown(empty_file, image, lambda user: plates.show_plate(user, depth), tmp_path)
    assert {frame: round(float(at(frame)), 3) for frame in expected} == expected


def test_sidecar_finds_the_plate_relative_to_itself(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path)
    assert '"../plate"' in (folder / depth_sequence.SIDECAR).read_text()


def test_what_was_painted_on_the_plate_stays(tmp_path, empty_file):
    depth = depths.load(depth_maker.make(tmp_path, frames=range(1, 2)))
    depth_list.remember(empty_file, depth)
    image = plates.plate_image(depth)
    image.use_fake_user = True
    painted = np.full(len(image.pixels), 0.75, np.float32)
    for keep in (image.update, image.pack):
        image.pixels.foreach_set(painted)
        keep()
        assert plates.plate_image(depth) == image
        plates.repoint_plate(depth)
        missing_files.reload()
        np.testing.assert_allclose(image.pixels[:], painted, atol=1 / 255)
    image.unpack(method="REMOVE")
    assert plates.plate_image(depth) == image
    assert np.ptp(image.pixels[:]) > 0.3
