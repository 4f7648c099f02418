"""Deadline 10's job and plugin info files of planned clips: a chain of jobs for each clip, all in one batch.

A phase is a job whose frames are the numbers of its chunks, so the artist may change its chunk size; each job of a
chain depends on the one before, by ``deadlinecommand -SubmitMultipleJobs -dependent``. The files' keys are those of the
manual (Manual Job Submission) and of the plugin CommandLine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.failures import Failure, unwritable
from ..contract import exit_codes, own_files
from ..contract.own_files import Names
from ..contract.untrusted import in_a_line
from . import bundles
from .bundles import Bundle, clip_of, labels_of, time_limit
from .planning import Plan

_NAMES = Names(("clip.##/##.job", "clip.##/##.plugin", "submit.txt"))
LIST = "submit.txt"
"""Each line has the files of a clip's jobs, as ``deadlinecommand`` takes them after its own name."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """A job of a chain; without chunks it has one task."""

    name: str
    arguments: tuple[str, ...]
    chunks: range = range(1)
    seconds: float = 0.0


def write(bundle: Bundle, folder: Path) -> Path:
    """Write a job's files, in the place of those of an earlier call; returns their folder.

    Raises
    ------
    Failure
        USAGE: a path has a quotation mark or a line break. BAD_OUTPUT: they cannot be written.
    """
    files: dict[str, str] = {}
    lines = []
    for number, (plan, label) in enumerate(zip(bundle.plans, labels_of(bundle.plans)), 1):
        pairs = []
        for place, work in enumerate(_chain(plan), 1):
            stem = f"clip.{number:02d}/{place:02d}"
            files[f"{stem}.job"] = _job(bundle, plan, label, work)
            files[f"{stem}.plugin"] = _plugin(bundle, work)
            pairs.append(f"-job {_quoted(f'{folder / stem}.job')} {_quoted(f'{folder / stem}.plugin')}")
        lines.append(f"-SubmitMultipleJobs -dependent {' '.join(pairs)}\n")
    files[LIST] = "".join(lines)
    try:
        if folder.is_dir():
            own_files.clear(folder, _NAMES)
    except OSError as error:
        raise unwritable(error, folder) from error
    return bundles.save(folder, files, main=LIST)


def chains(folder: Path) -> list[list[tuple[Path, Path]]]:
    """The job and plugin info files of a written bundle, clip by clip, in their order; other files are not the job's.

    The folder may be one with files of somebody else's, which no farm is to run.
    """
    found: dict[str, list[tuple[Path, Path]]] = {}
    for path in folder.glob("clip.*/*.job"):
        if _NAMES.has_file(path.relative_to(folder).parts) and own_files.is_file(path):
            found.setdefault(path.parent.name, []).append((path, path.with_suffix(".plugin")))
    return [sorted(found[clip]) for clip in sorted(found)]


def _chain(plan: Plan) -> Iterator[_Work]:
    """The jobs of a clip, in their order."""
    output, clip = _quoted(plan.job.output), _quoted(clip_of(plan))
    mattes = ("--mattes", _quoted(plan.job.mattes)) if plan.job.mattes else ()
    yield _Work(name="Check the plan", arguments=("plan", "--check", output, "--clip", clip, *mattes))
    for index, phase in enumerate(plan.phases):
        own = [number for number, chunk in enumerate(plan.chunks) if chunk.phase == index]
        yield _Work(
            name=phase.label,
            arguments=(
                *("estimate", clip, "--planned", output),
                *("--chunks", "<STARTFRAME>-<ENDFRAME>", *mattes),
            ),
            chunks=range(own[0], own[-1] + 1),
            seconds=max(plan.chunks[number].seconds for number in own),
        )
    yield _Work(name="Merge", arguments=("merge", output, "--clip", clip, *mattes))


def _job(bundle: Bundle, plan: Plan, label: str, work: _Work) -> str:
    first, last = work.chunks[0], work.chunks[-1]
    return _lines(
        ("Plugin", "CommandLine"),
        ("Name", f"{label}: {work.name}"),
        ("BatchName", bundle.name),
        ("Frames", str(first) if first == last else f"{first}-{last}"),
        ("ChunkSize", "1"),
        ("TaskTimeoutSeconds", str(time_limit(work.seconds))),
        ("OnTaskTimeout", "Error"),
        ("OutputDirectory0", _quoted(plan.job.output).strip('"')),
    )


def _plugin(bundle: Bundle, work: _Work) -> str:
    arguments = ("-I", "-u", _quoted(f"{bundle.fathom}/__main__.py"), *work.arguments)
    return _lines(
        ("Executable", _quoted(bundle.python).strip('"')),
        ("Arguments", " ".join(arguments)),
        ("Shell", "default"),
        ("ShellExecute", "False"),
    )


def _lines(*pairs: tuple[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in pairs)


def _quoted(path: str) -> str:
    """A path as one argument of a command line."""
    if any(mark in path for mark in '"<>') or not path.isprintable():  # <QUOTE> and its like are replaced
        what = f"{in_a_line(path)} has a quotation mark, < or > or a line break, which Deadline's files cannot have."
        raise Failure(exit_codes.USAGE, what, hint="Rename it.")
    return f'"{path}"'
