"""Several clips in one compositor tree: each has its own chain; versions of one clip's depth replace one another."""

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import bpy
import compositor
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence
from bl_ext.dev.fathom.operators import compositing as operators
from bl_ext.dev.fathom.scene import depth as depths
from bl_ext.dev.fathom.scene import nodes, plate
from bl_ext.dev.fathom.scene.compositing import (
    add_depth_matte,
    add_depth_of_field,
    add_fog,
    add_z_combine,
    beside,
    compositor_nodes,
    out_of_step,
)
from bl_ext.dev.fathom.scene.compositing.tree import is_of, shows_clip

from tests.marks import rest_slow

SIZE = (16, 9)
RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def make(folder, gray, *, offset=0, frames=range(1, 6), **more):
    """A clip whose image is one gray, at a distance of 2."""
    made = depth_maker.make(
        folder,
        size=SIZE,
        frames=frames,
        image=lambda frame, w, h: np.full((h, w, 3), gray + frame, np.uint8),
        disparity=lambda frame, w, h: np.full((h, w), 0.5) + np.linspace(0, 1e-3, w),
        **more,
    )
    return depths.load(made, frame_offset=offset)


def fog(scene, depth, color, density=0.35, shot=0):
    return add_fog(scene, depth, depth.sequence.shots[shot], color=color, density=density, start=0)


def fogged(gray, frame, color, density=0.35):
    share = 1 - np.exp(-density * 2.0)
    return compositor.linear((gray + frame) / 255) * (1 - share) + np.array(color) * share


def shown(scene, folder, frame):
    return compositor.render(scene, folder, frame)[4, 8, :3]


def feeding(node):
    """Names of the images and labels of the effects that feed a node."""
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [link.from_node for socket in node.inputs for link in socket.links]
    return seen


def test_clips_one_after_the_other_show_at_their_frames_each_in_its_own_fog(tmp_path, empty_file):
    """Clips at frames 1-5, 12-16 and, added last, 6-8: in between the nearer one's end is held."""
    scene = empty_file
    clips = {
        "a": (make(tmp_path / "a", 40), 40, RED),
        "c": (make(tmp_path / "c", 160, offset=11), 160, BLUE),
        "b": (make(tmp_path / "b", 100, offset=5, frames=range(1, 4)), 100, GREEN),
    }
    for depth, _, color in clips.values():
        fog(scene, depth, color)
        assert beside(scene, depth) is None
    compositor.add_card(scene, distance=90.0, color=RED)  # for Z Combine a render, behind everything
    compositor.prepare(scene, SIZE)
    wanted = {-3: "a", 1: "a", 5: "a", 6: "b", 8: "b", 10: "b", 11: "c", 12: "c", 16: "c", 40: "c"}
    for frame, name in wanted.items():
        depth, gray, color = clips[name]
        expected = fogged(gray, depth.source_frame(frame), color)
        np.testing.assert_allclose(shown(scene, tmp_path, frame), expected, atol=2e-3, err_msg=f"{frame} {name}")
    tree = compositor_nodes.find_scene_tree(scene)
    count = (len(tree.nodes), len(tree.links))
    for depth, _, color in clips.values():  # again
        fog(scene, depth, color)
    assert (len(tree.nodes), len(tree.links)) == count
    add_depth_of_field(scene, clips["a"][0], clips["a"][0].sequence.shots[0], max_blur=2)
    add_z_combine(scene, clips["c"][0], clips["c"][0].sequence.shots[0])
    for frame, name in wanted.items():  # each effect is in its own clip's chain
        depth, gray, color = clips[name]
        expected = fogged(gray, depth.source_frame(frame), color)
        np.testing.assert_allclose(shown(scene, tmp_path, frame), expected, atol=2e-3, err_msg=f"{frame} {name}")
    moved = depths.load(clips["c"][0].folder, frame_offset=31)
    fog(scene, moved, BLUE)
    np.testing.assert_allclose(shown(scene, tmp_path, 12), fogged(100, 3, GREEN), atol=2e-3)
    np.testing.assert_allclose(shown(scene, tmp_path, 32), fogged(160, 1, BLUE), atol=2e-3)


def test_eyes_whose_names_differ_after_the_frame_number_are_two_clips(tmp_path, empty_file):
    """The image of one got the depth of the other, as that of another version."""
    eyes = {}
    for eye, gray in (("left", 40), ("right", 100)):
        folder = make(tmp_path / eye, gray, plate_name=f"shot.{{:04d}}.{eye}.png").folder
        shutil.copytree(tmp_path / eye / "plate", tmp_path / "plate", dirs_exist_ok=True)
        sidecar = folder / depth_sequence.SIDECAR
        sidecar.write_text(sidecar.read_text().replace('"../plate"', '"../../plate"'))
        eyes[eye] = depths.load(folder)
    nodes_of = {eye: fog(empty_file, depth, RED) for eye, depth in eyes.items()}
    fog(empty_file, eyes["left"], GREEN)
    for eye, node in nodes_of.items():
        (shows,) = {n.image.filepath for n in feeding(node) if n.bl_idname == "CompositorNodeImage"}
        assert Path(shows).name == f"shot.0001.{eye}.png"
        assert node["fathom_depth"] == depths.disparity_image(eyes[eye])
        assert is_of(str(tmp_path / "plate" / f"shot.0003.{eye}.PNG"), node["fathom_clip"])
        assert not is_of(str(tmp_path / "plate" / "shot.0003.middle.png"), node["fathom_clip"])
    assert "frames in common with" in beside(empty_file, eyes["right"])


@pytest.mark.parametrize(
    "order", rest_slow(list(itertools.permutations([add_fog, add_depth_of_field, add_z_combine], 2)), 2, spread=True)
)
def test_clips_on_the_same_frames_get_a_chain_each(tmp_path, empty_file, order):
    scene = empty_file
    a, b = make(tmp_path / "a", 40), make(tmp_path / "b", 100, offset=2)
    fog(scene, a, RED)
    tree = compositor_nodes.find_scene_tree(scene)
    first = set(tree.nodes)
    made = [add(scene, b, b.sequence.shots[0]) for add in order]
    output = compositor_nodes.result(tree)
    assert set(feeding(output.node)) <= first | {output.node}  # the result is the first clip's, as before
    ends = {node for node in set(tree.nodes) - first if node.bl_idname != "NodeFrame"}
    plates = [n.image.filepath for end in ends for n in feeding(end) if n.bl_idname == "CompositorNodeImage"]
    assert plates and all("/b/plate/" in path.replace("\\", "/") for path in plates)
    sentence = beside(scene, b)
    assert "frames in common" in sentence and beside(scene, a) is None
    viewer = next(n for n in tree.nodes if n.bl_idname == "CompositorNodeViewer")
    assert nodes.input_of(viewer, "Image").links[0].from_node not in first
    # The artist lays one over the other; what is added now goes to its clip's own image.
    end = nodes.input_of(viewer, "Image").links[0].from_socket
    mixed = compositor_nodes.mix_color(tree, 0.5, output.links[0].from_socket, end)
    nodes.feed(output, mixed)
    assert beside(scene, b) is None
    for depth, add in ((a, add_depth_of_field), (b, add_fog), (b, add_depth_of_field), (b, add_depth_matte)):
        add(scene, depth, depth.sequence.shots[0])
    assert output.links[0].from_socket == mixed
    assert all(link.is_valid for link in tree.links)
    entries = [s for s in mixed.node.inputs if s.is_linked and s.type == "RGBA"]
    for entry, own, other in zip(entries, ("a", "b"), ("b", "a")):
        files = [
            n.image.filepath.replace("\\", "/")
            for n in feeding(entry.links[0].from_node)
            if n.bl_idname == "CompositorNodeImage"
        ]
        assert any(f"/{own}/plate/" in f for f in files) and not any(f"/{other}/plate/" in f for f in files)
        assert entry.links[0].from_node.get("fathom_kind") == "comp_defocus"
    assert set(made) <= feeding(entries[1].links[0].from_node)


def test_a_new_version_takes_the_place_of_the_old_one_and_back(tmp_path, empty_file):
    """The same plate, estimated again: nearer by half, with confidence; what was tuned stays."""
    scene = empty_file
    old = make(tmp_path / "a", 40)
    source = old.sequence.source
    folder = depth_maker.make(
        tmp_path / "again",
        size=SIZE,
        source=source,
        disparity=lambda frame, w, h: np.full((h, w), 1.0) + np.linspace(0, 1e-3, w),
        confidence=lambda frame, w, h: np.ones((h, w)),
    )
    new = depths.load(folder)
    node = fog(scene, old, RED)
    tree = compositor_nodes.find_scene_tree(scene)
    group = nodes.input_of(node, "Z").links[0].from_node
    nodes.input_of(group, "Scale").default_value = 1.5
    add_depth_of_field(scene, old, old.sequence.shots[0], f_stop=128)
    compositor.prepare(scene, SIZE)
    count = (len(tree.nodes), len(tree.links))
    for depth, z in ((old, 3.0), (new, 1.5), (old, 3.0), (new, 1.5)):
        assert add_fog(scene, depth, depth.sequence.shots[0]) == node
        assert (len(tree.nodes), len(tree.links)) == count
        share = 1 - np.exp(-0.35 * z)
        wanted = compositor.linear(42 / 255) * (1 - share) + np.array(RED) * share
        np.testing.assert_allclose(shown(scene, tmp_path, 2), wanted, atol=2e-3)
        limit = nodes.input_of(group, "Far Limit").default_value
        assert limit == pytest.approx(depths.distances(depth, depth.sequence.shots[0]).far_limit)
    assert beside(scene, new) is None


def test_versions_whose_plate_was_found_elsewhere_are_of_one_clip(tmp_path, empty_file):
    scene, archive = empty_file, tmp_path / "archive"
    made = [make(tmp_path / name, 40) for name in "ab"]
    (tmp_path / "a" / "plate").rename(archive)
    shutil.rmtree(tmp_path / "b" / "plate")
    first, second = (plate.with_plate(depth, archive) for depth in made)
    node = fog(scene, first, RED)
    assert fog(scene, second, RED) == node and beside(scene, second) is None
    tree = compositor_nodes.scene_tree(scene)
    assert [n.label for n in tree.nodes if n.bl_idname == "CompositorNodeGroup"].count("Fog") == 1
    (image,) = (n for n in tree.nodes if n.bl_idname == "CompositorNodeImage")
    assert shows_clip(image, second), "one of the artist's own would be taken for the clip as well"


def test_a_new_version_with_other_cuts_leaves_no_frame_with_two_fogs(tmp_path, empty_file):
    scene = empty_file
    old = make(tmp_path / "a", 40, shots=[(1, 2, "done"), (3, 5, "done")])
    for shot, color in ((0, RED), (1, GREEN)):
        fog(scene, old, color, shot=shot)
    folder = depth_maker.make(
        tmp_path / "again",
        size=SIZE,
        source=old.sequence.source,
        disparity=lambda frame, w, h: np.full((h, w), 0.5) + np.linspace(0, 1e-3, w),
    )
    new = depths.load(folder)
    fog(scene, new, BLUE)
    compositor.prepare(scene, SIZE)
    for frame in (1, 3, 5):
        np.testing.assert_allclose(shown(scene, tmp_path, frame), fogged(40, frame, BLUE), atol=2e-3)


def test_other_frames_of_the_same_file_are_a_clip_of_their_own(tmp_path, empty_file):
    scene = empty_file
    whole = make(tmp_path / "a", 40, frames=range(1, 13))
    parts = []
    for name, frames, offset in (("first", range(1, 5), 0), ("last", range(9, 13), -4)):
        folder = depth_maker.make(
            tmp_path / name,
            size=SIZE,
            frames=frames,
            source=whole.sequence.source,
            disparity=lambda frame, w, h: np.full((h, w), 0.5) + np.linspace(0, 1e-3, w),
        )
        parts.append(depths.load(folder, frame_offset=offset))
    fog(scene, parts[0], RED)
    fog(scene, parts[1], BLUE)
    compositor.prepare(scene, SIZE)
    for frame, source, color in ((1, 1, RED), (4, 4, RED), (5, 9, BLUE), (8, 12, BLUE)):
        np.testing.assert_allclose(shown(scene, tmp_path, frame), fogged(40, source, color), atol=2e-3)


def test_a_clip_of_the_artists_own_nodes_is_found_by_its_file(tmp_path, empty_file):
    """A tree that mixes two plates of the artist's: fog for one goes behind that plate, not over both."""
    scene = empty_file
    a, b = make(tmp_path / "a", 40), make(tmp_path / "b", 100)
    tree = compositor_nodes.scene_tree(scene)
    sockets = []
    for depth in (a, b):
        image = bpy.data.images.load(str(tmp_path / depth.folder.parent.name / "plate" / "plate.0001.png"))
        node = nodes.new(tree, "CompositorNodeImage", image=image)
        sockets.append(nodes.output_of(node, "Image"))
    mixed = compositor_nodes.mix_color(tree, 0.5, *sockets)
    nodes.feed(compositor_nodes.result(tree), mixed)
    first = fog(scene, a, RED)  # no other clip has depth: over the artist's image
    second = fog(scene, b, BLUE)
    assert compositor_nodes.result(tree).links[0].from_node == first
    assert nodes.input_of(first, "Image").links[0].from_socket == mixed
    assert nodes.input_of(second, "Image").links[0].from_socket == sockets[1]
    assert second in feeding(mixed.node)


@pytest.mark.parametrize("form", ["Image", "MovieClip"])
def test_a_node_of_the_artists_that_shows_other_frames_than_the_depth_is_said(tmp_path, empty_file, form):
    """An effect there has the depth of other frames; what a node shows is the artist's."""
    depth = make(tmp_path, 40, offset=10)
    scene, path = empty_file, str(tmp_path / "plate" / "plate.0001.png")
    tree = compositor_nodes.scene_tree(scene)
    if form == "Image":
        image = bpy.data.images.load(path)
        image.source = "SEQUENCE"
        node = nodes.new(tree, "CompositorNodeImage", image=image)
        node.frame_start, node.frame_offset, node.frame_duration, node.use_auto_refresh = 1, 0, 5, True
    else:
        node = nodes.new(tree, "CompositorNodeMovieClip", clip=bpy.data.movieclips.load(path))
    node.label = "street"
    nodes.feed(compositor_nodes.result(tree), nodes.output_of(node, "Image"))
    assert out_of_step(scene, depth) is None, "nothing has depth"
    fog(scene, depth, RED)
    sentence = out_of_step(scene, depth)
    assert sentence.startswith("street shows frame ") and "Start Frame" in sentence and "that of frame 1:" in sentence
    messages = []
    operator = SimpleNamespace(report=lambda kinds, text: messages.append(text))
    operators.FATHOM_OT_add_compositing_fog.complete(operator, SimpleNamespace(scene=scene), depth)
    assert messages == [sentence]
    (node if form == "Image" else node.clip).frame_start = 11
    assert out_of_step(scene, depth) is None
    compositor.prepare(scene, SIZE)
    np.testing.assert_allclose(shown(scene, tmp_path, 13), fogged(40, 3, RED), atol=2e-3)


def test_a_clip_in_two_scenes_at_different_frames_has_its_depth_at_its_frames_in_both(tmp_path, empty_file):
    folder = depth_maker.make(tmp_path, size=SIZE)
    other = bpy.data.scenes.new("Edit")
    compositor.prepare(empty_file, SIZE)
    compositor.prepare(other, SIZE)

    def add(scene, offset):
        depth = depths.load(folder, frame_offset=offset)
        return fog(scene, depth, RED), depth_node(scene)

    def depth_node(scene):
        found = compositor_nodes.scene_tree(scene).nodes
        return next(node for node in found if node.get("fathom_kind") == "comp_depth")

    def rendered(scene, frame):
        bpy.context.window.scene = scene  # Blender brings no other's images to their frames
        return compositor.render(scene, tmp_path, frame)

    add(empty_file, 0)
    before = rendered(empty_file, 4)
    add(other, 100)
    np.testing.assert_array_equal(rendered(empty_file, 4), before)
    np.testing.assert_allclose(rendered(other, 104), before, atol=1e-6)
    groups = {depth_node(scene).node_tree for scene in (empty_file, other)}
    add(other, 50)  # a depth that was moved keeps its groups
    assert {depth_node(scene).node_tree for scene in (empty_file, other)} == groups and len(groups) == 2
    np.testing.assert_allclose(rendered(other, 54), before, atol=1e-6)
    np.testing.assert_array_equal(rendered(empty_file, 4), before)
