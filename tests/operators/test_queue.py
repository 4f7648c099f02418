"""The queue: several clips one after the other, whatever file is open, and what was left unfinished."""

import os
import shutil
from dataclasses import replace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client, environment, events, measured, queued_jobs
from bl_ext.dev.fathom.scene import current_run, disk_status, preferences, queue, source
from bl_ext.dev.fathom.scene.settings import Settings
from drawing import look

MEAN = Settings(estimator="running_mean")


@pytest.fixture
def home(worker, empty_file, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    queue.stop()


@pytest.fixture
def shot(clip):
    """A plate of some frames of the clip."""
    return lambda frames="": source.from_file(clip / "plate.1001.png", frames)


def add(plate, tmp_path, settings=MEAN, **options):
    return queue.add(plate, settings, root=tmp_path / "depth", scene=bpy.context.scene, **options)


def states():
    return [queued.state for queued in queue.jobs()]


def notes(home):
    return list((home / "jobs").glob("*.json"))


def test_what_waits_is_estimated_in_its_order_and_listed(home, shot, tmp_path):
    one, two = add(shot("1001-1002"), tmp_path), add(shot("1003-1005"), tmp_path)
    assert [queued.job.output[-4:] for queued in queue.jobs()] == ["v001", "v002"], "folders of their own"
    assert len(notes(home)) == 2
    queue.move(two.id, -1)
    assert bpy.ops.fathom.start_queue() == {"FINISHED"}
    assert states() == ["done", "done"] and notes(home) == []
    assert [item.folder[-4:] for item in bpy.context.scene.fathom.depths] == ["v002", "v001"]
    assert one.id == queue.jobs()[1].id
    assert add(shot("1001-1002"), tmp_path) is None, "it is there already"
    queue.clear()
    assert queue.jobs() == () and not bpy.ops.fathom.start_queue.poll()


def test_what_waits_is_forecast_by_what_was_measured(home, shot, tmp_path):
    first = add(shot("1001-1002"), tmp_path)
    assert queue.known_seconds(first, 64) is None
    queue.run_all()
    (run,) = measured.load(home)
    assert (run.estimator, run.frames) == ("running_mean", 2)
    waiting = add(shot("1003-1006"), tmp_path)
    disk_status.outdate()
    queue.known_seconds(waiting, 64)
    look()
    assert queue.known_seconds(waiting, 64) == pytest.approx(2 * run.seconds)
    begun = current_run.start("Estimating", (batch for batch in [()]))
    begun.progress = events.Progress(done=1, total=4)
    queue._queue.current, queue._queue.run = waiting, begun
    assert queue.known_seconds(waiting, 64) == pytest.approx(1.5 * run.seconds)
    begun.progress = events.Progress(done=1, total=4, seconds_left=7.0)
    assert queue.known_seconds(waiting, 64) == 7.0
    queue._queue.current = queue._queue.run = None
    current_run.end(begun)


def test_the_same_is_not_added_twice(home, shot, tmp_path):
    add(shot(), tmp_path)
    with pytest.raises(queue.QueueError, match="plate with these settings is in the queue already"):
        add(shot(), tmp_path)
    again = add(shot(), tmp_path, new_version=True)
    assert again.job.output.endswith("v002")
    queue.remove(again.id)
    assert len(queue.jobs()) == 1


def test_what_fails_does_not_hold_up_the_rest_and_can_be_tried_again(home, shot, tmp_path, monkeypatch):
    wrong = Settings(estimator="nobody")
    add(shot("1001-1002"), tmp_path, wrong)
    add(shot("1001-1002"), tmp_path)
    with pytest.raises(RuntimeError, match="nobody"):
        bpy.ops.fathom.start_queue()
    assert states() == ["failed", "done"] and "nobody" in queue.jobs()[0].message
    queue.retry(queue.jobs()[0].id)
    assert states() == ["waiting", "done"] and queue.jobs()[0].message == ""


def test_without_an_environment_each_job_says_so(home, shot, tmp_path, monkeypatch):
    monkeypatch.delenv("FATHOM_PYTHON")
    add(shot(), tmp_path)
    (failed,) = queue.run_all()
    assert failed.state == "failed" and environment.PROBLEMS["missing"] in failed.message


def cancel_at_first_frame(queued, event):
    if isinstance(event, events.Frame):
        queue.current()[1].cancel()


def test_what_an_earlier_session_left_is_listed_with_its_share_and_resumed(home, shot, tmp_path, monkeypatch):
    add(shot(), tmp_path, Settings(estimator="running_mean", parameters={"pause": 0.2}))
    queue.run_all(cancel_at_first_frame)
    assert states() == ["cancelled"] and queue.look() == []
    queue.stop()
    monkeypatch.setattr(queue._queue, "session", "the next")
    ((left, share),) = queue.look()
    assert 0 < share < 1 and left.label == "plate"
    assert bpy.ops.fathom.resume_job(job=left.id) == {"FINISHED"}
    assert states() == ["waiting"] and queue.look() == []
    (done,) = queue.run_all()
    assert done.state == "done" and notes(home) == []


@pytest.mark.slow
def test_an_estimate_outside_the_queue_that_is_cancelled_is_listed_too(home, clip, tmp_path, monkeypatch):
    run = current_run.Run

    class Cancelled(run):
        def advance(self):
            heard = super().advance()
            if any(isinstance(event, events.Frame) for event in heard):
                self.cancel()
            return heard

    monkeypatch.setattr(current_run, "Run", Cancelled)
    arguments = {
        "filepath": str(clip / "plate.1001.png"),
        "output": str(tmp_path / "depth"),
        "estimator": "running_mean",
        "parameters": '{"pause": 0.2}',
    }
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"CANCELLED"}
    monkeypatch.setattr(current_run, "Run", run)
    ((left, share),) = queue.look()
    assert 0 < share < 1 and left.job.parameters == {"pause": 0.2}
    assert bpy.ops.fathom.estimate_video_depth(**arguments) == {"FINISHED"}
    assert queue.look() == [] and notes(home) == []


def test_an_estimate_that_leaves_nothing_leaves_no_note(home, clip, tmp_path):
    with pytest.raises(RuntimeError, match="nobody"):
        bpy.ops.fathom.estimate_video_depth(
            filepath=str(clip / "plate.1001.png"), output=str(tmp_path / "depth"), estimator="nobody"
        )
    assert notes(home) == []


def test_it_goes_on_when_another_file_is_opened_and_is_paused(home, shot, tmp_path):
    add(shot(), tmp_path, Settings(estimator="running_mean", parameters={"pause": 0.2}))
    queue._advance()
    assert states() == ["running"] and queue.is_running(current_run.current())
    assert current_run.current().target.plate == shot(), "its maps can be looked at while they come in"
    bpy.ops.wm.read_homefile(use_empty=True)
    assert queue.is_running(current_run.current()), "another file is no end"
    assert current_run.current().target is None
    queue.pause()
    while queue.current() is not None:
        queue._advance()
    assert states() == ["waiting"] and queue._advance() is None, "paused"
    (done,) = queue.run_all()
    assert done.state == "done" and not len(bpy.context.scene.fathom.depths), "that file did not ask"
    assert bpy.ops.fathom.load_queued_depth(job=done.id) == {"FINISHED"}
    assert len(bpy.context.scene.fathom.depths) == 1


def test_selected_strips_and_clips_are_added(home, clip, tmp_path):
    scene = bpy.context.scene
    scene.fathom.output, scene.fathom.estimator = str(tmp_path / "depth"), "running_mean"
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    for channel, count in ((1, 2), (2, 4)):
        strip = strips.new_image(f"s{count}", str(clip / "plate.1001.png"), channel, 1)
        for number in range(1002, 1001 + count):
            strip.elements.append(f"plate.{number}.png")
        strip.select = True
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    assert bpy.ops.fathom.add_to_queue() == {"FINISHED"}
    assert [queued.job.last_frame for queued in queue.jobs()] == [1002, 1004]
    bpy.data.movieclips.load(str(clip / "plate.1001.png"))
    assert bpy.ops.fathom.add_to_queue(clip="plate.1001.png") == {"FINISHED"}
    assert len(queue.jobs()) == 3
    with pytest.raises(RuntimeError, match="in the queue already"):
        bpy.ops.fathom.add_to_queue(clip="plate.1001.png")


def test_a_job_that_is_gone_is_said(home):
    operators = ("remove_from_queue", "move_in_queue", "resume_job", "retry_in_queue", "open_log", "load_queued_depth")
    for operator in (getattr(bpy.ops.fathom, name) for name in operators):
        with pytest.raises(RuntimeError, match=r"not (in the queue|there) any more"):
            operator(job="0" * 16)


def test_a_data_folder_that_cannot_be_written_stops_no_estimate(home, clip, tmp_path, monkeypatch):
    home.mkdir()
    (home / "jobs").write_text("in the way")
    with pytest.raises(queue.QueueError, match="cannot be noted in the data folder"):
        add(source.from_file(clip / "plate.1001.png", "1001"), tmp_path)
    assert queue.jobs() == ()
    assert bpy.ops.fathom.estimate_video_depth(
        filepath=str(clip / "plate.1001.png"), frames="1001-1002", output=str(tmp_path), estimator="running_mean"
    ) == {"FINISHED"}


def test_notes_of_another_version_are_left_out(home, shot, tmp_path):
    add(shot(), tmp_path)
    (note,) = notes(home)
    note.with_name("0" * 16 + ".json").write_text('{"job": 1}')
    assert len(queued_jobs.noted(preferences.data_folder())) == 1


def test_the_log_opens_in_the_text_editor(home, shot, tmp_path):
    queued = add(shot(), tmp_path)
    with pytest.raises(RuntimeError, match="There is no log"):
        bpy.ops.fathom.open_log(job=queued.id)
    log = queue.log_of(queued.id)
    log.parent.mkdir(parents=True)
    log.write_text("what went wrong")
    assert bpy.ops.fathom.open_log(job=queued.id) == {"FINISHED"}
    assert bpy.data.texts["plate v001 log"].as_string() == "what went wrong"


def test_a_log_that_is_none_holds_nothing_up(home, shot, tmp_path):
    queued = add(shot(), tmp_path)
    log = queue.log_of(queued.id)
    log.parent.mkdir(parents=True)
    os.mkfifo(log)
    with pytest.raises(RuntimeError, match="is a pipe or a device and not a file, so it is no log"):
        bpy.ops.fathom.open_log(job=queued.id)
    log.unlink()
    with open(log, "wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(RuntimeError, match="is larger than 13 MB"):
        bpy.ops.fathom.open_log(job=queued.id)
    log.write_bytes(b"\xff\0\x1b[2Jend")
    assert bpy.ops.fathom.open_log(job=queued.id) == {"FINISHED"}
    assert bpy.data.texts["plate v001 log"].as_string().endswith("[2Jend")


@pytest.mark.slow
def test_jobs_of_a_queue_are_resumed_where_the_extension_was_off_and_is_on_again(home, shot, tmp_path):
    """Blender keeps the module, and what it has left would be taken for that of a queue that is open."""
    add(shot("1001-1002"), tmp_path)
    add(shot("1003-1004"), tmp_path)
    queue.stop()
    left = queue.look()
    assert len(left) == 2
    for queued, _ in left:
        queue.resume(queued.id)
    assert [done.state for done in queue.run_all()] == ["done", "done"]


def test_a_data_folder_that_fills_up_does_not_hold_the_queue_up(home, shot, tmp_path):
    add(shot("1001-1002"), tmp_path)
    add(shot("1003-1004"), tmp_path, Settings(estimator="nobody"))
    shutil.rmtree(home / "jobs")
    (home / "jobs").write_text("in the way")
    one, two = queue.run_all()
    assert (one.state, two.state) == ("done", "failed") and "nobody" in two.message
    assert queue.current() is None and current_run.current() is None


def test_a_note_without_a_usable_folder_fails_alone(home, shot, tmp_path):
    damaged = replace(add(shot("1001"), tmp_path), job=replace(queue.jobs()[0].job, output="/"), state="failed")
    queue.stop()
    queued_jobs.note(preferences.data_folder(), damaged)
    queue._queue.jobs = [replace(damaged, state="waiting")]
    add(shot("1001-1002"), tmp_path)
    failed, done = queue.run_all()
    assert (failed.state, done.state) == ("failed", "done") and failed.message.endswith(".")


@pytest.fixture
def another(home, shot, tmp_path, monkeypatch):
    """Another Blender on the same data folder, which waits with a job in its queue."""
    queued = add(shot(), tmp_path)
    held = dict(queue._queue.held)
    queue._queue.held.clear()
    mine = queue._queue.session
    queue.stop()
    monkeypatch.setattr(queue._queue, "session", "f" * 32)
    yield queued
    for folder, descriptor in held.items():
        queued_jobs.let_go(folder, mine, descriptor)


def test_what_waits_in_another_blender_is_not_left(another, home):
    assert queue.look() == []
    with pytest.raises(RuntimeError, match="waits for it in another Blender"):
        bpy.ops.fathom.resume_job(job=another.id)
    assert queue.jobs() == ()


def test_what_another_blender_is_estimating_is_not_left_until_that_ends(another, home, worker, shot, tmp_path):
    started = replace(another, state="running", job=replace(another.job, parameters={"pause": 0.3}))
    queued_jobs.forget(home, another)
    queued_jobs.note(home, started)
    steps = client.estimate(started.job, python=worker, home=home)
    for heard in steps:
        if any(isinstance(event, events.Frame) for event in heard):
            break
    assert queue.look() == []
    with pytest.raises(RuntimeError, match="is being estimated already"):
        bpy.ops.fathom.resume_job(job=started.id)
    steps.close()
    ((left, share),) = queue.look()
    assert left.id == started.id and 0 < share < 1
    assert bpy.ops.fathom.resume_job(job=left.id) == {"FINISHED"}
    with pytest.raises(RuntimeError, match="is in the queue already"):
        bpy.ops.fathom.resume_job(job=left.id)
    assert len(queue.jobs()) == 1


def test_a_session_that_has_ended_leaves_what_waited(home, shot, tmp_path, monkeypatch):
    queued = add(shot(), tmp_path)
    assert len(list((home / "jobs").glob("*.lock"))) == 1
    queue.stop()
    assert list((home / "jobs").glob("*.lock")) == []
    (home / "jobs" / f"{queued.session}.lock").write_text("")  # as of a Blender that was killed
    ((left, share),) = queue.look()
    assert (left.id, share) == (queued.id, 0.0) and list((home / "jobs").glob("*.lock")) == []
