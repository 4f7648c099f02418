"""The camera solve in a process of its own, so that it can be ended at any moment.

COLMAP's calls cannot be interrupted. The parent waits with `solve_apart`, which looks every tenth of a second whether
the run was cancelled; the child (this file run as a program) ends by itself when its parent is gone. What COLMAP prints
goes to a file, so that it does not run through the progress, and from there to the log where the child breaks off.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":  # run by path in isolated mode: make the folder of the package importable
    _INFERENCE = Path(__file__).resolve().parents[2]
    sys.path[0:1] = [str(_INFERENCE.parent)]
    __package__ = f"{_INFERENCE.name}.estimators.parallax"

import numpy as np
from tqdm import tqdm

from ... import records
from ...guard import end_with_parent
from .lens import Lens, SolveError
from .tracks import Tracks
from .view import Views, load_views, save_arrays

_POLL = 0.1
_UNSOLVED = 20  # exit code: the reason stands in the folder
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
        Emptied and used for what passes between the two; removed at the end.
    check : callable
        Called every tenth of a second; when it raises, the child is killed.
    limit : float
        Seconds after which the solve counts as failed.

    Raises
    ------
    SolveError
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_arrays(folder / _TRACKS, starts=tracks.starts, ids=tracks.ids, xy=tracks.xy)
    (folder / _TASK).write_text(json.dumps({"lens": asdict(lens), "seed": seed}), encoding="utf-8")
    command = [sys.executable, "-I", "-B", "-u", __file__, str(folder)]
    with open(folder / _LOG, "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    start = time.monotonic()
    try:
        while child.poll() is None:
            check()
            if time.monotonic() - start > limit:
                raise SolveError(f"The camera solve found no answer within {limit:.0f} seconds.")
            time.sleep(_POLL)
    finally:
        child.kill()
        child.wait()
        if child.stdin is not None:
            child.stdin.close()
    if child.returncode == _UNSOLVED:
        raise SolveError((folder / _REASON).read_text(encoding="utf-8"))
    if child.returncode != 0:
        check()  # a signal that reached the child as well is the request to stop, and no failure
        tqdm.write((folder / _LOG).read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
        raise SolveError(f"The camera solve broke off (exit code {child.returncode}); the log has the details.")
    views = load_views(folder / _ANSWER)
    shutil.rmtree(folder, ignore_errors=True)
    return views


def _child(folder: Path) -> int:
    import pycolmap  # here and not above: see `lens`

    from .solve import solve

    task = json.loads((folder / _TASK).read_text(encoding="utf-8"))
    lens = records.from_json(Lens, task["lens"], where="lens", strict=True)
    with np.load(folder / _TRACKS) as data:
        tracks = Tracks(data["starts"], data["ids"], data["xy"])
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)
    try:
        views = solve(tracks, lens, seed=task["seed"], folder=folder)
    except SolveError as error:
        (folder / _REASON).write_text(str(error), encoding="utf-8")
        return _UNSOLVED
    views.save(folder / _ANSWER)
    return 0


if __name__ == "__main__":
    end_with_parent(sys.stdin.buffer)
    raise SystemExit(_child(Path(sys.argv[1])))
