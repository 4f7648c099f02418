"""Send a written bundle to the farm by the farm's own client, where there is one.

Open Job Description bundles go to AWS Deadline Cloud by its command ``deadline``, chains of Deadline 10 by
``deadlinecommand``, and a Flamenco job to the Manager's API.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.untrusted import find_program, in_a_line
from ..contract.web_address import hide_secrets, without_secrets
from . import deadline, flamenco

_POLL = 0.2
_LONGEST = 3600.0
"""Seconds that a client may take, which may upload files."""
_OF_AN_ANSWER, _LARGEST_ANSWER = 30.0, 1 << 20
"""Seconds that the Manager may take, and bytes of what it answers."""
_LAST, _OF_LAST_WORDS = 1 << 16, 2.0
"""Bytes that are kept of what a client says, and seconds that are waited for the last of them."""
_Found = TypeVar("_Found")


def to_deadline_cloud(folder: Path, *, check: Callable[[], None]) -> str:
    """Submit an Open Job Description bundle; what the client says at its end.

    Raises
    ------
    Failure
        MISSING: there is no client. FAILED: it failed; the message has its last words.
    """
    client = find_program("deadline")
    if client is None:
        raise _no_client("The client of AWS Deadline Cloud (the command deadline)")
    return _run([client, "bundle", "submit", str(folder), "--yes"], check=check)


def to_deadline(folder: Path, *, check: Callable[[], None]) -> str:
    """Submit the chains of a bundle of Deadline 10; errors as for `to_deadline_cloud`."""
    client = find_program("deadlinecommand", os.environ.get("DEADLINE_PATH", ""))
    if client is None:
        raise _no_client("Deadline's client (the command deadlinecommand)")
    said = ""
    for chain in deadline.chains(folder):
        jobs = [part for job, plugin in chain for part in ("-job", str(job), str(plugin))]
        said = _run([client, "-SubmitMultipleJobs", "-dependent", *jobs], check=check)
    return said


def to_flamenco(folder: Path, manager: str, *, check: Callable[[], None] = lambda: None) -> str:
    """Send a Flamenco job to the Manager with an address such as ``http://manager:8080``; a sentence on the job.

    Raises
    ------
    Failure
        USAGE: that is no address. FAILED: the Manager cannot be reached, or does not take the job; the message has why.
    """
    shown = without_secrets(manager)
    if not manager.startswith(("http://", "https://")):
        what = f"{in_a_line(shown)} is no address of a Flamenco Manager."
        raise Failure(exit_codes.USAGE, what, hint="Write it as http://manager:8080.")
    body = (folder / flamenco.JOB).read_bytes()
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    try:
        request = urllib.request.Request(f"{manager.rstrip('/')}/api/v3/jobs", data=body, headers=headers)  # noqa: S310
        is_taken, answer = _in_time(lambda: _answer(request), check)
        if is_taken:
            return f"Flamenco has the job {in_a_line(str(json.loads(answer)['id']), most=60)}."
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError) as error:
        why = getattr(error, "reason", None) or error
        raise Failure(
            exit_codes.FAILED,
            f"The Flamenco Manager {shown} cannot be reached ({in_a_line(hide_secrets(str(why)))}).",
            hint=f"Check its address; the job is in {folder}.",
        ) from error
    raise _not_taken(shown, answer)


def _answer(request: urllib.request.Request) -> tuple[bool, bytes]:
    """Whether a server takes a request, and what it says."""
    try:
        with urllib.request.urlopen(request, timeout=_OF_AN_ANSWER) as answer:  # noqa: S310  an address of http
            return True, answer.read(_LARGEST_ANSWER)
    except urllib.error.HTTPError as error:
        try:
            return False, error.read(_LARGEST_ANSWER)
        except (OSError, http.client.HTTPException):  # broken off behind the status line
            return False, error.reason.encode()


def _in_time(work: Callable[[], _Found], check: Callable[[], None]) -> _Found:
    """What some work returns or raises; TimeoutError where it takes too long, as a server that sends byte by byte."""
    found: list[_Found] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="fathom-farm", daemon=True)
    thread.start()
    until = time.monotonic() + _OF_AN_ANSWER
    while thread.is_alive():
        check()
        if time.monotonic() > until:
            raise TimeoutError("it takes too long to answer")
        thread.join(_POLL)
    if failed:
        raise failed[0]
    return found[0]


def _not_taken(shown: str, answer: bytes) -> Failure:
    try:
        why = str(json.loads(answer)["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        why = answer.decode("utf-8", "replace")
    return Failure(
        exit_codes.FAILED,
        f"The Flamenco Manager {shown} does not take the job: {in_a_line(why).rstrip('.')}.",
        hint=f"Copy {flamenco.SCRIPT} from the bundle into the folder scripts beside flamenco-manager, and restart it.",
    )


def _no_client(what: str) -> Failure:
    return Failure(
        exit_codes.MISSING,
        f"{what} is not installed here.",
        hint="Install it, or write the bundle without sending it and submit its folder where the client is.",
    )


def _run(command: Sequence[str], *, check: Callable[[], None]) -> str:
    """Run a client to its end; the last line of what it says."""
    name = Path(command[0]).stem
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        raise Failure(exit_codes.FAILED, f"{name} cannot be started ({error.strerror or error}).") from error
    said = bytearray()

    def listen(stream: IO[bytes]) -> None:
        while piece := stream.read1(_LAST):  # type: ignore[attr-defined]
            said.extend(piece)
            del said[:-_LAST]

    listener = threading.Thread(target=listen, args=(process.stdout,), name="fathom-farm", daemon=True)
    listener.start()
    try:
        until = time.monotonic() + _LONGEST
        while True:
            check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(_POLL)
                break
            if time.monotonic() > until:
                raise Failure(exit_codes.FAILED, f"{name} has not ended within an hour.", hint="Submit by hand.")
    finally:
        process.kill()
        process.wait()
    listener.join(_OF_LAST_WORDS)  # what it started may hold the pipe
    lines = bytes(said).decode("utf-8", "replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    words = in_a_line(hide_secrets(last.strip()))
    if code:
        raise Failure(exit_codes.FAILED, f"{name} ended with code {code}: {words}", hint="Submit the bundle by hand.")
    return words
