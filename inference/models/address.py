"""Weights that lie at a plain address, where a revision is part of it and their checksums are known beforehand.

Nothing but the standard library, so that the light set of packages suffices. Proxies and certificates are the
environment's (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``), as for the hub.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ..common.failures import Failure
from ..contract import exit_codes, packages
from . import access, arrival, hub
from .access import Server
from .checksums import Checksum
from .facts import Model

MIRROR = "FATHOM_WEIGHTS_MIRROR"
"""Environment variable: the address of a server that has the same paths as the weights' own."""
_ATTEMPTS = 5
_FIRST_PAUSE = 0.5
"""Seconds before the second attempt; they double from attempt to attempt."""
_TIMEOUT = 15.0
_PIECE = 1 << 16
_WORTH_ANOTHER = 1 << 16
"""Bytes that must have come for the count of attempts to begin anew."""
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_ELSEWHERE = "or bring the file from another computer with --from DIR"


def server(model: Model) -> Server:
    """The server that a model's files are under, or a mirror.

    Raises
    ------
    Failure
        USAGE: the environment variable names no address of a server.
    """
    named = os.environ.get(MIRROR, "").strip()
    if not named.rstrip("/"):
        return Server(model.address)
    kind = f"a server, as {MIRROR} should name"
    mirror = access.server(named, variable=MIRROR, kind=kind, code=exit_codes.USAGE)
    return Server(mirror.address + urllib.parse.urlsplit(model.address).path, mirror.login)


def fetch(
    model: Model,
    wanted: Checksum,
    to: Path,
    *,
    check: Callable[[], None],
    report: Callable[[int], None],
    warn: Callable[[str], None],
) -> None:
    """Download a file, or what is still missing of it; its content is not verified here.

    Parameters
    ----------
    model, wanted, to, check, report, warn
        As for `hub.fetch`.

    Raises
    ------
    Failure
        MISSING: the server cannot be reached, has no such file, or sends something else.
    OSError
        `to` cannot be written.
    """
    asked = server(model)
    url = f"{asked.address}/{model.revision}/{urllib.parse.quote(wanted.path)}"
    attempt = 0
    with open(to, "ab") as file:
        have = file.tell()
        while have < wanted.size:
            check()
            begun = have
            try:
                with closing(arrival.pieces(partial(_content, url, have, asked.login), check=check)) as coming:
                    for is_start, piece in coming:
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
            except (_LostError, arrival.TooSlowError) as lost:
                attempt = 1 if have >= begun + _WORTH_ANOTHER else attempt + 1
                if not getattr(lost, "passing", True) or attempt >= _ATTEMPTS:
                    raise _failure(f"{url} cannot be had ({lost}).") from lost
                warn(f"{url} cannot be had ({lost}). Trying again ({attempt + 1} of {_ATTEMPTS}).")
                arrival.wait(_FIRST_PAUSE * 2 ** (attempt - 1), check)


class _LostError(Exception):
    """A request that failed; `passing` where the same one may well succeed a little later."""

    def __init__(self, why: str, *, passing: bool) -> None:
        super().__init__(why)
        self.passing = passing


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects as `access` has them followed; what was sent for one server alone is not sent to another."""

    max_redirections = access.REDIRECTS

    def redirect_request(  # noqa: PLR0917 - the base class has them so
        self, request: urllib.request.Request, answer: Any, code: int, reason: str, headers: Any, location: str
    ) -> urllib.request.Request | None:
        target = access.led_to(request.full_url, location)
        followed = super().redirect_request(request, answer, code, reason, headers, target)
        if followed is not None and not access.same_server(request.full_url, target):
            followed.remove_header("Authorization")
        return followed


def _content(url: str, start: int, login: str) -> Iterator[tuple[bool, bytes]]:
    """The bytes of a file from `start` on, piece by piece, and whether a piece is the file's first.

    Where the server cannot go on from `start`, all of it comes instead.
    """
    # the size is that of the content as it is, so it must not come compressed
    headers = {"User-Agent": f"fathom/{packages.fathom_version()}", "Accept-Encoding": "identity"}
    headers |= {"Authorization": login} if login else {}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - `server` takes nothing but http
        with urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT) as answer:
            if not arrival.goes_on(answer.status, answer.headers.get("Content-Range", ""), start):
                yield from _content(url, 0, login)
                return
            if answer.status not in (200, 206):
                raise _LostError(f"it answers with {answer.status}", passing=False)
            if answer.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                raise _LostError("it sends compressed what was asked for as it is", passing=False)
            is_start = not start or answer.status == 200
            while piece := answer.read1(_PIECE):
                yield is_start, piece
                is_start = False
    except urllib.error.HTTPError as error:
        with error:
            if start and not arrival.goes_on(error.code, "", start):
                yield from _content(url, 0, login)
                return
            what = f"it answers with {error.code} {hub.quoted(error.reason)}"
            raise _LostError(what, passing=error.code in _PASSING) from error
    except access.LedAstrayError as error:
        raise _LostError(f"it {error}", passing=False) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _LostError(hub.quoted(_why(error)), passing=_is_passing(error)) from error


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
