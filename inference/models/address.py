"""Weights that lie at a plain address, where a revision is part of it and their checksums are known beforehand.

Nothing but the standard library, so that the light set of packages suffices. Proxies and certificates are the
environment's (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``), as for the hub.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import exit_codes, packages
from ..faults import Failure
from .checksums import Checksum
from .facts import Model

MIRROR = "FATHOM_WEIGHTS_MIRROR"
"""Environment variable: the address of a server that has the same paths as the weights' own."""
_ATTEMPTS = 5
_FIRST_PAUSE = 0.5
"""Seconds before the second attempt; they double from attempt to attempt."""
_TIMEOUT = 15.0
_PIECE = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_ELSEWHERE = "or bring the file from another computer with --from DIR"


def server(model: Model) -> str:
    """The address that a model's files are under, or a mirror's.

    Raises
    ------
    Failure
        USAGE: the environment variable names no address of a server.
    """
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if not mirror:
        return model.address
    if not mirror.startswith(("https://", "http://")):
        raise Failure(
            exit_codes.USAGE,
            f"{mirror}, named by {MIRROR}, is no address of a server.",
            cure="Correct that variable, such as https://weights.studio, or clear it.",
        )
    return mirror + urllib.parse.urlsplit(model.address).path


def fetch(
    model: Model,
    wanted: Checksum,
    partial: Path,
    *,
    check: Callable[[], None],
    report: Callable[[int], None],
    warn: Callable[[str], None],
) -> None:
    """Download a file, or what is still missing of it; its content is not verified here.

    Parameters
    ----------
    model, wanted, partial, check, report, warn
        As for `hub.fetch`.

    Raises
    ------
    Failure
        MISSING: the server cannot be reached, has no such file, or sends something else.
    OSError
        `partial` cannot be written.
    """
    url = f"{server(model)}/{model.revision}/{urllib.parse.quote(wanted.path)}"
    attempt = 0
    with open(partial, "ab") as file:
        have = file.tell()
        while have < wanted.size:
            check()
            begun = have
            try:
                for is_start, piece in _pieces(url, have):
                    check()
                    if is_start and have:
                        file.truncate(0)
                        report(-have)
                        have = begun = 0
                    if have + len(piece) > wanted.size:
                        raise _failure(f"{url} is longer than the {wanted.size} bytes that it should have.")
                    file.write(piece)
                    have += len(piece)
                    report(len(piece))
                if have < wanted.size:
                    raise _LostError(f"only {have} of {wanted.size} bytes came", passing=True)
            except _LostError as lost:
                attempt = 1 if have > begun else attempt + 1
                if not lost.passing or attempt >= _ATTEMPTS:
                    raise _failure(f"{url} cannot be had ({lost}).") from lost
                warn(f"{url} cannot be had ({lost}). Trying again ({attempt + 1} of {_ATTEMPTS}).")
                _wait(_FIRST_PAUSE * 2 ** (attempt - 1), check)


class _LostError(Exception):
    """A request that failed; `passing` where the same one may well succeed a little later."""

    def __init__(self, why: str, *, passing: bool) -> None:
        super().__init__(why)
        self.passing = passing


def _pieces(url: str, start: int) -> Iterator[tuple[bool, bytes]]:
    """The bytes of a file from `start` on, piece by piece, and whether a piece is the file's first."""
    # the size is that of the content as it is, so it must not come compressed
    headers = {"User-Agent": f"fathom/{packages.fathom_version()}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - `server` takes nothing but http
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            told = answer.headers.get("Content-Range", "")
            is_start = not (answer.status == 206 and told.startswith(f"bytes {start}-"))
            if is_start and answer.status == 206:
                raise _LostError(f"it sends '{told}' where bytes from {start} on were asked for", passing=False)
            while piece := answer.read(_PIECE):
                yield is_start, piece
                is_start = False
    except urllib.error.HTTPError as error:
        raise _LostError(f"it answers with {error.code} {error.reason}", passing=error.code in _PASSING) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _LostError(_why(error), passing=_is_passing(error)) from error


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified: {reason.verify_message}"
    if isinstance(reason, TimeoutError):
        return "it does not answer in time"
    return str(reason).strip() or type(error).__name__


def _is_passing(error: Exception) -> bool:
    reason = getattr(error, "reason", error)
    return not isinstance(reason, (ssl.SSLCertVerificationError, ValueError, str)) and not isinstance(
        reason, socket.gaierror
    )


def _failure(what: str) -> Failure:
    cure = f"Check the network, name a mirror in {MIRROR}, {_ELSEWHERE}; the same command goes on from what has come."
    return Failure(exit_codes.MISSING, what, cure=cure)


def _wait(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.1))
