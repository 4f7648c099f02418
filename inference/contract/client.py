"""Start the worker and receive its events: one generator for operators, scripts and tests. Standard library only."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

from . import bounded_log, depth_sequence, environment, events, exit_codes, job, leftovers, own_files, refinement
from .depth_sequence import DepthSequence, DepthSequenceError
from .events import Event
from .export import Export
from .export import save as save_export
from .export import validate as validate_export
from .hints import setting
from .job import Job
from .leftovers import LOG
from .refinement import Refinement
from .untrusted import is_there

MAIN = Path(__file__).resolve().parents[1] / "__main__.py"
_WAIT = 0.02
"""Seconds that one step waits for events, so that the caller's loop needs no sleep."""
_ENDINGS = frozenset(range(1, exit_codes.MISSING + 1)) | {exit_codes.CANCELLED}
_GRACE = 0.7
"""Seconds from cancelling to killing; the worker's own watchdog (`run.stop.GRACE`) is faster."""
_MOST_AT_ONCE, _MOST_AT_THE_END = 500, 5000
"""Largest number of events per step, while the worker runs and after it has ended."""
_LONGEST_END = 30.0
"""Seconds after the worker's end during which what another process still writes to its pipe is read."""
_MOST_WAITING, _OF_AN_EVENT = 1 << 26, 500
"""Bytes of events that may wait while Blender is busy, and the overhead of each beside its text."""
_LONGEST_ANSWER = 60.0
"""Seconds that a `Question` may take: it reads no weights and no clip."""
_NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""On Windows, no console window opens for a process; elsewhere none does anyway."""
_DROPPED = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "__PYVENV_LAUNCHER__")

Steps = Generator[tuple[Event, ...], bool | None, None]


class WorkerError(RuntimeError):
    """A job that ended without a result; its message is the event's, unless one worded for its reader is given."""

    def __init__(self, event: events.Error, message: str | None = None) -> None:
        super().__init__(message or event.message)
        self.event = event


def estimate(wanted: Job, *, python: str | Path, overwrite: bool = False, home: str | Path | None = None) -> Steps:
    """Run a job in the worker and yield its events.

    Parameters
    ----------
    wanted : Job
    python : path
        The worker's Python (`environment.find_python`).
    overwrite : bool
        Whether a finished result in the output folder may be replaced.
    home : path or None
        Fathom's data folder (`environment.data_folder`), unless it is the worker's default.

    Yields
    ------
    tuple of Event
        The events since the last step, often none; a step takes at most 0.05 s. The last event is `Done` or
        `Error`; the worker and its children have ended by then.

    Send True to cancel: they end within a second, and finished work is saved. Closing the generator ends them too.
    """
    yield from _followed(_start("estimate", wanted, python=python, overwrite=overwrite, home=home))


def matte(wanted: Job, *, python: str | Path, overwrite: bool = False, home: str | Path | None = None) -> Steps:
    """Make mattes of the people in a job's clip in the worker, and yield its events, as `estimate` does.

    Of the job, the clip, its frames, cuts, size and output folder count. `overwrite`: whether mattes of these frames in
    the output folder may be replaced.
    """
    yield from _followed(_start("matte", wanted, python=python, overwrite=overwrite, home=home))


def plan(
    wanted: Job, *, python: str | Path, home: str | Path | None = None, chunk_seconds: float | None = None
) -> Steps:
    """Plan a job in chunks for a render farm, and yield the worker's events, as `estimate` does.

    `chunk_seconds` : what a chunk takes, about; None: the worker's choice.
    """
    more = () if chunk_seconds is None else ("--chunk-seconds", f"{chunk_seconds:g}")
    yield from _followed(_start("plan", wanted, python=python, overwrite=False, home=home, more=more))


def bundle(
    kind: Literal["openjd", "flamenco", "deadline"],
    planned: Sequence[str | Path],
    folder: str | Path,
    *,
    name: str = "",
    farm_python: str = "",
    farm_fathom: str = "",
    send: bool = False,
    manager: str = "",
    python: str | Path,
    home: str | Path,
) -> Steps:
    """Write planned jobs as one of a render farm's, and yield the worker's events, as `download` does.

    Parameters
    ----------
    kind : str
        The kind of farm.
    planned : sequence of path
        The output folders of plans.
    folder : path
        Becomes the bundle.
    name : str
        In the farm's list of jobs; empty: after the clips.
    farm_python, farm_fathom : str
        Python and the folder `inference` as the farm's computers know them; empty: those of this one.
    send : bool
        Whether the farm's client submits it.
    manager : str
        Address of the Flamenco Manager that gets it; empty: none.
    python, home : path
        As for `download`.
    """
    options = [part for each in planned for part in ("--planned", str(each))]
    values = (("--name", name), ("--farm-python", farm_python), ("--farm-fathom", farm_fathom), ("--manager", manager))
    options += [f"{option}={value}" for option, value in values if value]
    options += ["--send"] if send else []
    yield from _run_verb(["bundle", kind, "--bundle", str(folder), *options], Path(home) / "bundle.log", python, home)


def download(
    names: Sequence[str],
    *,
    licences: Sequence[str] = (),
    revisions: Mapping[str, str] | None = None,
    source: str | Path | None = None,
    offline: bool = False,
    python: str | Path,
    home: str | Path,
) -> Steps:
    """Download weights by name in the worker, which is quick if they are there already, and yield its events.

    Parameters
    ----------
    names : sequence of str
        As `contract.weights` lists them.
    licences : sequence of str
        Names of the licenses that the user has accepted.
    revisions : mapping or None
        Name of weights to a commit hash, or ``newest``, where Fathom fixes none.
    source : path or None
        A folder to copy from instead of the network.
    offline : bool
        Whether the network must not be touched.
    python, home : path
        As for `estimate`; `done` and `total` of progress are bytes, everything else is as there.
    """
    options = [part for licence in licences for part in ("--accept-license", licence)]
    options += [part for name, revision in (revisions or {}).items() for part in ("--revision", f"{name}={revision}")]
    options += [] if source is None else ["--from", str(source)]
    options += ["--offline"] if offline else []
    yield from _manage_weights("download", [*names, *options], python, home)


def verify(names: Sequence[str], *, python: str | Path, home: str | Path) -> Steps:
    """Read every byte of weights in the worker and compare them with their checksums; otherwise as `download`."""
    yield from _manage_weights("verify", names, python, home)


def export(wanted: Export, *, overwrite: bool = False, python: str | Path, home: str | Path) -> Steps:
    """Write an export in the worker and yield its events; otherwise as `download`.

    `overwrite`: whether files of the same names that are not of this export may be replaced.
    """
    save = partial(_saved, save_export, validate_export, wanted)
    yield from _run_record("export", "export", save, overwrite, python, home)


def refine(wanted: Refinement, *, overwrite: bool = False, python: str | Path, home: str | Path) -> Steps:
    """Refine a depth sequence in the worker and yield its events; otherwise as `download`.

    `overwrite`: whether a finished result in the output folder may be replaced.
    """
    save = partial(_saved, refinement.save, refinement.validate, wanted)
    yield from _run_record("refine", "refinement", save, overwrite, python, home)


def _saved(save: Callable[[Any, str], None], validate: Callable[[Any], Any], wanted: Any, name: str) -> None:
    save(validate(wanted), name)


def _run_record(  # noqa: PLR0917
    verb: str, what: str, save: Callable[[str], None], overwrite: bool, python: str | Path, home: str | Path
) -> Steps:
    """Run a verb of the worker that takes a record, `what` it is and `save` writes, by ``--job``."""
    try:
        name = _temporary(what, save)
    except job.JobError as error:
        yield (events.Error(code=error.code, what=str(error)),)
        return
    except OSError as error:
        yield (_no_temporary(what, error),)
        return
    try:
        options = ["--job", name, *(["--overwrite"] if overwrite else [])]
        yield from _run_verb([verb, *options], Path(home) / f"{verb}.log", python, home)
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _manage_weights(action: str, arguments: Sequence[str], python: str | Path, home: str | Path) -> Steps:
    """Run the worker's verb ``models``."""
    yield from _run_verb(["models", action, *arguments], Path(home) / f"{action}.log", python, home)


def _run_verb(arguments: Sequence[str], log: Path, python: str | Path, home: str | Path) -> Steps:
    """Run a verb of the worker whose log lies in the data folder."""
    found = _own_log(log, f"The data folder {home}", "Make room there, or choose another in Fathom's preferences.")
    if isinstance(found, events.Error):
        yield (found,)
        return
    log, errors = found
    try:
        process = _process(python, [*arguments, "--events", "--parent-pipe"], errors, home)
    except OSError as error:
        yield (_not_started(python, error),)
        return

    def tidy(*, keep_log: bool) -> None:
        if not keep_log:
            log.unlink(missing_ok=True)

    yield from _followed(_Worker(process, log, tidy, errors=errors))


def _followed(worker: _Worker | events.Error) -> Steps:
    """The events of a worker until it has ended; or why it could not be started."""
    if isinstance(worker, events.Error):
        yield (worker,)
        return
    ending: Event | None = None
    failed = False
    try:
        while not worker.is_over():
            received = worker.receive()
            ending = next((event for event in received if isinstance(event, (events.Done, events.Error))), ending)
            if (yield tuple(event for event in received if event is not ending)):
                worker.cancel()
        ending = ending or worker.exit_error()
        failed = isinstance(ending, events.Error) and ending.code == exit_codes.FAILED
    finally:
        worker.close(keep_log=failed)
    yield (ending,)


def run_blocking(
    wanted: Job,
    *,
    python: str | Path,
    on_event: Callable[[Event], None] = lambda event: None,
    overwrite: bool = False,
    home: str | Path | None = None,
) -> DepthSequence:
    """Run a job in the worker, as `estimate` does, and wait for its result, with the plate's path made absolute.

    `on_event` is called with every event, in the caller's thread.

    Raises
    ------
    WorkerError
        The job ended without a result; the message is for the artist.
    """
    last: Event | None = None
    with contextlib.closing(estimate(wanted, python=python, overwrite=overwrite, home=home)) as steps:
        for received in steps:
            for last in received:
                on_event(last)
    if isinstance(last, events.Error):
        raise WorkerError(last)
    try:
        return depth_sequence.load(wanted.output)
    except DepthSequenceError as error:  # somebody took it away
        raise WorkerError(events.Error(code=exit_codes.FAILED, what=str(error))) from error


class Question:
    """A verb of the worker's that prints an answer and ends, as a process whose standard output and error are pipes.

    A thread reads them: a full pipe would hold the worker up for ever, and on Windows a pipe is full with 4 KB.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._answer = 1, b"", b""
        self._thread = threading.Thread(target=self._read, name="fathom-answer", daemon=True)
        self._thread.start()

    def is_answered(self) -> bool:
        """Whether the process has ended, by itself or because it took too long."""
        return not self._thread.is_alive()

    def answer(self) -> tuple[int, bytes, bytes]:
        """Wait for the exit code, the output and the errors."""
        self._thread.join()
        return self._answer

    def end(self) -> None:
        """End the process; nobody waits for its answer."""
        self._process.kill()
        self._thread.join()

    def _read(self) -> None:
        try:
            output, errors = self._process.communicate(timeout=_LONGEST_ANSWER)
            self._answer = self._process.returncode, output, errors
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._answer = 1, b"", f"The worker has not answered within {_LONGEST_ANSWER:.0f} s.\n".encode()


def ask(python: str | Path, arguments: Sequence[str], *, home: str | Path | None) -> Question:
    """Start a Python to answer a verb of the worker's. OSError where it cannot be started."""
    return Question(
        subprocess.Popen(
            [str(python), "-I", "-B", "-u", str(MAIN), *arguments],  # -B: the extension's folder may be read-only
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(home),
            cwd=folder_to_run_in(),
            creationflags=_NO_WINDOW,
        )
    )


class _Worker:
    """A running worker, with threads that read its events and copy its standard error to the log (`errors`, opened);
    `lighter`: a further hint on how to use less memory.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: Path,
        tidy: Callable[..., None],
        *,
        lighter: str = "",
        errors: IO[bytes] | None = None,
    ) -> None:
        self._process, self._log, self._tidy, self._lighter = process, log, tidy, lighter
        self._unread: queue.SimpleQueue[tuple[Event | None, int]] = queue.SimpleQueue()
        self._waiting = 0  # bytes of unread events, roughly
        self._room = threading.Condition()
        self._closed = False
        self._silent = False
        self._cancelled_at: float | None = None
        self._ended_at: float | None = None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), name="fathom-events", daemon=True)
        self._reader.start()
        self._logger = bounded_log.start(process.stderr, errors) if process.stderr and errors else None
        self._use = environment.Use(Path(str(process.args[0])))  # type: ignore[index]

    def _read(self, stream: IO[bytes]) -> None:
        """Put the events into the queue; while it is full, the worker waits."""
        with contextlib.suppress(OSError, ValueError):
            for line in events.lines(stream):
                event = events.decode(line.decode("utf-8", "replace"))
                if event is None:
                    continue
                with self._room:
                    self._room.wait_for(lambda: self._closed or self._waiting < _MOST_WAITING)
                    self._waiting += len(line) + _OF_AN_EVENT
                if self._closed:
                    break
                self._unread.put((event, len(line) + _OF_AN_EVENT))
        self._unread.put((None, 0))

    def receive(self) -> list[Event]:
        """The new events, up to a limit; waits a moment for the first."""
        found: list[Event] = []
        most = _MOST_AT_ONCE if self._ended_at is None else _MOST_AT_THE_END
        with contextlib.suppress(queue.Empty):
            event, size = self._unread.get(timeout=_WAIT)
            while True:
                with self._room:
                    self._waiting -= size
                    self._room.notify()
                if event is None:
                    self._silent = True
                else:
                    found.append(event)
                if len(found) >= most:
                    break
                event, size = self._unread.get_nowait()
        return found

    def is_over(self) -> bool:
        """Whether the process has ended and all its events were read; kills a cancelled one that goes on too long."""
        now = time.monotonic()
        if self._process.poll() is None:
            if self._cancelled_at is not None and now - self._cancelled_at > _GRACE:
                self._kill()
            return False
        self._ended_at = self._ended_at or now
        since, is_empty = now - self._ended_at, self._unread.empty()
        if since > _GRACE and (is_empty or self._cancelled_at is not None):
            return True  # another process holds its end of the pipe, or the rest is of no interest
        return (self._silent and is_empty) or since > _LONGEST_END

    def cancel(self) -> None:
        """Ask the worker to stop by closing its standard input, which works on every system."""
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]

    def close(self, *, keep_log: bool) -> None:
        """End the worker and its children, if they still run, and clean up.

        `keep_log`: keep the log even if nothing else is left of the run, since it holds the error.
        """
        self.cancel()
        with self._room:
            self._closed = True
            self._room.notify()
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
            if self._process.poll() is None:
                self._kill()
        self._process.wait()
        self._reader.join(_GRACE)
        if not self._reader.is_alive() and self._process.stdout:
            self._process.stdout.close()
        if self._logger is not None:
            self._logger.join(_GRACE)
        self._use.end()
        with contextlib.suppress(OSError):
            self._tidy(keep_log=keep_log)

    def _kill(self) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads its own group
        else:
            system = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
            subprocess.run(
                [str(system / "taskkill.exe"), "/T", "/F", "/PID", str(self._process.pid)],
                capture_output=True,
                check=False,
                creationflags=_NO_WINDOW,
            )
            with contextlib.suppress(OSError):
                self._process.kill()

    def exit_error(self) -> events.Error:
        """The error of a worker that ended without an event that says so."""
        if self._cancelled_at is not None and self._ended_at is not None and self._cancelled_at < self._ended_at:
            return events.cancelled()
        code = self._process.returncode
        how, memory = exit_codes.ending(code)
        again = "start the same job again to resume it"
        return events.Error(
            code=code if code in _ENDINGS else exit_codes.FAILED,
            what=f"The worker {how} without a result.",
            hint=f"Close other programs{self._lighter} and {again}; {self._log} has the details."
            if memory
            else f"{self._log} has the details; {again}.",
        )


def _start(
    verb: Literal["estimate", "matte", "plan"],
    wanted: Job,
    *,
    python: str | Path,
    overwrite: bool,
    home: str | Path | None,
    more: Sequence[str] = (),
) -> _Worker | events.Error:
    try:
        job.validate(wanted)
    except job.JobError as error:
        return events.Error(code=error.code, what=str(error))
    folder = Path(wanted.output).absolute()
    log = folder / LOG
    # A folder that contains a log was made by an earlier run.
    made = leftovers.missing_folders(folder) or ((folder,) if is_there(log) else ())
    errors = _opened(log, f"The output folder {folder}", "Choose a folder that you may write to.")
    if isinstance(errors, events.Error):
        leftovers.remove_empty(made)
        return errors
    # beside mattes and plans there is never more to remove than the log: the worker itself keeps what a later run needs
    take_away = partial(leftovers.take_away if verb == "estimate" else leftovers.take_log_away, folder, made)
    try:
        name = _temporary("job", partial(job.save, wanted))
    except OSError as error:
        errors.close()
        take_away()
        return _no_temporary("job", error)
    arguments = [verb, "--job", name, "--events", "--parent-pipe", *(["--overwrite"] if overwrite else []), *more]
    try:
        process = _process(python, arguments, errors, home)
    except OSError as error:
        Path(name).unlink()
        take_away()
        return _not_started(python, error)
    lighter = ""
    if verb == "estimate":
        take_away = partial(take_away, ended=process.pid)
        lighter = f" or choose a smaller {setting('size')},"
    return _Worker(process, log, partial(_tidy, Path(name), take_away), lighter=lighter, errors=errors)


def _own_log(log: Path, what: str, hint: str) -> tuple[Path, IO[bytes]] | events.Error:
    """A log and its path, to which no other process writes: where another Blender does, the name gets a number."""
    for number in itertools.count(1):
        path = log if number == 1 else log.with_stem(f"{log.stem}-{number}")
        while True:
            errors = _opened(path, what, hint)
            if isinstance(errors, events.Error):
                return errors
            is_ours = own_files.lock(errors.fileno())
            if is_ours and own_files.is_at(path, errors.fileno()):
                return path, errors
            errors.close()
            if not is_ours:
                break
    raise AssertionError("numbers have no end")


def _opened(log: Path, what: str, hint: str) -> IO[bytes] | events.Error:
    """The opened log, in a folder that is made if need be; or the error that `what` cannot be written."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return bounded_log.opened(log)
    except own_files.PathConflict as error:
        return events.Error(code=exit_codes.BAD_OUTPUT, what=error.sentence, hint=own_files.HINT)
    except OSError as error:
        what = f"{what} cannot be written ({error.strerror or error})."
        return events.Error(code=exit_codes.BAD_OUTPUT, what=what, hint=hint)


def _temporary(what: str, save: Callable[[str], None]) -> str:
    """Save a record in a temporary file; its path."""
    descriptor, name = tempfile.mkstemp(prefix=f"fathom-{what}-", suffix=".json")
    os.close(descriptor)
    try:
        save(name)
    except (OSError, job.JobError):
        Path(name).unlink()
        raise
    return name


def _no_temporary(what: str, error: OSError) -> events.Error:
    return events.Error(
        code=exit_codes.FAILED,
        what=f"The {what} cannot be written to the system's folder for temporary files ({error.strerror or error}).",
        hint="Free some space there, or set another folder in the environment variable TMPDIR.",
    )


def _tidy(job_file: Path, take_away: Callable[[], None], *, keep_log: bool) -> None:
    """Remove the traces of a run that are of no use."""
    with contextlib.suppress(OSError):
        job_file.unlink()
    if not keep_log:
        take_away()


def _process(
    python: str | Path, arguments: list[str], errors: IO[bytes], home: str | Path | None
) -> subprocess.Popen[bytes]:
    """The worker's process, with standard error as a pipe; `errors`, the log, is closed if it cannot be started."""
    try:
        return subprocess.Popen(
            [str(python), "-I", "-u", str(MAIN), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(home),
            cwd=folder_to_run_in(),
            **own_group(),
        )
    except OSError:
        errors.close()
        raise


def _not_started(python: str | Path, error: OSError) -> events.Error:
    return events.Error(
        code=exit_codes.MISSING,
        what=f"The worker's Python {python} cannot be started ({error.strerror or error}).",
        hint="Press Install Dependencies in Fathom's preferences.",
    )


def clean_environment(home: str | Path | None = None) -> dict[str, str]:
    """The environment variables of this process without those that lead another Python to this one's libraries.

    `home`, Fathom's data folder, is passed on in ``FATHOM_HOME``.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and not name.upper().lstrip("_").startswith("PYTHON")
    }
    return kept if home is None else kept | {"FATHOM_HOME": str(home)}


def folder_to_run_in() -> str | None:
    """The folder that a process starts in; None: this one's, unless that was deleted, in which nothing starts well."""
    try:
        os.getcwd()  # noqa: PTH109  as below
    except OSError:
        return tempfile.gettempdir()
    return None


def own_group() -> dict[str, Any]:
    """Arguments of `subprocess.Popen` for a process that leads its own group, without a console window."""
    if os.name == "posix":
        return {"start_new_session": True}
    return {"creationflags": _NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined, unused-ignore]
