"""Getting, verifying and removing weights without a terminal, from a server of the test's own."""

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import environment
from bl_ext.dev.fathom.operators import weights as operators
from bl_ext.dev.fathom.scene import current_run, preferences, weights
from drawing import Recorder

from tests.inference.support.estimators.brightness import MODEL
from tests.inference.support.hub import Hub
from tests.inference.support.small_models import write_models

LICENCE = MODEL.licence.name


@pytest.fixture
def hub(worker, empty_file, monkeypatch, tmp_path):
    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    with Hub(write_models(tmp_path / "served", MODEL)) as serving:
        monkeypatch.setenv("HF_ENDPOINT", serving.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
        yield serving
    weights.forget()


def brightness():
    return next(each for each in weights.look() if each.name == "brightness")


def test_the_whole_life_of_weights(hub, tmp_path):
    assert (brightness().state, brightness().can_run) == ("missing", False)
    assert bpy.ops.fathom.download_weights(names="brightness", licenses=LICENCE) == {"FINISHED"}
    assert (brightness().state, brightness().can_run) == ("ready", True)
    assert not list((tmp_path / "home").glob("*.log"))
    assert bpy.ops.fathom.verify_weights(names="brightness") == {"FINISHED"}
    (file,) = (tmp_path / "home").rglob("unet.safetensors")
    with file.open("r+b") as damaged:
        damaged.seek(-1, 2)
        damaged.write(b"x")
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.fathom.verify_weights(names="brightness")
    assert current_run.last().subject.weights == ("brightness",)
    assert bpy.ops.fathom.download_weights(names="brightness", licenses=LICENCE) == {"FINISHED"}
    assert bpy.ops.fathom.verify_weights(names="brightness") == {"FINISHED"}
    assert bpy.ops.fathom.remove_weights(weights="brightness") == {"FINISHED"}
    assert brightness().state == "missing" and not list((tmp_path / "home").rglob("*.safetensors"))


def test_nothing_is_downloaded_before_the_licence_is_accepted(hub):
    with pytest.raises(RuntimeError, match="the license was not accepted: tick the box"):
        bpy.ops.fathom.get_weights(names="brightness")
    assert hub.log == []
    assert bpy.ops.fathom.get_weights(names="brightness", accept=True) == {"FINISHED"}
    assert brightness().can_run


def test_a_folder_serves_in_the_place_of_the_network(hub, monkeypatch):
    monkeypatch.setattr(preferences, "offline_reason", lambda: "Blender may not go online.")
    with pytest.raises(RuntimeError, match=r"not downloaded\. Blender may not go online\."):
        bpy.ops.fathom.download_weights(names="brightness", licenses=LICENCE)
    with pytest.raises(RuntimeError, match="may not go online"):
        bpy.ops.fathom.get_weights(names="brightness", accept=True)
    assert bpy.ops.fathom.download_weights(names="brightness", licenses=LICENCE, directory=str(hub.folder)) == {
        "FINISHED"
    }
    assert brightness().can_run and hub.log == []


@pytest.mark.slow
def test_a_studios_folder_is_read_and_left_alone(hub, tmp_path):
    assert bpy.ops.fathom.choose_weights_folder(directory=str(hub.folder)) == {"FINISHED"}
    assert weights.folder() == hub.folder and brightness().studio
    assert bpy.ops.fathom.remove_weights(weights="brightness") == {"FINISHED"}
    assert brightness().state != "missing"
    assert bpy.ops.fathom.forget_weights_folder() == {"FINISHED"}
    assert weights.folder() is None and not brightness().studio
    with pytest.raises(RuntimeError, match="is no folder"):
        bpy.ops.fathom.choose_weights_folder(directory=str(tmp_path / "gone"))
    with pytest.raises(RuntimeError, match="No folder is chosen"):
        bpy.ops.fathom.choose_weights_folder()


def test_a_note_that_cannot_be_read_is_one_sentence(hub, tmp_path):
    environment.choose_weights_folder(tmp_path / "home", tmp_path)
    (tmp_path / "home" / "models" / "folder.json").write_text("{")
    with pytest.raises(weights.MissingWeights, match="cannot be read"):
        weights.folder()
    with pytest.raises(RuntimeError, match="Choose the folder again"):
        bpy.ops.fathom.verify_weights(names="brightness")


@pytest.mark.parametrize("names", ["nobody", ""])
def test_weights_that_there_are_not(hub, names):
    for operator in (bpy.ops.fathom.download_weights, bpy.ops.fathom.verify_weights, bpy.ops.fathom.get_weights):
        with pytest.raises(RuntimeError, match=r"There are no weights '.*': choose from brightness, depth"):
            operator(names=names)


def test_the_dialog_shows_size_licence_and_what_is_to_be_accepted(hub):
    layout, dialog = Recorder(), type("Dialog", (), {})()
    dialog.layout, dialog.names = layout, "brightness,monst3r,tcmonodepth-small"
    operators.FATHOM_OT_get_weights.draw(dialog, bpy.context)
    texts = " ".join(layout.texts)
    assert "Brightness's network: 3.0 MB from nobody/brightness" in texts
    assert "Brightness license. For tests only." in texts and "MonST3R" in texts and "0.8 MB" in texts
    assert layout.texts[-1] == "<newest>" and "<accept>" in layout.texts
    assert "Fathom fixes no revision of MonST3R's network: choose one here" in texts
    assert {button.url for button in layout.buttons} >= {MODEL.licence.url}
    layout, dialog.names = Recorder(), "video-depth-anything-small"
    dialog.layout = layout
    operators.FATHOM_OT_get_weights.draw(dialog, bpy.context)
    assert "<accept>" not in layout.texts and "<newest>" not in layout.texts, "nothing is asked for"
