"""Putting a new result in an old one's place, killed at any point of it."""

import os
from pathlib import Path

import numpy as np
import pytest

from inference.common import lock
from inference.common.failures import Failure
from inference.contract import depth_sequence
from inference.contract.depth_sequence import DepthSequence, Range, Shot, confidence_name, disparity_name
from inference.contract.job import Source
from inference.media.exr import write_map
from inference.run import output


def _sequence(first: int, last: int, fingerprint: str, *, confidence: str | None = "c") -> DepthSequence:
    shot = Shot(
        first_frame=first, last_frame=last, status="done", range=Range(minimum=0.0, maximum=1.0, p1=0.1, p99=0.9)
    )
    return DepthSequence(
        source=Source(kind="movie", path="/clip.mov"),
        first_frame=first,
        last_frame=last,
        width=4,
        height=4,
        quantity="inverse_depth",
        shots=(shot,),
        estimator="e",
        fingerprint=fingerprint,
        confidence=confidence,
    )


def _opened(folder: Path, frames, key="k", *, overwrite=False):
    new = output.State(key=key, fingerprint=key, first_frame=frames[0], last_frame=frames[1])
    return output.opened(folder, new, size=(4, 4), confidence=True, overwrite=overwrite, emit=lambda event: None)


def _fill(out: output.Output, frames, text: str, *, confidence=True):
    for number in range(frames[0], frames[1] + 1):
        (out.maps / disparity_name(number)).write_text(text)
        if confidence:
            (out.maps / confidence_name(number)).write_text(text)


class Killed(BaseException):
    """Stands for a kill: no clean-up code may count on running."""


@pytest.mark.parametrize("steps", range(14))
def test_publishing_over_an_old_result_can_be_killed_at_any_step(tmp_path, monkeypatch, steps):
    with _opened(tmp_path, (1, 6), "old") as out:
        _fill(out, (1, 6), "old")
        out.publish(_sequence(1, 6, "old"))
    (tmp_path / "mine.exr").write_text("mine")

    left = steps

    def counted(function):
        def call(*arguments, **options):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return function(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            with _opened(tmp_path, (4, 8), "new", overwrite=True) as out:
                _fill(out, (4, 8), "new", confidence=False)
                out.publish(_sequence(4, 8, "new", confidence=None))
        except Killed:
            pass
    (tmp_path / ".fathom" / "lock").unlink(missing_ok=True)  # that of a killed run is stale
    with _opened(tmp_path, (4, 8), "new", overwrite=True) as out:
        if not (tmp_path / "depth.json").exists() or depth_sequence.load(tmp_path).fingerprint == "old":
            _fill(out, (4, 8), "new", confidence=False)
            out.publish(_sequence(4, 8, "new", confidence=None))
    assert depth_sequence.load(tmp_path).fingerprint == "new"
    maps = {path.name: path.read_text() for path in tmp_path.glob("*.exr")}
    assert maps == {"mine.exr": "mine", **{disparity_name(n): "new" for n in range(4, 9)}}


def test_a_result_that_was_finished_but_not_tidied_up_counts_as_finished(tmp_path):
    with _opened(tmp_path, (1, 2)) as out:
        _fill(out, (1, 2), "x")
        depth_sequence.save(_sequence(1, 2, "k"), tmp_path)  # killed right after
    with pytest.raises(Failure, match="the same job"), _opened(tmp_path, (1, 2)):
        pass
    assert not (tmp_path / ".fathom").exists()


def test_remains_of_another_job_are_cleared_even_if_that_was_broken_off(tmp_path):
    with _opened(tmp_path, (1, 4), "one") as out:
        _fill(out, (1, 4), "one")
    # killed in the middle of clearing: the state says that nothing in it can be used
    current = output.read_state(tmp_path / ".fathom")
    output.write_state(
        output.State(key="", first_frame=current.first_frame, last_frame=current.last_frame), out.scratch
    )
    (tmp_path / disparity_name(1)).unlink()
    with _opened(tmp_path, (1, 4), "one") as out:
        assert list(tmp_path.glob("*.exr")) == []
        assert out.state.key == "one"


def test_what_a_state_that_cannot_be_read_leaves_is_not_resumed(tmp_path):
    """Nobody can tell which job it is of."""
    kept = ("clip/frames.u8", "low/disparity.0001.exr", "shot.0001-0002/views.npz", "new/disparity.0002.exr")
    with _opened(tmp_path, (1, 2)) as out:
        for name in (*kept, "theirs.txt"):
            (out.scratch / name).parent.mkdir(exist_ok=True)
            (out.scratch / name).write_text("of another clip")
        (out.scratch / "state.json").write_text("{")
    with _opened(tmp_path, (1, 2)) as out:
        assert sorted(path.name for path in out.scratch.iterdir()) == ["lock", "state.json", "theirs.txt"]


@pytest.mark.parametrize("damage", ["gone", "cut", "other size", "not finite"])
def test_a_shot_is_finished_as_long_as_its_maps_are_whole(tmp_path, damage):
    (shot,) = _sequence(1, 3, "k").shots
    refused = Shot(first_frame=4, last_frame=5, status="refused", reason="It is black.")
    with _opened(tmp_path, (1, 5)) as out:
        for name in (each(number) for number in (1, 2, 3) for each in (disparity_name, confidence_name)):
            write_map(tmp_path / name, np.ones((4, 4)))
        out.keep(shot)
        out.keep(refused)

    def finished(first, last):
        return out.finished_shots(first, last, check=lambda: None)

    with _opened(tmp_path, (1, 5)) as out:
        assert (finished(1, 3), finished(4, 5), finished(1, 2)) == ((shot,), (refused,), None)
        assert (finished(1, 5), finished(2, 5)) == ((shot, refused), None), "parts of one shot, or none"
        damaged = tmp_path / confidence_name(2)
        if damage == "gone":
            damaged.unlink()
        elif damage == "cut":
            damaged.write_bytes(damaged.read_bytes()[:60])
        else:
            write_map(damaged, np.full((4, 4), np.nan) if damage == "not finite" else np.ones((4, 5)))
        assert (finished(1, 3), finished(4, 5), finished(1, 5)) == (None, (refused,), None)


def test_shots_that_are_finished_in_no_time_are_kept_whatever_a_run_ends_by(tmp_path):
    shots = [Shot(first_frame=number, last_frame=number, status="refused", reason="It is black.") for number in (1, 2)]
    with pytest.raises(ZeroDivisionError), _opened(tmp_path, (1, 2)) as out:
        for shot in reversed(shots):
            out.keep(shot)
        raise ZeroDivisionError
    with _opened(tmp_path, (1, 2)) as out:
        assert list(out.state.shots) == shots
        out.keep(shots[1])
        out.abandon()
    assert not (tmp_path / ".fathom").exists()


def test_the_room_that_is_needed_is_that_of_uncompressed_maps_until_one_is_written(tmp_path):
    with _opened(tmp_path, (1, 5)) as out:
        assert out.needed_bytes() == 5 * 2 * 4 * 4 * 4
        out.wrote(100)
        out.wrote(50)
        assert out.needed_bytes() == 3 * 75


def test_time_and_share_add_up_over_runs(tmp_path):
    for run in (1, 2, 3):
        with _opened(tmp_path, (1, 5)) as out:
            out.meter.plan(10)
            out.meter.begin(10)
            out.meter.part(0.4 if run == 1 else 0.1)
            out.keep(Shot(first_frame=run, last_frame=run, status="refused", reason="It is black."))
            assert out.state.share == depth_sequence.unfinished_progress(tmp_path) == 0.4, "it runs not backwards"
            assert out.state.seconds < out.seconds()
    assert len(out.state.shots) == 3


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    with _opened(tmp_path, (1, 2)) as out:
        (out.scratch / ".tmp-1-disparity.0001.exr").write_text("half")
        output.write_state(out.state, out.scratch)
    with _opened(tmp_path, (1, 2)) as out:
        assert list(out.scratch.glob(".tmp-*")) == []


def test_a_result_that_is_complete_has_no_state_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_SAVED_EVERY", -1.0)
    with _opened(tmp_path, (1, 2)) as out:
        out.meter.plan(2)
        out.meter.begin(2)
        _fill(out, (1, 2), "x")
        out.publish(_sequence(1, 2, "k"))
        out.meter.finish()
    assert not (tmp_path / ".fathom").exists()


def test_the_lock_is_given_back_whatever_happens(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), _opened(tmp_path, (1, 2)):
            raise ZeroDivisionError
    assert not (tmp_path / ".fathom" / lock.NAME).exists()
