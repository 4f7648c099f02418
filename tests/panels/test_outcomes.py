"""What the panel says of the last run: of its own clip and settings, shot by shot, and what is left to resume."""

import time
from dataclasses import replace
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract import catalogue as contract
from bl_ext.dev.fathom.inference.contract import depth_sequence, events, exit_codes
from bl_ext.dev.fathom.panels import catalogue, estimate, parts
from bl_ext.dev.fathom.scene import current_run, disk_status, subject
from bl_ext.dev.fathom.scene.versions import strips_of
from depth_maker import write_png
from drawing import Recorder, look

SHOTS = (
    events.ShotNote(first_frame=1001, last_frame=1002, reason="It has 2 frames; choose a smaller [[size]]."),
    events.ShotNote(first_frame=1003, last_frame=1003, reason="The camera stands still."),
    events.ShotNote(first_frame=1004, last_frame=1006, reason="It has 2 frames; choose a smaller [[size]]."),
)
UNSUPPORTED = events.Error(code=exit_codes.UNSUPPORTED, what="All 3 shots of the clip were refused.", shots=SHOTS)


@pytest.fixture(autouse=True)
def _nothing_is_known(empty_file, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_PYTHON", str(tmp_path / "nowhere"))
    current_run.end_current()
    current_run.forget_last()
    yield
    current_run.end_current()
    current_run.forget_last()
    disk_status.stop()


@pytest.fixture
def strips(tmp_path):
    """Two strips on frames 1001 to 1006, from frame 10 of the timeline on; the first is active."""
    editor = bpy.context.scene.sequence_editor_create()
    bpy.context.scene.fathom.output = str(tmp_path / "depth")
    found = []
    for channel, name in enumerate(("street", "yard"), start=1):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(1001, 1007):
            write_png(folder / f"{name}.{number}.png", np.full((48, 64, 3), SHADES[name] * number % 255, np.uint8))
        path = str(folder / f"{name}.1001.png")
        strip = strips_of(editor).new_image(name=name, filepath=path, channel=channel, frame_start=10)
        for number in range(1002, 1007):
            strip.elements.append(f"{name}.{number}.png")
        found.append(strip)
    editor.active_strip = found[0]
    return found


SHADES = {"street": 3, "yard": 5}


def context(scene=None, *, clip=None):
    """What a panel of the Sequencer, or of the Movie Clip Editor on a clip, is drawn with."""
    return SimpleNamespace(
        scene=scene or bpy.context.scene,
        region=SimpleNamespace(width=4000),
        area=SimpleNamespace(type="CLIP_EDITOR" if clip else "SEQUENCE_EDITOR"),
        space_data=SimpleNamespace(clip=clip),
    )


def drawn(where=None) -> Recorder:
    layout = Recorder()
    where = where or context()
    panel = estimate.FATHOM_PT_clip if where.space_data.clip else estimate.FATHOM_PT_sequencer
    panel.draw(SimpleNamespace(layout=layout, subject=lambda context: panel.subject(None, context)), where)
    return layout


def ended(*batch, about):
    """A run that has ended with these events."""
    run = current_run.start("Estimating", (events for events in [batch]), about)
    while run.outcome == "running":
        run.advance()
    current_run.end(run)
    return run


def says(layout, words="All 3 shots"):
    return any(words in text for text in layout.texts)


def test_an_unsupported_shot_stands_under_its_own_strip_alone(strips):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    editor = bpy.context.scene.sequence_editor
    assert says(drawn())
    editor.active_strip = strips[1]
    assert not says(drawn())
    editor.active_strip = None
    assert not says(drawn())
    editor.active_strip = strips[0]
    assert says(drawn())


@pytest.mark.parametrize(
    "change",
    [
        lambda scene: setattr(scene.fathom, "seed", 7),
        lambda scene: setattr(scene.fathom, "size", 320),
        lambda scene: setattr(scene.fathom, "estimator", "depthcrafter"),
        lambda scene: setattr(scene.fathom, "use_focal_length", True),
        lambda scene: setattr(scene.fathom, "output", "/elsewhere"),
        lambda scene: setattr(scene.sequence_editor.active_strip, "use_reverse_frames", True),
        lambda scene: setattr(scene.sequence_editor.active_strip, "frame_offset_start", 2),
        lambda scene: setattr(scene.sequence_editor.active_strip.colorspace_settings, "name", "Non-Color"),
    ],
)
def test_a_changed_setting_or_trim_makes_it_another_estimate(strips, change):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    change(bpy.context.scene)
    assert not says(drawn())


def test_moving_the_strip_changes_nothing(strips):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    strips[0].frame_start += 30
    strips[0].channel = 5
    assert says(drawn())


def test_another_file_and_the_same_again(strips, tmp_path):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not says(drawn())
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert says(drawn()), "the same clip with the same settings"


def test_another_scene_with_another_clip(strips):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    other = bpy.data.scenes.new("other")
    assert not says(drawn(context(other)))


def test_a_clip_of_the_movie_clip_editor(strips, tmp_path):
    clips = [bpy.data.movieclips.load(str(tmp_path / name / f"{name}.1001.png")) for name in ("street", "yard")]
    ended(UNSUPPORTED, about=subject.in_front(context(clip=clips[0])))
    assert says(drawn(context(clip=clips[0]))) and not says(drawn(context(clip=clips[1]))) and not says(drawn())


def test_a_run_of_a_file_is_shown_under_no_clip(strips):
    ended(UNSUPPORTED, about=None)
    assert not says(drawn())


def test_what_was_missing_is_told_of_every_clip_until_it_is_there(strips):
    ended(events.Error(code=exit_codes.MISSING, what="All 3 shots lack a package."), about=subject.in_front(context()))
    bpy.context.scene.sequence_editor.active_strip = strips[1]
    assert says(drawn())
    bpy.context.scene.fathom.seed = 3
    assert not says(drawn()), "of the settings that need it"
    bpy.context.scene.fathom.seed = 0
    try:
        lacking = contract.EstimatorFacts(
            name="parallax",
            label="Parallax",
            missing_requirements=(contract.MissingRequirement(what="A package.", hint="Get it."),),
        )
        catalogue.learn((lacking,))
        assert not says(drawn()), "the panel says what is lacking by itself"
        catalogue.learn((contract.AUTOMATIC,))
        assert not says(drawn()), "it is there"
    finally:
        catalogue.forget()


def test_each_shot_has_its_reason_and_a_button_to_its_frames(strips):
    ended(UNSUPPORTED, about=subject.in_front(context()))
    layout = drawn()
    shots = [button for button in layout.buttons if button.name == "fathom.show_frame"]
    assert [(button.text, button.frame) for button in shots] == [
        ("Frames 1001-1002", 1001),
        ("Frames 1004-1006", 1004),
        ("Frame 1003", 1003),
    ]
    assert layout.texts.count("It has 2 frames; choose a smaller Processing Resolution.") == 1, "each reason once"


def test_the_button_moves_the_playhead(strips):
    scene = bpy.context.scene
    assert bpy.ops.fathom.show_frame(frame=1004) == {"FINISHED"}
    assert scene.frame_current == 13
    assert bpy.ops.fathom.show_frame(frame=1006, strip="yard") == {"FINISHED"}
    assert scene.frame_current == 15
    with pytest.raises(RuntimeError, match="no strip 'lost'"):
        bpy.ops.fathom.show_frame(frame=1006, strip="lost")


def test_many_shots_do_not_fill_the_sidebar():
    many = [events.ShotNote(first_frame=n, last_frame=n, reason=f"Reason {n % 9}.") for n in range(1, 200)]
    parts.draw_shots(layout := Recorder(), many, width=4000)
    assert len(layout.buttons) <= 40 and "and 3 other reasons" in layout.texts
    assert any(text.startswith("and ") and text.endswith(" more shots") for text in layout.texts)


def test_shots_that_were_left_out_are_told_of_a_run_that_is_done(strips):
    warning = events.Warning(message="Frame 1003 was refused.", shot=SHOTS[1])
    ended(warning, events.Done(folder="", frames=5, seconds=1), about=subject.in_front(context()))
    layout = drawn()
    assert says(layout, "1 shot has no depth") and says(layout, "The camera stands still.")
    assert not says(layout, "was refused")


def verb(where=None):
    return next(b.text for b in drawn(where).buttons if b.name == "fathom.estimate_video_depth")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ('{{"fingerprint": "{}", "share": 0.374}}', "Resume (37 %)"),
        ('{{"fingerprint": "{}", "share": 0.9999}}', "Resume (99 %)"),
        ('{{"fingerprint": "{}"}}', "Resume"),
        ('{{"fingerprint": "{}", "share": "?"}}', "Resume"),
        ('{{"fingerprint": "another than {}", "share": 0.5}}', "Estimate Video Depth"),
        ("{{ {}", "Estimate Video Depth"),
    ],
)
def test_unfinished_work_is_resumed(strips, state, text):
    from pathlib import Path

    from bl_ext.dev.fathom.scene import settings, source
    from bl_ext.dev.fathom.scene.estimation import prepare

    scene = bpy.context.scene
    root = Path(scene.fathom.output)
    plate = source.from_strip(strips[0], scene)
    job, place = prepare(plate, settings.from_scene(scene), root=root)
    (place.folder / depth_sequence.SCRATCH).mkdir(parents=True)
    (place.folder / depth_sequence.SCRATCH / depth_sequence.STATE).write_text(state.format(job.fingerprint()))
    assert verb() == "Estimate Video Depth", "not looked for yet: drawing reads nothing"
    look()
    assert verb() == text
    scene.fathom.seed = 9
    verb()
    look()
    assert verb() == "Estimate Video Depth", "of other settings there is nothing"


def test_without_a_folder_the_clip_is_not_even_opened(strips, monkeypatch):
    monkeypatch.setattr(subject, "_plate", lambda *_: pytest.fail("the clip was opened"))
    assert subject.unfinished(subject.in_front(context())) is None


def test_what_a_run_leaves_is_looked_for_again(strips, monkeypatch):
    monkeypatch.setattr(subject, "unfinished", lambda _subject: 0.5)
    about = subject.in_front(context())
    assert subject.known_unfinished(about) is None
    look()
    assert subject.known_unfinished(about) == 0.5
    ended(events.Done(folder="", frames=5, seconds=1), about=about)
    assert subject.known_unfinished(about) is None


def quick(layout):
    return [button for button in layout.buttons if button.name == "fathom.get_quick_depth"]


def test_an_unsupported_shot_offers_quick_depth_at_once(strips):
    bpy.context.scene.fathom.estimator = "parallax"
    ended(UNSUPPORTED, about=subject.in_front(context()))
    layout = drawn()
    assert len(quick(layout)) == 1 and contract.QUICK.terms in layout.texts


def networks(layout):
    return [button.network for button in layout.buttons if button.name == "fathom.get_network"]


def test_automatic_offers_the_networks_that_it_lacks(strips):
    lacking = contract.MissingRequirement(what="Weights are missing.", hint="Get them.", kind="weights")
    packages = contract.MissingRequirement(what="No torch.", hint="Install it.", kind="packages")
    quick = contract.EstimatorFacts(name="quick", label="Quick", missing_requirements=(lacking,))
    video = contract.EstimatorFacts(
        name="video_depth_anything", label="Video Depth Anything", missing_requirements=(lacking,)
    )
    ended(UNSUPPORTED, about=subject.in_front(context()))
    assert networks(drawn()) == ["quick"], "it is in every Fathom"
    catalogue.learn((contract.AUTOMATIC, video, quick))
    layout = drawn()
    assert set(networks(layout)) == {"video_depth_anything", "quick"}
    assert contract.VIDEO_DEPTH_ANYTHING.terms in layout.texts and contract.QUICK.terms in layout.texts
    catalogue.learn((contract.AUTOMATIC, replace(video, missing_requirements=(lacking, packages)), quick))
    assert set(networks(drawn())) == {"quick"}
    catalogue.learn((contract.AUTOMATIC, replace(video, missing_requirements=()), quick))
    assert catalogue.best_network().name == "video_depth_anything"
    catalogue.forget()


def test_another_failure_does_not(strips):
    ended(events.Error(code=exit_codes.BAD_OUTPUT, what="The disk is full."), about=subject.in_front(context()))
    assert says(drawn(), "The disk is full") and not quick(drawn())


def test_a_flood_of_warnings_is_drawn_in_bounded_time():
    run = current_run.Run("Estimating", iter(()))
    run.warnings = ["word " * 4000] * 10_000
    layout = Recorder()
    begun = time.monotonic()
    parts.draw_run(layout, run, width=400)
    assert time.monotonic() - begun < 1.0
    assert len(layout.texts) < 300 and "and 9994 more warnings" in layout.texts
