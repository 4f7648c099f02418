"""Run an installation tool in steps: its output becomes a log and events. Standard library only."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Generator, Iterable
from pathlib import Path

from .events import Event, Progress, Stage
from .installer import CHECKING

_WAIT = 0.02
"""Seconds that one step waits for output, so that the caller's loop needs no sleep."""


def run(
    command: list[str | Path], log: Path, variables: dict[str, str], *, first: str, done: int, total: int
) -> Generator[tuple[Event, ...], bool | None, tuple[int | None, int]]:
    """Run a tool that ends when its standard input closes; the processes that it starts end with it.

    Parameters
    ----------
    command : list of str or Path
    log : Path
        Its output is appended here.
    variables : dict of str to str
        Its environment variables.
    first : str
        Prefix of the labels.
    done, total : int
        Progress of the whole installation so far.

    Yields
    ------
    tuple of Event
        As in `environment_setup.create`; sending True ends the tool.

    Returns
    -------
    code : int or None
        The exit code; None if cancelled.
    done : int
        Progress of the whole installation.

    Raises
    ------
    OSError
        The tool cannot be started, or the log cannot be written.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=variables,
        start_new_session=os.name != "nt",
        creationflags=0x08000200 if os.name == "nt" else 0,  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    try:
        with open(log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"$ {' '.join(map(str, command))}\n")
            ended = False
            while not ended:
                events: list[Event] = []
                for line in _drain(lines):
                    if line is None:
                        ended = True
                        break
                    file.write(line)
                    label = _label(line)
                    if label:
                        events.append(Stage(name="environment", label=f"{first}: {label}"))
                    if line.startswith(("Collecting ", "Processing ", CHECKING)):
                        done = min(done + 1, total - 1)
                        events.append(Progress(done=done, total=total))
                if (yield tuple(events)):
                    return None, done
        return process.wait(), done
    finally:
        _end(process)


def _label(line: str) -> str:
    """A label for the current step from a line of the tool's output; empty if it names none."""
    if line.startswith(("Collecting ", "Processing ")):
        return Path(line.split()[1]).name
    if line.startswith("Installing collected"):
        return "unpacking"
    return line.strip() if line.startswith((CHECKING, "PyTorch ")) else ""


def _pump(stream: Iterable[str] | None, lines: queue.Queue[str | None]) -> None:
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _drain(lines: queue.Queue[str | None]) -> list[str | None]:
    """The new lines; waits a moment for the first."""
    found = []
    try:
        found.append(lines.get(timeout=_WAIT))
        while True:
            found.append(lines.get_nowait())
    except queue.Empty:
        return found


def _end(process: subprocess.Popen[str]) -> None:
    """End a tool and the processes that it started, which may outlive it, for example if memory ran out.

    On Windows those end with it (see `parent_watch`).
    """
    if os.name != "nt":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # none left (macOS: none running)
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
