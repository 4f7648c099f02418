"""HTTP transfers from an untrusted server: bounded in time and size, retried, and resumed. Standard library only, so
that the light set of packages suffices.

Proxies and certificates are the environment's (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``). huggingface_hub's own
download is not used, because it deletes the partial file of a broken download; here a file resumes by an HTTP range
request. The hub serves all files that way, those in its Xet storage included; Xet's own protocol does not resume
either, and mirrors do not support it.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import queue
import socket
import ssl
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..common.failures import Failure, first_line
from ..contract import exit_codes, packages
from ..contract.untrusted import in_a_line
from ..contract.web_address import hide_secrets, without_secrets
from . import access
from .access import Server
from .facts import Model
from .notes import Checksum

LEAST, WINDOW = 1 << 16, 60.0
"""Fewest bytes that must arrive, within so many seconds: a tenth of the speed of the slowest modem."""
_ATTEMPTS = 5
"""Attempts at one request."""
_PROGRESS = 1 << 16
"""Bytes received since the last failure that reset the count of attempts."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the second attempt, doubled with each attempt; and the longest pause that a server may ask for."""
_TIMEOUT = 15.0
"""Seconds without a response, or without any byte, after which an attempt fails."""
_LONGEST_ANSWER = 4 << 20
"""Bytes of the hub's description of a repository (about two hundred per file)."""
_PIECE = 1 << 16
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_POLL_SECONDS = 0.4
"""Seconds between two calls of `check`."""
_JOIN_SECONDS = 1.0
"""Seconds to wait for the thread of a cancelled transfer."""
_QUEUED = 8
"""Pieces in the queue."""
_REDIRECTS = {301, 302, 303, 307, 308}
_AGAIN = "Check the network and start the same command again, which resumes the download"
_AGAIN_LATER = "Start the same command again later, which resumes the download"
OR_COPY = "or copy the files from another computer (models download --from DIR)"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Requests a model's files from a server, and retries where the connection failed.

    `check` is called at least twice a second while waiting, and raises to cancel; `warn` before each retry.
    """

    server: Server
    model: Model
    check: Callable[[], None]
    warn: Callable[[str], None]

    def ask(self, path: str) -> dict[str, Any]:
        """The JSON object at a path; a `Failure` (MISSING) if the server cannot be reached, or sends something else."""
        text = bytearray()

        def receive() -> None:
            text.clear()
            with closing(pieces(partial(self._content, path, 0), check=self.check)) as coming:
                for _, piece in coming:
                    text.extend(piece)
                    if len(text) > _LONGEST_ANSWER:
                        what = f"it sends more than {_LONGEST_ANSWER >> 20} MiB about a repository"
                        raise unexpected(self.server, what)

        self._with_retries(receive, lambda: 0)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise unexpected(self.server, "it does not send JSON") from error
        if not isinstance(answer, dict):
            raise unexpected(self.server, "it does not send a JSON object")
        return answer

    def fetch(self, path: str, wanted: Checksum, to: Path, report: Callable[[int], object]) -> None:
        """Download a file, or the rest of a partial file, to its full size; its content is not verified here.

        `report` is called with the number of bytes received, negative where saved bytes must be downloaded again.

        Raises
        ------
        Failure
            MISSING: the server cannot be reached, or sends something else.
        OSError
            `to` cannot be written.
        """
        with open(to, "ab") as file:

            def receive() -> None:
                with closing(pieces(partial(self._content, path, file.tell()), check=self.check)) as coming:
                    for is_start, piece in coming:
                        self.check()
                        if is_start and file.tell():
                            report(-file.tell())
                            file.truncate(0)
                            file.seek(0)
                        if file.tell() + len(piece) > wanted.size:
                            raise _failure(
                                f"{self.server.address} sends more of {wanted.path} of {self.model.repository} than "
                                f"the {wanted.size} bytes that it should have.",
                                f"Try again later or without the mirror, {OR_COPY}.",
                            )
                        file.write(piece)
                        report(len(piece))
                if file.tell() < wanted.size:
                    raise self._connection_lost(f"only {file.tell()} of {wanted.size} bytes were received")

            if file.tell() < wanted.size:
                self._with_retries(receive, file.tell)

    def _with_retries(self, action: Callable[[], None], progress: Callable[[], int]) -> None:
        """Run `action` with retries; raises a `Failure` after the last."""
        attempt, reached = 0, progress()
        while True:
            self.check()
            try:
                return action()
            except (TransferError, TooSlowError) as error:
                lost = error if isinstance(error, TransferError) else self._timed_out()
                if progress() >= reached + _PROGRESS:
                    attempt, reached = 0, progress()
                attempt += 1
                if not lost.is_transient or attempt >= _ATTEMPTS:
                    raise lost.failure from error
                self.warn(f"{lost.failure.what} Trying again ({attempt + 1} of {_ATTEMPTS}).")
                wait(lost.pause or _FIRST_PAUSE * 2 ** (attempt - 1), self.check)

    def _content(self, path: str, start: int) -> Iterator[tuple[bool, bytes]]:
        """The bytes at a path from `start` on, piece by piece, with whether a piece is the first of the whole file.

        Where the server cannot continue from `start`, the whole file is sent.
        """
        url = self.server.address + path
        try:
            for _ in range(access.REDIRECTS + 1):
                with _open(url, start, self.server) as answer:
                    if answer.status in _REDIRECTS and "Location" in answer.headers:
                        url = access.redirect_target(url, answer.headers["Location"])
                        continue
                    if not is_usable(answer.status, answer.headers.get("Content-Range", ""), start):
                        start = 0
                        continue
                    if answer.status not in (200, 206):
                        raise self._status_error(answer.status, answer.headers)
                    if answer.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                        raise unexpected(self.server, "it sends compressed content that was requested uncompressed")
                    is_start = not start or answer.status == 200
                    while piece := answer.read1(_PIECE):
                        yield is_start, piece
                        is_start = False
                    return
            raise access.RedirectError("redirects too often")
        except access.RedirectError as error:
            raise unexpected(self.server, f"it {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._network_error(error) from error

    def _status_error(self, status: int, headers: Any) -> TransferError:
        """The error for an HTTP status; the hub adds codes of its own (``X-Error-Code``)."""
        server, repository, word = self.server, self.model.repository, headers.get("X-Error-Code", "")
        if server.is_a_hub and word == "RevisionNotFound":
            return TransferError(unknown_revision(self.model, server))
        if server.is_a_hub and (status in (401, 403) or word in ("GatedRepo", "RepoNotFound")):
            return TransferError(self._access_denied(is_gated=word == "GatedRepo" or status != 404))
        mirror = f"name a mirror in {server.variable}, {OR_COPY}"
        token = ", set a token in HF_TOKEN" if server.is_a_hub else ""
        what, hint = {
            404: (
                f"{server.address} cannot find {repository} or a file of it (404).",
                f"Check {server.variable}, {OR_COPY}.",
            ),
            429: (
                f"{server.address} received too many requests from this network (429).",
                f"Wait some minutes and start the same command again{token}, {mirror}.",
            ),
            407: (
                f"The proxy for {server.address} requires a user name and a password (407).",
                f"Write them into HTTPS_PROXY, {OR_COPY}.",
            ),
        }.get(status, (f"{server.address} returned an error ({status}).", f"{_AGAIN_LATER}, {mirror}."))
        pause = headers.get("Retry-After", "")
        seconds = min(float(pause[:9]), _LONGEST_PAUSE) if pause.isascii() and pause.isdigit() else 0.0
        return TransferError(_failure(what, hint), is_transient=status in _TRANSIENT, pause=seconds)

    def _access_denied(self, *, is_gated: bool) -> Failure:
        hub, repository = self.server.address, self.model.repository
        page, is_mirror = f"{hub}/{repository}", not access.is_hub(hub)
        if self.server.login:
            what = f"{hub} denies the account of your {self.server.account} access to {repository}."
            if is_mirror:
                hint = f"Ask the administrator of the mirror for access, {OR_COPY}."
            else:
                hint = f"Accept its terms on {page} with that account, check that the token may read it, and try again."
            return _failure(what, hint)
        known = "requires accepting its terms" if is_gated else "is not accessible without a login"
        hint = f"Log in on {page}, accept its terms there, and set a token "
        if is_mirror:
            hint += (
                f"for that mirror in {access.MIRROR_TOKEN} or with --token (HF_TOKEN is sent to the hub only), "
                f"{OR_COPY}."
            )
        else:
            hint += "of your account in HF_TOKEN or with --token."
        return _failure(f"{repository} {known} on {hub}.", hint)

    def _network_error(self, error: Exception) -> TransferError:
        """The error for an exception of the network."""
        is_unreached = isinstance(error, urllib.error.URLError)
        reason: Any = error.reason if isinstance(error, urllib.error.URLError) else error
        server, said = self.server.address, quoted(first_line(reason))
        if isinstance(reason, ssl.SSLCertVerificationError):
            what = f"The certificate of {server} cannot be verified ({said})."
            hint = f"If a studio's proxy inspects the traffic, set SSL_CERT_FILE to its certificates, {OR_COPY}."
            return TransferError(_failure(what, hint))
        if isinstance(reason, TimeoutError):
            return self._timed_out()
        if "Tunnel connection failed" in said:
            what = f"The proxy for {server} refused the connection ({said})."
            return TransferError(_failure(what, f"Correct HTTPS_PROXY or NO_PROXY, {OR_COPY}."))
        if isinstance(reason, (str, ValueError)):
            what = f"The address of {server} or of the proxy is invalid ({said})."
            return TransferError(_failure(what, f"Correct {self.server.variable} or HTTPS_PROXY, or clear it."))
        if not is_unreached:
            return self._connection_lost(said)
        proxy = next((os.environ[name] for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)), "")
        through = f" through the proxy {without_secrets(proxy).rpartition('://')[2]}" if proxy else ""
        what = f"{server} cannot be reached{through} ({said})."
        hint = f"{_AGAIN}; if this network blocks that server, name a mirror in {self.server.variable}, {OR_COPY}."
        is_unknown = isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN
        return TransferError(_failure(what, hint), is_transient=not is_unknown)

    def _connection_lost(self, why: str) -> TransferError:
        what = f"The connection to {self.server.address} was lost ({why})."
        return TransferError(_failure(what, f"{_AGAIN}, {OR_COPY}."), is_transient=True)

    def _timed_out(self) -> TransferError:
        what = f"{self.server.address} does not respond in time."
        return TransferError(_failure(what, f"{_AGAIN}, {OR_COPY}."), is_transient=True)


class TransferError(Exception):
    """An attempt that failed with `failure`; `is_transient` where a retry after `pause` seconds may succeed."""

    def __init__(self, failure: Failure, *, is_transient: bool = False, pause: float = 0.0) -> None:
        super().__init__(failure.what)
        self.failure, self.is_transient, self.pause = failure, is_transient, pause


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Returns every response, so that urllib follows no redirect and raises no error."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response


def _open(url: str, start: int, server: Server) -> Any:
    """Request an address from byte `start` on; the credentials of `server` are sent to no other server."""
    # sizes are those of the uncompressed content
    headers = {"User-Agent": f"fathom/{packages.fathom_version()}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    proxies = urllib.request.getproxies()
    proxies = dict.fromkeys(("http", "https"), proxies["all"]) | proxies if "all" in proxies else proxies
    if server.login and access.same_server(url, server.address):
        headers["Authorization"] = server.login
        if access.is_loopback(url) and url.startswith("http:"):
            proxies = {}  # credentials in plain http to this computer must not pass through a proxy
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE") and importlib.util.find_spec(
        "certifi"
    ):  # some Pythons have none of their own
        import certifi

        context.load_verify_locations(certifi.where())
    request = urllib.request.Request(  # noqa: S310 - `access` takes nothing but http and https
        urllib.parse.quote(url, safe=string.punctuation, encoding="latin-1", errors="replace"), headers=headers
    )
    ways = (urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), _EveryStatus)
    return urllib.request.build_opener(*ways).open(request, timeout=_TIMEOUT)


def unknown_revision(model: Model, server: Server) -> Failure:
    """The error where the hub does not know the fixed or chosen revision."""
    origin = "" if model.revision_checked else ", which Fathom has from third parties' published pins"
    page = f"{server.address}/{model.repository}/commits"
    look = f"Compare it with {page}" if model.revision_checked else "Look for a newer Fathom"
    return _failure(
        f"{server.address} does not know the revision {model.revision} of {model.repository}{origin}; no other "
        "revision is downloaded.",
        f"{look}, {OR_COPY}.",
    )


def unexpected(server: Server, why: str) -> Failure:
    """The error where a response is not that of a hub, or of a server of files."""
    kind = "the Hugging Face hub" if server.is_a_hub else "a server of files"
    return _failure(
        f"{server.address} does not respond like {kind} ({quoted(why)}).",
        f"Check {server.variable}, and whether a proxy or a login page of the network responds instead, {OR_COPY}.",
    )


def quoted(said: object) -> str:
    """Untrusted text for a sentence: short, without control characters and secrets."""
    return in_a_line(hide_secrets(str(said)[:1000]))


def _failure(what: str, hint: str) -> Failure:
    return Failure(exit_codes.MISSING, what, hint=hint)


# Receiving within time limits


class TooSlowError(Exception):
    """The transfer is too slow to ever end."""


def pieces(
    begin: Callable[[], Iterator[tuple[bool, bytes]]], *, check: Callable[[], None]
) -> Generator[tuple[bool, bytes], None, None]:
    """What `begin` yields, received in a thread until this generator is closed.

    A server that sends a byte every few seconds never runs into the timeout of a single read. So a thread calls `begin`
    and reads, and this generator measures how much arrives over a longer time. `check` is called at least twice a
    second and raises to cancel.

    Raises
    ------
    TooSlowError
        Fewer than `LEAST` bytes arrived within `WINDOW` seconds, the wait for the first included.
    Exception
        As raised by `begin`.
    """
    waiting: queue.Queue[tuple[bool, bytes] | _End] = queue.Queue(_QUEUED)
    left = threading.Event()
    thread = threading.Thread(target=_gather, args=(begin, waiting, left), daemon=True)
    thread.start()
    begun, came = time.monotonic(), 0
    try:
        while True:
            try:
                piece = waiting.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                check()
            else:
                if isinstance(piece, _End):
                    if piece.error is not None:
                        raise piece.error
                    return
                yield piece
                came += len(piece[-1])
            if came >= LEAST:
                begun, came = time.monotonic(), 0
            elif time.monotonic() - begun > WINDOW:
                raise TooSlowError
    finally:
        left.set()
        thread.join(_JOIN_SECONDS)


@dataclass(frozen=True)
class _End:
    """The end of a transfer, with the exception that ended it."""

    error: BaseException | None = None


def _gather(begin: Callable[[], Iterator[tuple[bool, bytes]]], waiting: queue.Queue, left: threading.Event) -> None:
    end = _End()
    try:
        if left.is_set():
            return
        with closing(begin()) as coming:  # type: ignore[type-var]
            for piece in coming:
                if not _put(waiting, piece, left):
                    return
    except BaseException as error:  # raised again by the consumer
        end = _End(error)
    _put(waiting, end, left)


def _put(waiting: queue.Queue, what: object, left: threading.Event) -> bool:
    """Put an item into the queue; False once the consumer has left."""
    while not left.is_set():
        try:
            waiting.put(what, timeout=_POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False


def is_usable(status: int, content_range: str, start: int) -> bool:
    """Whether a response can be used for a request from `start` on; if not, the whole file must be requested."""
    if not start:
        return True
    return content_range.startswith(f"bytes {start}-") if status == 206 else status != 416


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Sleep, and call `check` every tenth of a second."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.1))
