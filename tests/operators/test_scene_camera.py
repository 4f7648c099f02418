"""What a scene looks through, its frames and its render size, once something is built."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import depth_sequence

pytestmark = pytest.mark.usefixtures("empty_file")

IN_3D = ["build_camera", "build_depth_mesh", "build_fog"]


def call(name, **arguments):
    return getattr(bpy.ops.fathom, name)(**arguments)


def own_camera(scene):
    camera = bpy.data.objects.new("Own", bpy.data.cameras.new("Own"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


@pytest.mark.parametrize("name", IN_3D)
def test_the_scene_looks_through_the_shots_camera_unless_asked_not_to(listed, name):
    scene = bpy.context.scene
    own = own_camera(scene)
    call(name, scene_camera=False)
    assert scene.camera == own
    call(name)
    assert scene.camera.get("fathom_kind") == "camera"
    scene.camera = None
    call(name, scene_camera=False)
    assert scene.camera.get("fathom_kind") == "camera"


@pytest.mark.parametrize("name", IN_3D)
def test_from_the_panel_it_does_so_when_the_camera_is_built_for_the_first_time(listed, name, monkeypatch):
    own = own_camera(bpy.context.scene)
    cls = getattr(bpy.types, f"FATHOM_OT_{name}")
    asked = []
    monkeypatch.setattr(cls, "execute", lambda self, context: asked.append(self.scene_camera) or {"CANCELLED"})

    def press(**set_by_the_panel):
        operator = SimpleNamespace(
            properties=SimpleNamespace(is_property_set=lambda key: key in set_by_the_panel),
            scene_camera=set_by_the_panel.get("scene_camera", True),
            folder="",
            depth=-1,
            all_shots=False,
        )
        for method in ("_load", "_shots", "_was_built"):
            setattr(operator, method, getattr(cls, method).__get__(operator))
        operator.execute = lambda context: cls.execute(operator, context)
        cls.invoke(operator, bpy.context, None)
        return asked[-1]

    assert press() is True
    monkeypatch.undo()
    call("build_camera")
    bpy.context.scene.camera = own
    monkeypatch.setattr(cls, "execute", lambda self, context: asked.append(self.scene_camera) or {"CANCELLED"})
    assert press() is False and press(scene_camera=True) is True
    bpy.context.scene.frame_set(4)  # another shot
    assert press() is True


def test_the_frame_range_follows_on_request(listed):
    scene = bpy.context.scene
    scene.fathom.depths[0].frame_offset = 1000
    scene.frame_set(1001)
    call("build_depth_mesh")
    assert (scene.frame_start, scene.frame_end) == (1, 250)
    call("build_depth_mesh", fit_frame_range=True, fit_render_size=True)
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1001, 1005, 1001)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (24, 16)


def test_the_scene_is_fitted_to_the_clip(tmp_path):
    scene = bpy.context.scene
    folder = depth_maker.make(tmp_path, frames=range(1001, 1006), plate_size=(60, 37))
    sequence = depth_sequence.load(folder)
    depth_sequence.save(replace(sequence, source=replace(sequence.source, fps=23.976)), folder)
    bpy.ops.fathom.load_depth(directory=str(folder))
    assert bpy.ops.fathom.fit_scene(render_size=False, frame_rate=False) == {"FINISHED"}
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1001, 1005, 1001)
    assert (scene.render.resolution_x, scene.render.fps) == (1920, 24) and scene.render.fps_base == 1.0
    scene.frame_set(1003)
    bpy.ops.fathom.fit_scene()
    assert (scene.render.resolution_x, scene.render.resolution_y, scene.frame_current) == (60, 37, 1003)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(23.976)


def test_shots_that_are_built_one_by_one_are_cut_between_as_well(listed, capfd):
    scene = bpy.context.scene
    call("build_depth_mesh")
    assert not scene.timeline_markers
    scene.frame_set(5)
    call("build_depth_mesh")
    for frame in (1, 5):
        scene.frame_set(frame)
        assert scene.camera["fathom_shot"] == {1: 1, 5: 4}[frame]


def test_markers_that_switch_to_another_camera_are_said(listed, capfd):
    scene = bpy.context.scene
    own = own_camera(scene)
    scene.timeline_markers.new("cut", frame=1).camera = own
    call("build_camera")
    assert "Markers on the timeline switch to Own here" in "".join(capfd.readouterr())
