"""The panels that build: what they say of the scene that they build in."""

from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.panels import build
from bl_ext.dev.fathom.scene import versions
from drawing import Recorder


@pytest.mark.parametrize("space", ["sequence_editor", "view_3d", "node_editor"])
def test_that_a_render_shows_the_strips_is_said_once_a_sidebar(empty_file, space):
    scene = bpy.context.scene
    place = SimpleNamespace(type="SEQUENCE_EDITOR")
    context = SimpleNamespace(scene=scene, region=SimpleNamespace(width=2000), object=None, space_data=place)
    panels = [cls for cls in build.CLASSES if cls.__name__.startswith(f"FATHOM_PT_{space}")]

    def said():
        layout = Recorder()
        for cls in panels:
            cls.draw(SimpleNamespace(layout=layout), context)
        return sum("shows its strips" in text for text in layout.texts)

    assert said() == 0
    editor = scene.sequence_editor_create()
    length = {"length": 10} if bpy.app.version >= (5, 0, 0) else {"frame_end": 11}
    strip = versions.strips_of(editor).new_effect("blue", "COLOR", 3, frame_start=1, **length)
    assert said() == 1
    for owner, name, value in (
        (strip, "mute", True),
        (editor.channels[3], "mute", True),
        (scene.render, "use_sequencer", False),
    ):
        before = getattr(owner, name)
        setattr(owner, name, value)
        assert said() == 0
        setattr(owner, name, before)
    assert said() == 1


@pytest.mark.parametrize(("name", "label"), [("automatic", "Automatic"), ("some_network", "Some network"), ("", "")])
def test_a_depth_says_by_its_label_what_it_was_estimated_by(empty_file, name, label):
    item = empty_file.fathom.depths.add()
    item.estimator, item.summary = name, "frames 1-5, 24 x 16"
    layout = Recorder()
    context = SimpleNamespace(scene=empty_file, region=SimpleNamespace(width=2000))
    build.FATHOM_PT_view_3d_depths.draw(SimpleNamespace(layout=layout), context)
    assert f"{label}, frames 1-5, 24 x 16".removeprefix(", ") in layout.texts
