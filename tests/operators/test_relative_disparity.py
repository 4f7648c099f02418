"""The door for estimators that know neither distances nor the camera: everything can be built all the same."""

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom.scene import depth_list, nodes
from bl_ext.dev.fathom.scene.compositing import compositor_nodes

pytestmark = pytest.mark.usefixtures("empty_file")

SHOTS = [(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
BUILDERS = [
    "build_camera",
    "build_depth_mesh",
    "build_fog",
    "add_compositing_fog",
    "add_compositing_dof",
    "add_compositing_matte",
    "add_compositing_z_combine",
]


def distances(modifier):
    return {
        name: nodes.modifier_input(modifier, name) for name in ("P1", "P99", "Near", "Far", "Near Limit", "Far Limit")
    }


def made(kind):
    return [thing for thing in bpy.data.objects if thing.get("fathom_kind") == kind]


def z_of(mesh, frame):
    """Z of every vertex, by the attribute that the mesh carries; empty where there is no geometry."""
    bpy.context.scene.frame_set(frame)
    data = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    if not len(data.vertices):
        return np.empty(0)
    return np.array([value.value for value in data.attributes["depth"].data])


def wanted_z(disparity, inputs):
    """The formula of the node groups, in numpy."""
    share = (disparity - inputs["P1"]) / (inputs["P99"] - inputs["P1"])
    inverse = share * (1 / inputs["Near"] - 1 / inputs["Far"]) + 1 / inputs["Far"]
    return 1 / np.clip(inverse, 1 / inputs["Far Limit"], 1 / inputs["Near Limit"])


def _put_weights_in_place():
    """What the estimator for tests needs, as a finished download leaves it."""
    from tests.inference.support.estimators.brightness import MODEL
    from tests.inference.support.stored import put_in_place

    put_in_place(MODEL, {"unet.safetensors": b"the weights of Brightness"})


def test_a_worker_that_gives_relative_disparity_alone_leads_to_a_mesh(worker, clip, tmp_path, monkeypatch):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    _put_weights_in_place()
    arguments = {"filepath": str(clip / "plate.1001.png"), "output": str(tmp_path / "depth")}
    assert bpy.ops.fathom.estimate_video_depth(estimator="brightness", **arguments) == {"FINISHED"}
    depth = depth_list.load(bpy.context.scene)
    assert (depth.sequence.quantity, depth.sequence.confidence) == ("relative_disparity", None)
    (shot,) = depth.sequence.shots
    assert shot.camera is None
    assert bpy.ops.fathom.build_depth_mesh(focal_length=40.0) == {"FINISHED"}
    (mesh,) = made("mesh")
    inputs = distances(mesh.modifiers[0])
    assert (inputs["P1"], inputs["P99"]) == pytest.approx((shot.range.p1, shot.range.p99))
    z = z_of(mesh, 1001 + depth.frame_offset)
    assert inputs["Near Limit"] * 0.999 <= z.min() < z.max() <= inputs["Far Limit"] * 1.001
    assert np.mean(z < inputs["Near"] * 1.001) < 0.05 and np.mean(z > inputs["Far"] * 0.999) < 0.05


def test_every_builder_serves_all_shots_but_the_refused(tmp_path):
    folder = depth_maker.make(tmp_path, size=(12, 8), shots=SHOTS, quantity="relative_disparity")
    bpy.ops.fathom.load_depth(directory=str(folder))
    kept = bpy.context.scene.fathom
    kept.use_focal_length, kept.focal_length, kept.sensor_width = True, 35.0, 36.0
    for name in BUILDERS:
        assert getattr(bpy.ops.fathom, name)(all_shots=True) == {"FINISHED"}
    first, second = sorted(made("mesh"), key=lambda mesh: mesh["fathom_shot"])
    assert len(made("fog")) == len(made("camera")) == 2
    for mesh in (first, second):
        nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    for frame in range(1, 6):
        shown = {1: first, 2: first, 4: second, 5: second}.get(frame)
        for mesh in (first, second):
            z = z_of(mesh, frame)
            if mesh is not shown:
                assert z.size == 0
                continue
            disparity = depth_maker.slanted(frame, 12, 8).astype(np.float32)[::-1].T
            found = z.reshape(14, 10)[1:-1, 1:-1]
            np.testing.assert_allclose(found, wanted_z(disparity, distances(mesh.modifiers[0])), rtol=1e-4)
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    groups = {node.node_tree["fathom_shot"] for node in tree.nodes if node.label == "Fathom Depth"}
    assert groups == {1, 4}


def test_every_builder_goes_by_the_quantity_of_each_shot(tmp_path):
    """Of a clip whose second shot has no parallax, the first is measured and the second relative."""
    frames = (range(1, 3), range(4, 6))
    camera = depth_maker.dolly(frames[0], width=12, height=8, focal_length=10.0)
    folder = depth_maker.make(
        tmp_path,
        size=(12, 8),
        shots=SHOTS,
        camera=lambda found: camera if found == frames[0] else None,
        quantities={4: "relative_disparity"},
    )
    bpy.ops.fathom.load_depth(directory=str(folder))
    kept = bpy.context.scene.fathom
    kept.use_focal_length, kept.focal_length, kept.sensor_width = True, 35.0, 36.0
    for name in BUILDERS:
        assert getattr(bpy.ops.fathom, name)(all_shots=True) == {"FINISHED"}
    measured, relative = sorted(made("mesh"), key=lambda mesh: mesh["fathom_shot"])
    for mesh in (measured, relative):
        nodes.set_modifier_input(mesh.modifiers[0], "Edge Cut", 1.0)
    for mesh, frame in ((measured, 2), (relative, 4)):
        disparity = depth_maker.slanted(frame, 12, 8).astype(np.float32)[::-1].T
        wanted = 1 / disparity if mesh is measured else wanted_z(disparity, distances(mesh.modifiers[0]))
        np.testing.assert_allclose(z_of(mesh, frame).reshape(14, 10)[1:-1, 1:-1], wanted, rtol=1e-4)
    tree = compositor_nodes.find_scene_tree(bpy.context.scene)
    has_near = {
        node.node_tree["fathom_shot"]: "Near" in node.inputs for node in tree.nodes if node.label == "Fathom Depth"
    }
    assert has_near == {1: False, 4: True}
    assert {
        fog["fathom_shot"]: "/relative_disparity" in fog.modifiers[0].node_group["fathom_kind"] for fog in made("fog")
    } == {
        1: False,
        4: True,
    }


def test_on_another_machine_without_the_plate_what_needs_it_says_where_it_looked(tmp_path):
    folder = depth_maker.make(tmp_path / "here", quantity="relative_disparity")
    alone = tmp_path / "there" / "depth"
    alone.parent.mkdir()
    folder.rename(alone)
    assert bpy.ops.fathom.load_depth(directory=str(alone)) == {"FINISHED"}
    bpy.context.scene.fathom.use_focal_length = True
    assert bpy.ops.fathom.build_fog() == {"FINISHED"}
    for name in ("build_depth_mesh", "add_compositing_fog", "add_compositing_matte"):
        with pytest.raises(RuntimeError, match=r"Frame 1 of the plate is missing .*there.plate.plate\.0001\.png"):
            getattr(bpy.ops.fathom, name)()
    assert compositor_nodes.find_scene_tree(bpy.context.scene) is None
    (tmp_path / "here" / "plate").rename(tmp_path / "there" / "plate")
    assert bpy.ops.fathom.build_depth_mesh() == {"FINISHED"}
    assert bpy.ops.fathom.add_compositing_fog() == {"FINISHED"}
