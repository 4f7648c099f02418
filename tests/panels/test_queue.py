"""The queue and the shots in the sidebar."""

from dataclasses import replace
from types import SimpleNamespace

import bpy
import depth_maker
import pytest
from bl_ext.dev.fathom.inference.contract.job import Job, Source
from bl_ext.dev.fathom.inference.contract.queued_jobs import QueuedJob
from bl_ext.dev.fathom.panels import queue as panel
from bl_ext.dev.fathom.panels import shots
from bl_ext.dev.fathom.scene import current_run, disk_status, queue, shot_list
from drawing import Recorder, look

CONTEXT = SimpleNamespace(region=SimpleNamespace(width=4000))


def job(name, **facts):
    source = Source(kind="movie", path=f"/clips/{name}.mp4", frame_count=10, fps=24.0, width=64, height=48)
    return QueuedJob(job=Job(source=source, output=f"/depth/{name}/v001"), label=name, **facts)


@pytest.fixture
def queued(monkeypatch):
    def know(*jobs, left=()):
        monkeypatch.setattr(queue._queue, "jobs", list(jobs))
        monkeypatch.setattr(queue, "unfinished", lambda: list(left))

    yield know
    current_run.end_current()
    queue._queue.current = queue._queue.run = None


def drawn():
    panel._Queue.draw(SimpleNamespace(layout=(layout := Recorder())), CONTEXT)
    return layout


def test_each_job_has_the_buttons_that_its_state_asks_for(queued):
    jobs = [job(state, state=state) for state in ("waiting", "done", "failed", "cancelled")]
    queued(*jobs[:3], replace(jobs[3], message=""), left=[(job("old"), 0.426)])
    queue._queue.jobs[2] = replace(jobs[2], message="The disk is full.")
    layout = drawn()
    names = [button.name.removeprefix("fathom.") for button in layout.buttons]
    assert names == [
        "add_to_queue", "start_queue", "move_in_queue", "move_in_queue", "remove_from_queue",
        "load_queued_depth", "remove_from_queue",
        "retry_in_queue", "open_log", "remove_from_queue",
        "retry_in_queue", "remove_from_queue",
        "clear_queue", "resume_job", "remove_from_queue",
    ]  # fmt: skip
    assert "waiting (Automatic)" in layout.texts and "The disk is full." in layout.texts
    assert "old (42 %)" in layout.texts and layout.buttons[-1].job == job("old").id


def test_while_a_job_is_running_the_queue_can_be_paused(queued):
    running = job("one", state="running")
    queued(running, job("two"))
    run = current_run.start("Estimating", (batch for batch in [()]))
    queue._queue.current, queue._queue.run = running, run
    layout = drawn()
    assert [button.name for button in layout.buttons[:2]] == ["fathom.add_to_queue", "fathom.pause_queue"]
    assert layout.texts == ["one (Automatic)", "two (Automatic)"]


def test_the_time_that_is_left_stands_with_each_job_and_in_all(queued, monkeypatch):
    jobs = [
        job(name, state=state) for name, state in (("a", "running"), ("b", "waiting"), ("c", "waiting"), ("d", "done"))
    ]
    queued(*jobs)
    times = {jobs[0].id: 20.0, jobs[1].id: 100.0, jobs[2].id: None, jobs[3].id: 5.0}
    monkeypatch.setattr(queue, "known_seconds", lambda each, _size: times[each.id])
    texts = drawn().texts
    assert texts[0] == "About 2 min 0 s left for 2 jobs, and 1 of unknown length"
    assert texts.count("About 1 min 40 s") == 1 and sum(text.startswith("About") for text in texts) == 2


def test_more_than_fit_are_counted(queued):
    queued(*(job(str(number)) for number in range(40)), left=[(job(f"old{number}"), 0.0) for number in range(32)])
    assert "and 10 more" in drawn().texts and "and 2 more" in drawn().texts


def test_the_shots_of_the_active_depth_are_listed_and_a_press_goes_there(empty_file, tmp_path):
    folder = depth_maker.make(tmp_path, shots=[(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")])
    bpy.ops.fathom.load_depth(directory=str(folder), frame_offset=100)
    context = SimpleNamespace(scene=bpy.context.scene)
    assert not shots._Shots.poll(context), "nothing is known yet"
    look()
    assert shots._Shots.poll(context)
    shots._Shots.draw(SimpleNamespace(layout=(layout := Recorder())), context)
    texts = [(button.text, button.frame) for button in layout.buttons]
    assert texts == [("Shot 1: 1-2", 101), ("Shot 2: 3-3, no depth", 103), ("Shot 3: 4-5", 104)]
    assert layout.buttons[1].reason and not layout.buttons[0].reason
    assert layout.buttons[1].reason.startswith("It has no depth. ")
    assert bpy.ops.fathom.show_shot(frame=104) == {"FINISHED"}
    assert bpy.context.scene.frame_current == 104
    bpy.context.scene.fathom.depths[0].folder = str(tmp_path / "gone")
    assert shot_list.look(bpy.context.scene.fathom.depths[0]) == ()
    disk_status.stop()


def test_where_shots_differ_in_it_the_list_names_what_each_holds(empty_file, tmp_path):
    shots_of = [(1, 2, "done"), (3, 3, "refused"), (4, 5, "done")]
    folder = depth_maker.make(tmp_path, shots=shots_of, quantities={4: "relative_disparity"})
    bpy.ops.fathom.load_depth(directory=str(folder))
    context = SimpleNamespace(scene=bpy.context.scene)
    assert not shots._Shots.poll(context), "nothing is known yet"
    look()
    shots._Shots.draw(SimpleNamespace(layout=(layout := Recorder())), context)
    texts = [button.text for button in layout.buttons]
    assert texts == ["Shot 1: 1-2, measured", "Shot 2: 3-3, no depth", "Shot 3: 4-5, relative"]
    disk_status.stop()
