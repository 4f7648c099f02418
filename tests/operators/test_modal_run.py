"""The steps that a timer takes in the window, taken here one by one: this Blender has no timers."""

import time
from types import SimpleNamespace

import bpy
import pytest
from bl_ext.dev.fathom.inference.contract import client, depth_sequence
from bl_ext.dev.fathom.inference.contract.events import Done, Error, Progress, ShotNote, Warning
from bl_ext.dev.fathom.operators import build, compositing, depths, modal_run, reporting
from bl_ext.dev.fathom.scene import current_run, depth, estimation, source
from bl_ext.dev.fathom.scene.settings import Settings

TICK = SimpleNamespace(type="TIMER", value="NOTHING", mouse_x=50, mouse_y=50)
ESCAPE = SimpleNamespace(type="ESC", value="PRESS", mouse_x=50, mouse_y=50)
CLICK = SimpleNamespace(type="LEFTMOUSE", value="PRESS", mouse_x=50, mouse_y=50)


def context(area_type="SEQUENCE_EDITOR", playing=False):
    """A window with one editor under the mouse and another beside it."""
    areas = [
        SimpleNamespace(type="VIEW_3D", x=100, y=0, width=100, height=100),
        SimpleNamespace(type=area_type, x=0, y=0, width=100, height=100),
    ]
    texts = []
    workspace = SimpleNamespace(status_text_set=texts.append, texts=texts)
    screen = SimpleNamespace(areas=areas, is_animation_playing=playing)
    return SimpleNamespace(workspace=workspace, screen=screen)


class Operator(modal_run.Follows):
    """As Blender makes one: what it reports is kept."""

    cancelled_note = "It is kept."
    options = SimpleNamespace(is_invoke=False)

    def __init__(self, steps):
        self.reports, self.finished = [], 0
        self._run = current_run.start("Estimating street", steps)
        self._editor = "SEQUENCE_EDITOR"

    def report(self, kind, text):
        self.reports.append((*kind, text))

    def finish(self, _context):
        self.finished += 1


def steps(*batches):
    for batch in batches:
        if (yield batch):
            yield (Error(code=130, what="Cancelled."),)
            return


def test_ticks_lead_to_the_end_and_everything_else_passes(empty_file):
    progress = Progress(done=1, total=2, frames=3, frames_total=6, seconds_left=4)
    operator = Operator(
        steps((progress, Warning(message="Shot 2 is refused.")), (Done(folder="", frames=6, seconds=1),))
    )
    window = context()
    assert operator.modal(window, CLICK) == {"PASS_THROUGH"}
    assert operator.modal(window, TICK) == {"PASS_THROUGH"}
    assert "3 of 6 frames, 4 s left" in window.workspace.texts[-1]
    assert "Esc over the Sequencer cancels" in window.workspace.texts[-1]
    assert operator.modal(window, TICK) == {"PASS_THROUGH"}
    assert operator.modal(window, TICK) == {"FINISHED"}
    assert operator.finished == 1 and operator.reports == [("WARNING", "Shot 2 is refused.")]
    assert current_run.current() is None


def test_escape_over_the_editor_cancels(empty_file):
    operator = Operator(steps((), (), ()))
    operator.modal(context(), TICK)
    assert operator.modal(context(), ESCAPE) == {"RUNNING_MODAL"}  # nobody else gets it
    result = {"PASS_THROUGH"}
    while result == {"PASS_THROUGH"}:
        result = operator.modal(context(), TICK)
    assert result == {"CANCELLED"} and not operator.finished
    assert operator.reports == [("WARNING", "Estimating street was cancelled. It is kept.")]


@pytest.mark.parametrize("window", [context("VIEW_3D"), context(playing=True)])
def test_escape_elsewhere_is_not_for_us(empty_file, window):
    operator = Operator(steps((), ()))
    assert operator.modal(window, ESCAPE) == {"PASS_THROUGH"}
    assert not current_run.current().cancelling


def test_a_mistake_of_ours_does_not_block_the_next_run(empty_file):
    def broken():
        yield ()
        raise KeyError("oops")

    operator = Operator(broken())
    operator.modal(context(), TICK)
    with pytest.raises(KeyError):
        operator.modal(context(), TICK)
    assert current_run.current() is None


def test_the_button_cancels(empty_file):
    assert not bpy.ops.fathom.cancel_estimate.poll()
    operator = Operator(steps((), ()))
    operator.modal(context(), TICK)
    assert bpy.ops.fathom.cancel_estimate() == {"FINISHED"}
    assert not bpy.ops.fathom.cancel_estimate.poll()  # it is on its way
    operator.modal(context(), TICK)
    assert operator.modal(context(), TICK) == {"CANCELLED"}


def test_an_error_is_reported(empty_file):
    operator = Operator(steps((Error(code=1, what="It broke.", hint="Mend it."),)))
    operator.modal(context(), TICK)
    assert operator.modal(context(), TICK) == {"CANCELLED"}
    assert operator.reports == [("ERROR", "It broke. Mend it.")]
    assert current_run.last().message == "It broke. Mend it."


LONG = "Nothing that the network found joins the frames 1 to 20 with those before, and this goes on and on. " * 4
SHOTS = tuple(ShotNote(first_frame=n, last_frame=n + 9, reason=LONG) for n in (1, 11, 21))


@pytest.mark.parametrize("about", [None, "a clip"])
def test_an_error_that_pops_up_is_broken_into_lines(empty_file, about, monkeypatch):
    monkeypatch.setattr(reporting, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    operator = Operator(steps((Error(code=3, what="All 3 shots were refused.", shots=SHOTS),)))
    operator.options, current_run.current().subject = SimpleNamespace(is_invoke=True), about
    while operator.modal(context(), TICK) == {"PASS_THROUGH"}:
        pass
    ((kind, text),) = operator.reports
    lines = text.split(" \n")  # the status bar leaves line breaks out, and words apart only where there is a space
    assert kind == "ERROR" and max(map(len, lines)) <= 80 and not any("\n" in line for line in lines)
    if about:  # the panel shows the shots, of this clip
        assert lines == ["All 3 shots were refused.", "The tab Fathom has the reason of each."]
    else:
        assert text.count("Frames 11-20: Nothing") == 1 and " ".join(text.split()).count(" ".join(LONG.split())) == 3


def test_errors_of_all_operators_are_broken_into_lines_where_they_pop_up(empty_file, monkeypatch):
    monkeypatch.setattr(reporting, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    for cls in (
        depths.FATHOM_OT_load_depth,
        build.FATHOM_OT_build_depth_mesh,
        compositing.FATHOM_OT_add_compositing_fog,
    ):
        reports = []
        operator = SimpleNamespace(
            directory="/depth/" + "a_long_name/" * 40,
            frame_offset=0,
            options=SimpleNamespace(is_invoke=True),
            report=lambda kind, text, reports=reports: reports.append(text),
            _load=lambda _scene: depth.load("/depth/" + "a_long_name/" * 40),
        )
        assert cls.execute(operator, bpy.context) == {"CANCELLED"}
        (text,) = reports
        assert len(text.splitlines()) > 5 and max(map(len, text.splitlines())) <= 80
        operator.options = SimpleNamespace(is_invoke=False)
        assert cls.execute(operator, bpy.context) == {"CANCELLED"}
        assert len(reports[1].splitlines()) == 1


def test_a_script_gets_an_error_as_it_is(empty_file):
    operator = Operator(steps((Error(code=3, what="All 3 shots were refused.", shots=SHOTS),)))
    while operator.modal(context(), TICK) == {"PASS_THROUGH"}:
        pass
    assert operator.reports == [
        ("ERROR", "\n".join(["All 3 shots were refused.", *(f"{shot.frames}: {LONG}" for shot in SHOTS)]))
    ]


def test_shots_without_depth_are_reported_beside_the_others(empty_file):
    warning = Warning(
        message="Frames 1-10 were refused: No.", shot=ShotNote(first_frame=1, last_frame=10, reason="No.")
    )
    operator = Operator(steps((warning, Done(folder="", frames=5, seconds=1.0))))
    while operator.modal(context(), TICK) == {"PASS_THROUGH"}:
        pass
    assert operator.reports == [("WARNING", "No depth for frames 1-10: No.")] and operator.finished == 1


def test_it_runs_in_a_window_that_lasts():
    """The preferences' window is closed as soon as the artist has pressed Install Dependencies in it."""
    main, second, passing = (
        SimpleNamespace(screen=SimpleNamespace(is_temporary=passes)) for passes in (False, False, True)
    )
    manager = SimpleNamespace(windows=[passing, main, second])
    for pressed_in, runs_in in ((main, main), (second, second), (passing, main)):
        pressed = SimpleNamespace(window=pressed_in, window_manager=manager)
        assert modal_run._lasting_window(pressed) is runs_in
    assert (
        modal_run._lasting_window(SimpleNamespace(window=passing, window_manager=SimpleNamespace(windows=[])))
        is passing
    )


def test_a_closed_window_ends_the_run(empty_file):
    operator = Operator(steps((), ()))
    operator.modal(context(), TICK)
    operator.cancel(context())
    assert current_run.current() is None


def test_opening_another_file_ends_the_worker(worker, clip, tmp_path, empty_file):
    settings = Settings(estimator="running_mean", parameters={"pause": 60.0})
    job, place = estimation.prepare(source.from_file(clip / "plate.1001.png"), settings, root=tmp_path)
    operator = Operator(client.estimate(job, python=worker))
    while not (place.folder / "disparity.1001.exr").exists():
        operator.modal(context(), TICK)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert current_run.current() is None
    assert not (place.folder / ".fathom" / "lock").exists()  # gone, not just left alone
    assert operator.modal(context(), TICK) == {"CANCELLED"}


def test_cancelled_half_way_the_next_run_goes_on_from_there(worker, clip, tmp_path, empty_file):
    settings = Settings(estimator="running_mean", parameters={"pause": 0.3})
    job, place = estimation.prepare(source.from_file(clip / "plate.1001.png"), settings, root=tmp_path)
    operator = Operator(client.estimate(job, python=worker))
    while not (place.folder / "disparity.1002.exr").exists():
        operator.modal(context(), TICK)
    operator.modal(context(), ESCAPE)
    while operator.modal(context(), TICK) == {"PASS_THROUGH"}:
        pass
    kept = (place.folder / "disparity.1001.exr").stat().st_mtime_ns
    assert not (place.folder / "depth.json").exists() and not operator.finished
    assert 0.1 < depth_sequence.unfinished_progress(place.folder) < 0.9, "for the button that resumes"
    bpy.ops.fathom.estimate_video_depth(
        filepath=str(clip / "plate.1001.png"),
        output=str(tmp_path),
        estimator="running_mean",
        parameters='{"pause": 0.3}',
    )
    assert (place.folder / "depth.json").exists()
    assert (place.folder / "disparity.1001.exr").stat().st_mtime_ns == kept


def test_a_file_is_opened_before_there_is_a_window(monkeypatch):
    monkeypatch.setattr(modal_run, "bpy", None)  # Blender crashes where anything is written into its status bar then
    modal_run.end()


def test_an_endless_error_does_not_hold_blender_up(empty_file, monkeypatch):
    monkeypatch.setattr(reporting, "bpy", SimpleNamespace(app=SimpleNamespace(background=False)))
    for is_invoke in (True, False):
        reports = []
        operator = SimpleNamespace(
            options=SimpleNamespace(is_invoke=is_invoke),
            report=lambda kind, text, reports=reports: reports.append(text),
        )
        begun = time.monotonic()
        reporting.report_error(operator, "y" * 6_000_000)
        assert time.monotonic() - begun < 2.0 and len(reports[0]) < 5000
