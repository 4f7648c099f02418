"""Drawing looks at no file and starts no process: what is not known is looked for by a timer."""

from types import SimpleNamespace

import bpy
import depth_maker
import numpy as np
import pytest
from bl_ext.dev.fathom import operators, panels
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.inference.contract import events, exit_codes
from bl_ext.dev.fathom.panels import catalogue, preferences, status
from bl_ext.dev.fathom.scene import current_run, disk_status, subject
from bl_ext.dev.fathom.scene import preferences as scene_preferences
from bl_ext.dev.fathom.scene.versions import strips_of
from disk_watch import watched
from drawing import Recorder, look, ready

ICONS = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
SHOT = events.ShotNote(first_frame=1, last_frame=2, reason="It has 2 frames.")


@pytest.fixture
def scene(empty_file, tmp_path, monkeypatch):
    """A strip, a clip, a depth that is there and one that is gone, and estimators that lack things."""
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(scene_preferences, "at_hand", scene_preferences.known)  # as where there is a window
    disk_status.stop()
    missing_requirements = tuple(
        contract.MissingRequirement(what="It lacks it.", hint="Run: pip", kind=kind)
        for kind in ("packages", "weights", "")
    )
    names = ("parallax", "quick", "depthcrafter")
    catalogue.learn(
        tuple(
            contract.EstimatorFacts(
                name=name, label=name, missing_requirements=missing_requirements, notes=missing_requirements
            )
            for name in names
        )
    )
    camera = lambda frames: depth_maker.dolly(frames, width=24, height=16, focal_length=26.0)  # noqa: E731
    bpy.ops.fathom.load_depth(directory=str(depth_maker.make(tmp_path, camera=camera)))
    bpy.ops.fathom.build_fog()
    bpy.context.view_layer.objects.active = bpy.context.scene.camera
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    lost = empty_file.fathom.depths.add()
    lost.name, lost.folder = "lost", "//lost"
    empty_file.fathom.active_depth = 1
    image = tmp_path / "street.0001.png"
    depth_maker.write_png(image, np.zeros((48, 64, 3), np.uint8))
    editor = empty_file.sequence_editor_create()
    editor.active_strip = strips_of(editor).new_image("street", str(image), 1, 1)
    bpy.data.movieclips.load(str(image))
    empty_file.fathom.output = str(tmp_path / "depth")
    (tmp_path / "depth").mkdir(exist_ok=True)
    yield empty_file
    current_run.end_current()
    current_run.forget_last()
    catalogue.forget()
    disk_status.stop()


def draw_all(scene):
    """Draw whatever Fathom draws, with the polls and tooltips of what is drawn; the texts.

    Each button is of an operator that there is.
    """
    texts = []

    def note(layout):
        texts.extend(layout.texts)
        for button in layout.buttons:
            category, name = button.name.split(".")
            getattr(getattr(bpy.ops, category), name).get_rna_type()  # KeyError where there is none
            assert button.icon == "NONE" or button.icon in ICONS

    for kind in ("SEQUENCE_EDITOR", "CLIP_EDITOR", "IMAGE_EDITOR", "VIEW_3D", "NODE_EDITOR"):
        context = SimpleNamespace(
            scene=scene,
            region=SimpleNamespace(width=400),
            area=SimpleNamespace(type=kind),
            space_data=SimpleNamespace(type=kind, clip=bpy.data.movieclips[0], tree_type="CompositorNodeTree"),
            object=scene.camera,
            mode="OBJECT",
        )
        for cls in panels.CLASSES:
            if issubclass(cls, bpy.types.Panel) and cls.bl_space_type == kind:
                scene.fathom.active_depth = 0 if cls.__name__.endswith("fog") else 1  # what is lost has no fog
                assert not hasattr(cls, "poll") or cls.poll(context) or cls.__name__.endswith(("advanced", "shots"))
                panel = SimpleNamespace(layout=Recorder())
                if hasattr(cls, "subject"):
                    panel.subject = lambda context, cls=cls: cls.subject(None, context)
                cls.draw(panel, context)
                note(panel.layout)
        panels.estimate.FATHOM_MT_estimators.draw(SimpleNamespace(layout=Recorder()), context)
        status.draw(SimpleNamespace(layout=(bar := Recorder())), context)
        note(bar)
        for packages in ("LIGHT", "FULL"):
            page = SimpleNamespace(layout=Recorder(), packages=packages, show_weights=packages == "FULL")
            preferences.FATHOM_AP_preferences.draw(page, context)
            note(page.layout)
        for cls in operators.CLASSES:
            if "poll" in dir(cls):
                cls.poll(context)
            if "description" in cls.__dict__:
                cls.description(
                    context,
                    SimpleNamespace(
                        packages="FULL",
                        new_version=True,
                        command="",
                        network="quick",
                        reason="",
                        what="END",
                        preset="SMOKE",
                    ),
                )
    return " ".join(texts)


def end_run(scene, *batch, about):
    run = current_run.start("Estimating", (events for events in [batch]), about)
    while run.outcome == "running":
        run.advance()
    current_run.end(run)


def all_texts(scene):
    with watched() as touched:
        texts = draw_all(scene)
    assert touched == []
    return texts


def test_no_panel_looks_at_a_file_or_starts_a_process(scene):
    scene.fathom.estimator = "parallax"
    assert "missing" not in all_texts(scene), "nothing is known yet"
    look()
    texts = all_texts(scene)
    assert "press Install Dependencies" in texts
    assert (
        "files of lost are missing" in texts
        and "what was built from it shows nothing until you choose its new folder" in texts
    )
    ready("light")
    disk_status.outdate()
    assert "press Install Dependencies" in all_texts(scene), "old news, while a timer looks"
    look()
    texts = all_texts(scene)
    assert "ready, with the basic packages" in texts and "It lacks it." in texts
    for about in (subject.in_front(SimpleNamespace(scene=scene, area=None)), "full"):
        end_run(scene, events.Error(code=exit_codes.UNSUPPORTED, what="It failed.", shots=(SHOT,)), about=about)
        assert "It failed." in all_texts(scene)
        look()
        assert "It failed." in all_texts(scene)
    current_run.start("Estimating", (events for events in ()))
    assert "Estimating" in all_texts(scene)


def test_the_worker_is_asked_by_a_timer(scene, monkeypatch):
    python = ready("light")
    draw_all(scene)
    look()
    timers, asked = [], []
    app = SimpleNamespace(
        background=False,
        timers=SimpleNamespace(
            register=lambda function, **_: timers.append(function), is_registered=timers.__contains__
        ),
    )
    question = SimpleNamespace(is_answered=lambda: True, end=lambda: None)
    monkeypatch.setattr(contract, "ask", lambda *arguments: asked.append(arguments[0]) or question)
    monkeypatch.setattr(contract, "answer", lambda _question: (contract.AUTOMATIC,))
    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "bpy", SimpleNamespace(app=app))
        draw_all(scene)
        draw_all(scene)
    assert timers == [catalogue._look] and asked == [], "once, however often it is drawn"
    assert catalogue._look() is None and asked == [python]
    assert catalogue.estimators() == (contract.AUTOMATIC,)
