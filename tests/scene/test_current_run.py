"""A run is followed, cancelled and ended in the same way whatever gives its events."""

import pytest
from bl_ext.dev.fathom.inference.contract.environment_setup import SetupError
from bl_ext.dev.fathom.inference.contract.events import Done, Error, Progress, Stage, Warning
from bl_ext.dev.fathom.scene import current_run


@pytest.fixture(autouse=True)
def _nothing_goes_on():
    current_run.end_current()
    yield
    current_run.end_current()


def steps(*batches, ended=None):
    """A generator as the client's: one batch a step; when cancelled it gives an Error and ends."""
    try:
        for batch in batches:
            if (yield batch):
                yield (Error(code=130, what="Cancelled."),)
                return
    finally:
        if ended is not None:
            ended.append(True)


def advance_all(run):
    while run.outcome == "running":
        run.advance()


def test_a_run_tells_stage_progress_and_warnings():
    batches = [
        (),
        (Stage(name="solve", label="Solving the camera"),),
        (
            Progress(done=1, total=4, frames=30, frames_total=120, seconds_left=80),
            Warning(message="A shot was refused."),
        ),
        (Done(folder="/depth", frames=120, seconds=3.0),),
    ]
    run = current_run.start("Estimating", steps(*batches))
    for _ in range(3):
        run.advance()
    assert (run.label, run.progress.fraction, run.warnings) == ("Solving the camera", 0.25, ["A shot was refused."])
    assert run.summary == "30 of 120 frames, 1 min 20 s left"
    advance_all(run)
    assert run.outcome == "done"


def test_the_generator_is_followed_to_its_end():
    ended = []
    run = current_run.start("Estimating", steps((Done(folder="", frames=1, seconds=0),), ended=ended))
    run.advance()
    assert run.outcome == "running" and not ended  # the process may still be leaving
    run.advance()
    assert run.outcome == "done" and ended


def test_an_error_is_kept():
    run = current_run.start("Estimating", steps((Error(code=1, what="It broke.", hint="Mend it."),)))
    advance_all(run)
    assert (run.outcome, run.message) == ("failed", "It broke. Mend it.")


def test_an_exception_of_the_set_up_is_kept():
    def broken():
        yield ()
        raise SetupError("No network.")

    run = current_run.start("Setting up", broken())
    advance_all(run)
    assert (run.outcome, run.message) == ("failed", "No network.")


@pytest.mark.parametrize("before", [0, 1, 2])
def test_cancelling_ends_it_as_cancelled_whenever_it_comes(before):
    run = current_run.start("Estimating", steps((), (), ()))
    for _ in range(before):
        run.advance()
    run.cancel()
    assert run.summary == "Cancelling"
    advance_all(run)
    assert (run.outcome, run.message) == ("cancelled", "")


def test_what_was_done_before_the_cancel_came_is_done():
    run = current_run.start("Estimating", steps((), (Done(folder="", frames=1, seconds=0),)))
    run.advance()
    run.advance()
    run.cancel()
    advance_all(run)
    assert run.outcome == "done"


def test_one_at_a_time():
    ended = []
    run = current_run.start("Estimating a.mp4", steps((), (), ended=ended))
    with pytest.raises(current_run.Busy, match=r"Estimating a\.mp4 is running already"):
        current_run.start("Estimating b.mp4", steps())
    run.advance()
    current_run.end_current()
    assert ended and run.outcome == "cancelled" and current_run.current() is None and current_run.last() is run
    current_run.end(current_run.start("Estimating b.mp4", steps()))


def test_durations_are_for_people():
    assert [current_run.duration(s) for s in (0, 4.2, 60, 80, 3700)] == [
        "0 s",
        "5 s",
        "1 min 0 s",
        "1 min 20 s",
        "1 h 1 min",
    ]


def test_texts_and_lists_of_a_worker_are_bounded():
    batches = [(Warning(message="w" * 1_000_000),) * 3, (Warning(message="again"),) * 20_000]
    run = current_run.start("Estimating", steps(*batches, (Error(code=1, what="e" * 1_000_000),)))
    advance_all(run)
    assert len(run.warnings) == 10_000 and max(map(len, run.warnings)) < 21_000
    assert len(run.message) < 21_000
