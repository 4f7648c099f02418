"""The camera solve in a child process, so that it can be cancelled at any moment.

COLMAP's calls cannot be interrupted. The parent waits in `solve_apart`, which checks every tenth of a second whether
the run was cancelled; the child (this file run as a program) exits by itself when its parent is gone. COLMAP's output
goes to a file, so that it does not mix with the progress, and from there to the log if the child fails.

Only a reason that the child wrote to its file is about the shot (`SolveError`). A child that is killed, crashes, hangs
or leaves no readable result is a `Failure` of the run, which may succeed next time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":  # run by path in isolated mode: make the folder of the package importable
    _INFERENCE = Path(__file__).resolve().parents[2]
    sys.path[0:1] = [str(_INFERENCE.parent)]
    __package__ = f"{_INFERENCE.name}.estimators.parallax"

import numpy as np
import psutil
from tqdm import tqdm

from ...common.failures import Failure
from ...common.files import load_arrays, save_arrays
from ...common.parent_watch import end_with_parent
from ...contract import exit_codes, own_files, records
from ...contract.hints import setting
from . import SOLVE_FILES
from .lens import Lens, SolveError
from .tracks import Tracks
from .view import Views, load_views

_POLL = 0.1
_UNSOLVED, _NO_MEMORY = 20, 21  # exit codes: the reason is in the folder; out of memory
_LONGEST_REASON = 2000
_LEAST_ROOM = 1 << 20  # free bytes below which a full disk is the reason of a failure
_ANSWER, _REASON, _TASK, _TRACKS, _LOG = "views.npz", "reason.txt", "task.json", "tracks.npz", "log.txt"


def solve_apart(
    tracks: Tracks, lens: Lens, *, seed: int, folder: Path, check: Callable[[], None], limit: float
) -> Views:
    """`solve.solve` in a child process.

    Parameters
    ----------
    tracks, lens, seed
        As for `solve.solve`.
    folder : Path
        For the files exchanged between the two processes; removed at the end.
    check : callable
        Called every tenth of a second; when it raises, the child is killed.
    limit : float
        Seconds of processor time, since a busy computer is no reason to give up; also the longest time without any.

    Raises
    ------
    SolveError
        The camera cannot be solved, with the reason.
    Failure
        FAILED: the child ended in another way.
    MemoryError, OSError
        The child ran out of memory; the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _solved_apart(tracks, lens, seed=seed, folder=folder, check=check, limit=limit)
    finally:
        _empty(folder)


def _solved_apart(
    tracks: Tracks, lens: Lens, *, seed: int, folder: Path, check: Callable[[], None], limit: float
) -> Views:
    save_arrays(folder / _TRACKS, starts=tracks.starts, ids=tracks.ids, xy=tracks.xy)
    (folder / _TASK).write_text(json.dumps({"lens": asdict(lens), "seed": seed}), encoding="utf-8")
    command = [sys.executable, "-I", "-B", "-u", __file__, str(folder)]
    with open(folder / _LOG, "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    spent, moved = 0.0, time.monotonic()
    try:
        while child.poll() is None:
            check()
            before, spent = spent, max(spent, _processor_time(child.pid))
            now = time.monotonic()
            moved = now if spent > before else moved
            if max(spent, now - moved) > limit:
                raise Failure(
                    exit_codes.FAILED,
                    f"The camera solve did not finish within {limit:.0f} seconds.",
                    hint=f"Choose a smaller {setting('size')} or fewer {setting('frames')}; "
                    "or start the same job again, which resumes it.",
                )
            time.sleep(_POLL)
    finally:
        child.kill()
        child.wait()
        if child.stdin is not None:
            child.stdin.close()
    if child.returncode == _UNSOLVED and (error := _unsolved(folder, len(tracks))):
        raise error
    if child.returncode == 0 and (views := _answer(folder, len(tracks))):
        return views
    check()  # a signal that also ended the child is the request to stop, not a failure
    tqdm.write((folder / _LOG).read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
    raise _failed(child.returncode, folder)


def _processor_time(process: int) -> float:
    """Seconds that a process has computed; 0 where it has just ended."""
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(process).cpu_times()
        return float(times.user + times.system)
    return 0.0


def _unsolved(folder: Path, count: int) -> SolveError | None:
    """The child's reason why the camera of `count` frames cannot be solved; None where it left none.

    Its second line, where there is one, has the first and last frame that were solved.
    """
    try:
        text, _, rest = (folder / _REASON).read_text(encoding="utf-8").strip().partition("\n")
        solved = [int(each) for each in rest.split()]
    except (OSError, ValueError):
        return None
    if not 0 < len(text) <= _LONGEST_REASON:
        return None
    has_part = len(solved) == 2 and 0 <= solved[0] <= solved[1] < count
    return SolveError(text, solved=(solved[0], solved[1]) if has_part else None)


def _answer(folder: Path, count: int) -> Views | None:
    """The child's result for `count` frames; None where it is missing or unreadable."""
    try:
        views = load_views(folder / _ANSWER)
        poses, points, seen = views.world_to_camera, views.points, views.seen
        whole = (
            poses.shape == (count, 3, 4)
            and points.ndim == seen.ndim == 2
            and (points.shape[1], seen.shape[1]) == (3, 2)
            and np.isfinite(poses).all()
            and np.isfinite(points).all()
            and np.isfinite(views.focal)
            and np.all((seen >= 0) & (seen < [count, len(points)]))
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return views if whole else None


def _failed(code: int, folder: Path) -> Exception:
    """The error for a child without result or reason, by its exit code."""
    if code == _NO_MEMORY:
        return MemoryError("the camera solve")
    if shutil.disk_usage(folder).free < _LEAST_ROOM:
        return OSError(errno.ENOSPC, "no room for the camera solve", str(folder))
    if code in (0, _UNSOLVED):
        how, memory = "ended without a readable result", False
    else:
        how, memory = exit_codes.ending(code)
    again = "start the same job again, which resumes it"
    hint = f"Close other programs or choose a smaller {setting('size')}, and {again}." if memory else ""
    return Failure(
        exit_codes.FAILED,
        f"The camera solve {how}.",
        hint=hint or f"The log has the details; {again}.",
    )


def _empty(folder: Path) -> None:
    """Delete the files of a solve, and the folder if it is then empty."""
    with contextlib.suppress(OSError):
        own_files.clear(folder, own_files.Names(SOLVE_FILES))
        folder.rmdir()


def _child(folder: Path) -> int:
    import pycolmap  # here and not above: see `lens`

    from .solve import solve

    task = json.loads((folder / _TASK).read_text(encoding="utf-8"))
    lens = records.from_json(Lens, task["lens"], where="lens", strict=True)
    tracks = Tracks(**load_arrays(folder / _TRACKS))
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    try:
        views = solve(tracks, lens, seed=task["seed"], folder=folder)
    except SolveError as error:
        solved = "" if error.solved is None else "\n{} {}".format(*error.solved)
        (folder / _REASON).write_text(str(error) + solved, encoding="utf-8")
        return _UNSOLVED
    except MemoryError:  # also what COLMAP's std::bad_alloc becomes
        traceback.print_exc()
        return _NO_MEMORY
    views.save(folder / _ANSWER)
    return 0


if __name__ == "__main__":
    end_with_parent(sys.stdin.buffer)
    raise SystemExit(_child(Path(sys.argv[1])))
