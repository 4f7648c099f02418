"""Messages name settings as Blender's panels do."""

import re

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client, hints
from bl_ext.dev.fathom.inference.contract.events import Error, Warning
from bl_ext.dev.fathom.scene import current_run
from bl_ext.dev.fathom.scene.wording import worded


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("size", None, "Processing Resolution"),
        ("size", 384, "Processing Resolution 384"),
        ("seed", 2, "Seed 2"),
        ("focal_length", None, "Focal Length"),
        ("window", 60, "Window 60"),
        ("compile", False, "Compile off"),
        ("device", "cpu", "Device CPU"),
        ("stage1_from", None, "Stage 1 From"),
        ("frames", None, "trim the strip"),
        ("stream", None, "the strip's Stream Index"),
        ("colorspace", None, "the Color Space of the strip or clip"),
        ("stream", 2, "the strip's Stream Index 2"),
        ("overwrite", None, "Estimate into New Version"),
    ],
)
def test_a_setting_bears_the_name_that_stands_in_the_panel(name, value, words):
    assert worded(f"Choose {hints.setting(name, value)}.") == f"Choose {words}."


def test_a_label_is_that_of_the_property():
    kept = bpy.types.Scene.bl_rna.properties["fathom"].fixed_type.properties
    for name in hints.OF_A_JOB & set(kept.keys()):
        assert worded(hints.setting(name)) == kept[name].name


def test_what_a_run_says_is_in_the_panels_words():
    steps = iter([(Warning(message="Mind [[size]]."), Error(code=1, what="No room.", hint="Try [[window=60]]."))])
    run = current_run.Run("Estimating", steps)
    run.advance()
    run.advance()
    assert run.warnings == ["Mind Processing Resolution."] and run.message == "No room. Try Window 60."


def test_a_folder_with_brackets_is_left_alone():
    assert worded("/shots/[size]/[[Take 2]]/a.mov") == "/shots/[size]/[[Take 2]]/a.mov"


def test_a_script_hears_the_panels_words(monkeypatch, tmp_path):
    from bl_ext.dev.fathom.scene import estimation
    from bl_ext.dev.fathom.scene.output import Place

    def refused(*_arguments, **_options):
        raise client.WorkerError(Error(code=3, what="It needs more memory.", hint="Choose [[size=512]]."))

    place = Place(folder=tmp_path, standing="new")
    monkeypatch.setattr(estimation, "prepare", lambda *_arguments, **_options: (None, place))
    monkeypatch.setattr(client, "run_blocking", refused)
    with pytest.raises(client.WorkerError, match=re.escape("Choose Processing Resolution 512.")) as caught:
        estimation.estimate(None, root=tmp_path, python=tmp_path)
    assert caught.value.event.code == 3
