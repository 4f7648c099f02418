"""Whatever the order in which effects are added: merge, then fog, then defocus, all by the merged distance."""

import itertools

import bpy
import compositor
import depth_maker
import numpy as np
import OpenEXR
import pytest
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes
from bl_ext.dev.fathom.scene.compositing import (
    add_depth_matte,
    add_depth_of_field,
    add_fog,
    add_z_combine,
    compositor_nodes,
    depth_of_field,
)
from bl_ext.dev.fathom.scene.compositing import tree as effects

from tests.marks import rest_slow

SIZE = (48, 32)
CARD, FOCUS, F_STOP, MAX_BLUR = 2.6, 2.0, 0.02, 5.0
RED, BLUE = (0.8, 0.1, 0.05), (0.0, 0.0, 1.0)
DENSITY, START = 0.4, 1.0
TARGET, TOLERANCE, SOFTNESS = 2.6, 0.05, 0.2

ADD = {
    "fog": lambda *at: add_fog(*at, color=BLUE, density=DENSITY, start=START),
    "defocus": lambda *at: add_depth_of_field(*at, focus_distance=FOCUS, f_stop=F_STOP, max_blur=MAX_BLUR),
    "matte": lambda *at: add_depth_matte(*at, target=TARGET, tolerance=TOLERANCE, softness=SOFTNESS),
    "merge": add_z_combine,
}


@pytest.fixture
def depth(tmp_path, empty_file):
    compositor.add_card(empty_file, distance=CARD, color=RED)
    compositor.prepare(empty_file, SIZE)
    return depths.load(depth_maker.make(tmp_path, size=SIZE))


def write(path, channels):
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION}
    OpenEXR.File(header, {k: np.ascontiguousarray(v, np.float32) for k, v in channels.items()}).write(str(path))


def wanted(folder, plate, z):
    """Merged and fogged by numpy, then blurred by a depth of field alone that gets the image and its distances."""
    left = np.broadcast_to(np.arange(SIZE[0]) + 0.5 < SIZE[0] / 2, z.shape)
    image, z = compositor.merged(np.array(RED) * left[..., None], left * 1.0, np.where(left, CARD, 1e10), plate, z)
    fog = (1 - np.exp(-DENSITY * np.maximum(z - START, 0)))[..., None]
    image = image * (1 - fog) + np.array(BLUE) * fog
    # f^2 / (2 N sensor) |1/Z - 1/focus| in pixels, of a lens of 50 mm on 36 mm.
    radius = 0.05**2 / (2 * F_STOP * 0.036) * np.abs(1 / z - 1 / FOCUS) * SIZE[0]
    assert radius.min() < 1 < 3 < radius.max()
    write(folder / "image.exr", {**{c: image[..., i] for i, c in enumerate("RGB")}, "A": np.ones_like(z)})
    write(folder / "z.exr", {"Y": z})
    scene = bpy.data.scenes.new("wanted")
    tree = compositor_nodes.scene_tree(scene)
    files = []
    for name in ("image", "z"):
        file = bpy.data.images.load(str(folder / f"{name}.exr"))
        file.colorspace_settings.name = "Non-Color"
        files.append(nodes.output_of(nodes.new(tree, "CompositorNodeImage", image=file), "Image"))
    lens = nodes.new(tree, "CompositorNodeGroup")
    lens.node_tree = effects.effect_group(effects.DEFOCUS_KIND, "Depth of Field", depth_of_field.build)
    for name, value in (("Focus Distance", FOCUS), ("F-Stop", F_STOP), ("Max Blur", MAX_BLUR)):
        nodes.input_of(lens, name).default_value = value
    for name, value in (("Width", SIZE[0]), ("Height", SIZE[1])):
        if name in lens.inputs:
            lens.inputs[name].default_value = value
    nodes.feed(nodes.input_of(lens, "Image"), files[0])
    nodes.feed(nodes.input_of(lens, "Z"), compositor_nodes.channel(tree, files[1], "Red"))
    nodes.feed(compositor_nodes.result(tree), nodes.output_of(lens, "Image"))
    compositor.prepare(scene, SIZE)
    return compositor.render(scene, folder, 1)[..., :3], image, z


@pytest.mark.slow
def test_every_order_gives_the_same_chain_on_pixels(tmp_path, depth):
    shot = depth.sequence.shots[0]
    scene = bpy.context.scene
    far_limit = depths.distances(depth, shot).far_limit
    blurred, sharp, z = wanted(tmp_path, compositor.plate(2, SIZE), compositor.distance(2, SIZE, SIZE, far_limit))
    assert np.abs(blurred - sharp).max() > 0.05
    inside = np.abs(np.arange(SIZE[0]) + 0.5 - SIZE[0] / 2) > 2 + MAX_BLUR  # Cycles filters the card's own outline
    cut = np.clip(1 - (np.abs(z - TARGET) - TOLERANCE) / SOFTNESS, 0, 1)
    for order in itertools.permutations(ADD):
        tree = compositor_nodes.scene_tree(scene)
        made = {name: ADD[name](scene, depth, shot) for name in order}
        count = (len(tree.nodes), len(tree.links))
        for name in order:  # again
            assert ADD[name](scene, depth, shot) == made[name]
        assert (len(tree.nodes), len(tree.links)) == count
        found = compositor.render(scene, tmp_path, 2)[..., :3]
        np.testing.assert_allclose(found[:, inside], blurred[:, inside], atol=3e-3, err_msg=str(order))
        assert nodes.input_of(made["matte"], "Image").links[0].from_node == made["defocus"], order
        compositor.show(scene, nodes.output_of(made["matte"], "Matte"))
        found = compositor.render(scene, tmp_path, 2)[..., 0]
        np.testing.assert_allclose(found[:, inside], cut[:, inside], atol=1e-2, err_msg=str(order))
        tree.nodes.clear()


def chain(node, *, back_to):
    """The nodes that the image went through, from the plate's Scale node or an artist's node on."""
    way = [node]
    while way[0].name != back_to:
        assert len(way) < 20, "a loop"
        way.insert(0, nodes.input_of(way[0], "Image").links[0].from_node)
    return [each.label or each.name for each in way[1:]]


def test_what_the_artist_put_between_stays_there(depth):
    scene, shot = bpy.context.scene, depth.sequence.shots[0]
    ADD["fog"](scene, depth, shot)
    tree = compositor_nodes.find_scene_tree(scene)
    output = compositor_nodes.result(tree)
    plate = next(node for node in tree.nodes if node.get("fathom_kind") == "comp_plate")
    plate.name = "plate"
    for before in ("fog", "plate"):  # a grade behind the fog, then one before it
        link = output.links[0] if before == "fog" else nodes.output_of(plate, "Image").links[0]
        grade = nodes.new(tree, "CompositorNodeHueSat", label=f"behind {before}")
        source, target = link.from_socket, link.to_socket
        nodes.feed(nodes.input_of(grade, "Image"), source)
        nodes.feed(target, nodes.output_of(grade, "Image"))
    ADD["defocus"](scene, depth, shot)
    ADD["merge"](scene, depth, shot)
    way = chain(output.links[0].from_node, back_to="plate")
    assert way == ["behind plate", "Z Combine", "Fog", "behind fog", "Depth of Field"]


@pytest.mark.parametrize("order", rest_slow(list(itertools.permutations(["fog", "defocus", "merge"])), 2, spread=True))
@pytest.mark.parametrize("lost", ["fog", "defocus", "merge", "comp_depth", "result"])
def test_what_the_artist_took_out_comes_back_in_its_place(depth, lost, order):
    """A node that was deleted, or the link into the output: one press of each button gives the whole chain again."""
    scene, shot = bpy.context.scene, depth.sequence.shots[0]
    for name in ("fog", "defocus", "merge"):
        ADD[name](scene, depth, shot)
    tree = compositor_nodes.find_scene_tree(scene)
    output = compositor_nodes.result(tree)
    plate = next(node for node in tree.nodes if node.get("fathom_kind") == "comp_plate")
    plate.name = "plate"
    if lost == "result":
        nodes.feed(output, nodes.output_of(plate, "Image"))
    else:
        kind = lost if lost.startswith("comp") else f"comp_{lost}"
        tree.nodes.remove(next(node for node in tree.nodes if node.get("fathom_kind") == kind))
    for name in order:
        ADD[name](scene, depth, shot)
    way = chain(output.links[0].from_node, back_to="plate")
    assert way == ["Z Combine", "Fog", "Depth of Field"]
    merge, fog = (next(n for n in tree.nodes if n.label == label) for label in ("Z Combine", "Fog"))
    focus = next(n for n in tree.nodes if n.label == "Depth of Field")
    group = next(n for n in tree.nodes if n.label == "Fathom Depth")
    for node, source in ((fog, merge), (focus, merge), (merge, group)):
        assert nodes.input_of(node, "Z").links[0].from_node == source
        assert nodes.input_of(node, "Has Depth").links[0].from_node == group
    assert nodes.input_of(merge, "Render").is_linked and nodes.input_of(merge, "Render Z").is_linked


def test_a_matte_that_the_artist_uses_before_the_effects_stays_free_of_loops(depth):
    scene, shot = bpy.context.scene, depth.sequence.shots[0]
    matte = ADD["matte"](scene, depth, shot)
    tree = compositor_nodes.find_scene_tree(scene)
    output = compositor_nodes.result(tree)
    source = output.links[0].from_socket
    mixed = compositor_nodes.mix_color(tree, nodes.output_of(matte, "Matte"), source, (1.0, 0.0, 0.0, 1.0))
    nodes.feed(output, mixed)
    for name in ("merge", "fog", "defocus", "matte"):
        ADD[name](scene, depth, shot)
    assert all(link.is_valid for link in tree.links)
    assert nodes.input_of(matte, "Image").links[0].from_socket == source
    assert output.links[0].from_node.get("fathom_kind") == "comp_defocus"


def test_an_effect_that_leads_to_the_artists_file_is_left_there(depth):
    scene, shot = bpy.context.scene, depth.sequence.shots[0]
    fog = ADD["fog"](scene, depth, shot)
    tree = compositor_nodes.find_scene_tree(scene)
    output = compositor_nodes.result(tree)
    plate = nodes.input_of(fog, "Image").links[0].from_socket
    nodes.feed(output, plate)
    file = nodes.new(tree, "CompositorNodeOutputFile")
    if hasattr(file, "file_output_items"):
        file.file_output_items.new("RGBA", "fogged")
    nodes.feed(file.inputs[0], nodes.output_of(fog, "Image"))
    assert ADD["fog"](scene, depth, shot) == fog
    assert output.links[0].from_socket == plate
    assert file.inputs[0].links[0].from_node == fog


def test_the_stages_of_each_shot_stay_together(tmp_path, empty_file):
    """Two shots whose effects are added alternately: the frames around their nodes do not overlap."""
    shots = [(1, 2, "done"), (3, 4, "done")]
    depth = depths.load(depth_maker.make(tmp_path, frames=range(1, 5), shots=shots))
    for name in ("fog", "defocus", "matte", "merge"):
        for shot in depth.sequence.shots:
            ADD[name](empty_file, depth, shot)
    tree = compositor_nodes.find_scene_tree(empty_file)
    way = [compositor_nodes.result(tree).links[0].from_node]
    while way[0].get("fathom_kind") != "comp_plate":
        way.insert(0, nodes.input_of(way[0], "Image").links[0].from_node)
    found = [(node["fathom_kind"], node["fathom_shot"]) for node in way[1:]]
    assert found == [(kind, shot) for shot in (1, 3) for kind in ("comp_merge", "comp_fog", "comp_defocus")]

    def right(node):
        return node.location.x + node.width

    row = [node for node in tree.nodes if node.get("fathom_shot") and node.bl_idname != "NodeFrame"]
    first, second = ([node for node in row if node["fathom_shot"] == shot] for shot in (1, 3))
    assert max(map(right, first)) < min(n.location.x for n in second if n["fathom_kind"] != "comp_depth")


def test_nodes_whose_groups_were_deleted_are_made_again(depth):
    shot, scene = depth.sequence.shots[0], bpy.context.scene
    for add in ADD.values():
        add(scene, depth, shot)
    tree = compositor_nodes.scene_tree(scene)
    for group in [node.node_tree for node in tree.nodes if node.bl_idname == "CompositorNodeGroup"]:
        bpy.data.node_groups.remove(group)
    for name in ("matte", "defocus", "fog", "merge"):
        ADD[name](scene, depth, shot)
    found = [node for node in tree.nodes if node.bl_idname == "CompositorNodeGroup"]
    assert sorted(node.label for node in found) == ["Depth Matte", "Depth of Field", "Fathom Depth", "Fog", "Z Combine"]
    assert all(nodes.input_of(node, "Z").is_linked for node in found if node.label != "Fathom Depth")
    row, node = [], compositor_nodes.result(tree).links[0].from_node
    while node is not None:
        row.append(node.label)
        image = next((socket for socket in node.inputs if socket.name == "Image"), None)
        node = image.links[0].from_node if image is not None and image.is_linked else None
    assert row == ["Depth of Field", "Fog", "Z Combine", "Fit to Render", "Plate"]
