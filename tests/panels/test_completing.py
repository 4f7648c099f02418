"""Parallax completed by learned depth, in the panel: the tick and what it names, and the depths of this clip."""

from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.panels import catalogue, estimate
from bl_ext.dev.fathom.scene import depth_list, settings, source
from bl_ext.dev.fathom.scene.versions import strips_of
from drawing import Recorder

PARALLAX = contract.EstimatorFacts(
    name="parallax",
    label="Parallax",
    parameters=(
        contract.Parameter(name="complete_from", default="", depth_sequence=True, description="A folder."),
        contract.Parameter(name="complete", default=False, description="A tick."),
    ),
)
LACKING = contract.MissingRequirement(what="Weights are missing.", hint="Get them.", kind="weights")


class Labels(Recorder):
    """Also keeps what ticks are called."""

    def prop(self, _owner, name, **options):
        self.texts.append(options.get("text", name))


@pytest.fixture(autouse=True)
def parallax(empty_file):
    catalogue.learn((contract.AUTOMATIC, PARALLAX))
    bpy.context.scene.fathom.estimator = "parallax"
    yield
    catalogue.forget()


def tick():
    estimate._draw_parameters(layout := Labels(), bpy.context, advanced=False)
    (found,) = (text for text in layout.texts if text.startswith("Complete with"))
    return found


def test_the_tick_names_the_network_that_would_run():
    assert tick() == "Complete with Learned Depth"
    quick = contract.EstimatorFacts(name="quick", label="Quick")
    video = contract.EstimatorFacts(name="video_depth_anything", label="Video Depth Anything")
    lacking = contract.EstimatorFacts(
        name="video_depth_anything", label="Video Depth Anything", missing_requirements=(LACKING,)
    )
    catalogue.learn((contract.AUTOMATIC, PARALLAX, lacking, quick))
    assert tick() == "Complete with Quick"
    catalogue.learn((contract.AUTOMATIC, PARALLAX, video, quick))
    assert tick() == "Complete with Video Depth Anything"
    bpy.context.scene.fathom_parallax.complete = True
    assert settings.from_scene(bpy.context.scene).parameters == {"complete": True}


def test_the_depths_of_this_clip_can_be_chosen(tmp_path):
    scene = bpy.context.scene
    mine, other = (depth_maker.make(tmp_path / name) for name in ("mine", "other"))
    for folder in (mine, other):
        bpy.ops.fathom.load_depth(directory=str(folder))
    editor = scene.sequence_editor_create()
    strip = strips_of(editor).new_image("mine", str(tmp_path / "mine" / "plate" / "plate.0001.png"), 1, 1)
    for number in range(2, 6):
        strip.elements.append(f"plate.{number:04d}.png")
    editor.active_strip = strip
    assert [folder for _, folder in depth_list.of_clip(scene, source.from_strip(strip, scene).source)] == [mine]
    menu = SimpleNamespace(layout=Recorder())
    context = SimpleNamespace(scene=scene, area=SimpleNamespace(type="SEQUENCE_EDITOR"), space_data=None)
    estimate.FATHOM_MT_complete_from.draw(menu, context)
    (choice,) = menu.layout.buttons
    assert (choice.name, choice.data_path) == ("wm.context_set_string", "scene.fathom_parallax.complete_from")
    assert bpy.ops.wm.context_set_string(data_path=choice.data_path, value=choice.value) == {"FINISHED"}
    assert settings.from_scene(scene).parameters == {"complete_from": str(mine)}


def test_where_no_depth_of_the_clip_is_there_the_menu_says_so():
    menu = SimpleNamespace(layout=Recorder())
    context = SimpleNamespace(scene=bpy.context.scene, area=SimpleNamespace(type="SEQUENCE_EDITOR"), space_data=None)
    estimate.FATHOM_MT_complete_from.draw(menu, context)
    assert menu.layout.texts == ["No depth of this clip is on the list"] and not menu.layout.buttons
