"""Merge the chunks of a plan into the depth sequence, whose ``depth.json`` is written last."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..common.failures import Failure
from ..contract import depth_sequence, events, exit_codes
from ..contract.depth_sequence import DepthSequence
from ..contract.hints import setting
from ..run import output, runner, shots
from . import planning
from .chunks import Note, as_ranges, forget, in_words, is_damaged, note_of, require_own
from .planning import Plan


def merge(
    folder: Path,
    *,
    emit: Callable[[events.Event], None],
    cancelled: Callable[[], bool] = lambda: False,
    clip: str | None = None,
    mattes: str | None = None,
) -> DepthSequence:
    """Complete the depth sequence of a planned folder; one that is complete already is returned as it is.

    Parameters
    ----------
    folder : Path
    emit, cancelled
        As for `runner.estimate`.
    clip, mattes : str or None
        As for `planning.load`.

    Raises
    ------
    Failure
        INCOMPLETE: chunks are missing or damaged; the message lists them. BAD_CLIP: the clip is not the one that was
        planned. USAGE: there is no plan. Otherwise as for `runner.estimate`.
    """
    folder = folder.absolute()
    if planning.is_merged(folder):
        if not output.conclude(folder):
            what = f"Depth maps in {folder} were removed while its result was completed."
            raise Failure(exit_codes.FAILED, what, hint="Plan again.")
        return depth_sequence.load(folder)
    plan, written = planning.load(folder, clip=clip, mattes=mattes), planning.load(folder)
    require_own(folder)
    planning.require_work(folder, plan)
    try:
        notes = _notes(folder, plan)
    except Failure:
        if not planning.is_merged(folder):
            raise
        return merge(folder, emit=emit, cancelled=cancelled)  # another computer has merged them meanwhile
    planning.check_clip(plan)
    with runner.opened(
        plan.job, emit=emit, cancelled=cancelled, overwrite=plan.overwrite, provenance=plan.provenance
    ) as run:
        done = _shots(run, plan, notes)
        run.task.out.count_seconds(sum(note.seconds for note in notes.values()))
        run.read.check()
        # the plate is where the job says, whatever this computer calls the disk
        source = replace(run.source, path=os.path.abspath(written.job.source.path))  # noqa: PTH100  keeps links
        return runner.finish(replace(run, source=source), done)


def _notes(folder: Path, plan: Plan) -> dict[int, Note]:
    """The notes of all chunks; a `Failure` (INCOMPLETE) where chunks are missing or damaged."""
    notes = {number: note for number in range(len(plan.chunks)) if (note := note_of(folder, plan, number))}
    finished = {plan.chunks[number].first_frame for number, note in notes.items() if note.shots}
    missing = [number for number in range(len(plan.chunks)) if number not in notes]
    # once a shot is finished, nothing is read any more of what its earlier chunks left
    checked = [number for number in notes if plan.chunks[number].first_frame not in finished]
    damaged = [number for number in checked if is_damaged(folder, notes[number])]
    _require(folder, plan, missing, damaged)
    return notes


def _require(folder: Path, plan: Plan, missing: list[int], damaged: list[int]) -> None:
    for number in damaged:
        forget(folder, number)
    if not missing and not damaged:
        return
    parts = []
    if missing:
        parts.append(f"{in_words(missing)} of {len(plan.chunks)} {'is' if len(missing) == 1 else 'are'} missing")
    if damaged:
        parts.append(f"{in_words(damaged)} {'is' if len(damaged) == 1 else 'are'} damaged")
    what = " and ".join(parts)
    raise Failure(
        exit_codes.INCOMPLETE,
        f"{what[0].upper()}{what[1:]} in {folder}.",
        hint=f"Do {'it' if len(missing + damaged) == 1 else 'them'} "
        f"({setting('chunks', as_ranges(sorted(missing + damaged)))}), "
        "and merge again.",
    )


def _shots(run: runner.Run, plan: Plan, notes: dict[int, Note]) -> tuple[depth_sequence.Shot, ...]:
    """All shots of the clip, with sound maps; warnings that their chunks gave are given again."""
    out, folder, prepared = run.task.out, run.task.out.folder, runner.prepare(run)
    finishing = {
        (plan.chunks[number].first_frame, plan.chunks[number].last_frame): number
        for number, note in notes.items()
        if note.shots
    }
    for number in sorted(finishing.values()):
        out.keep(*notes[number].shots)
    found: list[depth_sequence.Shot] = []
    damaged: list[int] = []
    for index, (first, last) in enumerate(prepared.shots):
        chunk, label = finishing.get((first, last)), prepared.label(index)
        out.meter.begin((last - first + 1) * run.task.work)
        if chunk is None:
            # one without depth, which takes no work
            made = shots.run_shot(run.task, prepared, first, last, label=label)
            out.keep(*made)
        elif (kept := out.finished_shots(first, last, check=run.task.check)) is not None:
            made = kept
        else:
            damaged.append(chunk)
            _drop_damaged_maps(run, first, last)
            continue
        out.meter.frames_done(sum(shot.last_frame - shot.first_frame + 1 for shot in made if shot.status == "done"))
        runner.warn_of_skipped(made, label, out.emit)
        found.extend(made)
    _require(folder, plan, [], damaged)
    for message in dict.fromkeys(message for _, note in sorted(notes.items()) for message in note.warnings):
        out.emit(events.Warning(message=message))
    devices = {note.device for note in notes.values()}
    if len(devices) > 1:
        out.emit(
            events.Warning(
                message=f"The chunks were done on different devices ({', '.join(sorted(devices))}), so the result may "
                "differ in its last digits from that of one computer."
            )
        )
    return tuple(found)


def _drop_damaged_maps(run: runner.Run, first: int, last: int) -> None:
    """Delete the maps of a shot that are damaged, so that its last chunk makes them again."""
    from ..run.shot_maps import ShotMaps

    width, height = run.task.plate if run.task.job.full_size else run.size
    ShotMaps(
        run.task.out, run.task.out.maps, range(first, last + 1), (width, height),
        confidence=run.task.info.has_confidence, check=run.task.check,
    )  # fmt: skip
