"""Bytes over the network from a server that may do anything: within bounds of time and size, and resumed where they
stopped. Standard library only, so that the light set of packages suffices.

Proxies and certificates are the environment's (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``). huggingface_hub's own
download is not used, because it keeps nothing of a broken one (each attempt writes to a name of its own and deletes
that in the end): here a file continues where it stopped, by an HTTP range request. The hub serves all files that way,
those in its Xet storage included; Xet's own protocol does not resume either, and mirrors do not speak it.
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

from ..common.failures import Failure
from ..contract import exit_codes, packages
from ..contract.untrusted import in_a_line
from ..contract.web_address import hide_secrets, without_secrets
from . import access
from .access import Server
from .facts import Model
from .notes import Checksum

LEAST, WINDOW = 1 << 16, 60.0
"""Bytes that must come within so many seconds; a tenth of what the slowest modem brings."""
_ATTEMPTS = 5
"""How often the same thing is asked for until the server is given up."""
_WORTH_ANOTHER = 1 << 16
"""Bytes that must have come since for the count to begin again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds before the second attempt, which double from attempt to attempt; and the most that a server may ask for."""
_TIMEOUT = 15.0
"""Seconds without any answer, or without any byte, after which an attempt has failed."""
_LONGEST_ANSWER = 4 << 20
"""Bytes of what the hub tells of a repository, which are some two hundred a file."""
_PIECE = 1 << 16
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LOOK = 0.4
"""Seconds between two looks at whether to break off."""
_FAREWELL = 1.0
"""Seconds that what is broken off is waited for, so that it does not go on behind what comes next."""
_AHEAD = 8
"""Pieces that may wait."""
_REDIRECTS = {301, 302, 303, 307, 308}
_AGAIN = "Check the network and start the same command again; it resumes what has come"
_AGAIN_LATER = "Start the same command again later, which resumes what has come"
ELSEWHERE = "or bring the files from another computer with --from DIR"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Asks a server for a model's files, again and again where only the connection failed.

    Attributes
    ----------
    server : Server
    model : Model
    check : callable
        Called while it waits, twice a second at least; raises to break off.
    warn : callable
        Called with a sentence on what is tried again.
    """

    server: Server
    model: Model
    check: Callable[[], None]
    warn: Callable[[str], None]

    def ask(self, path: str) -> dict[str, Any]:
        """The JSON object at a path.

        Raises
        ------
        Failure
            MISSING: the server cannot be reached, or answers with something else.
        """
        text = bytearray()

        def receive() -> None:
            text.clear()
            with closing(pieces(partial(self._content, path, 0), check=self.check)) as coming:
                for _, piece in coming:
                    text.extend(piece)
                    if len(text) > _LONGEST_ANSWER:
                        what = f"it tells more than {_LONGEST_ANSWER >> 20} MiB of a repository"
                        raise unexpected(self.server, what)

        self._patiently(receive, lambda: 0)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise unexpected(self.server, "it sends no JSON") from error
        if not isinstance(answer, dict):
            raise unexpected(self.server, "it sends no JSON object")
        return answer

    def fetch(self, path: str, wanted: Checksum, to: Path, report: Callable[[int], object]) -> None:
        """Download a file, or what is still missing of it; its content is not verified here.

        Parameters
        ----------
        path : str
            On the server.
        wanted : Checksum
            Of the file.
        to : Path
            Takes the bytes, after those that are there. It holds ``wanted.size`` in the end.
        report : callable
            Called with the bytes that came; negative where bytes that were there must come again.

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
                                f"Try again later or without the mirror, {ELSEWHERE}.",
                            )
                        file.write(piece)
                        report(len(piece))
                if file.tell() < wanted.size:
                    raise self._lost(f"only {file.tell()} of {wanted.size} bytes came")

            if file.tell() < wanted.size:
                self._patiently(receive, file.tell)

    def _patiently(self, action: Callable[[], None], progress: Callable[[], int]) -> None:
        """Do something; what fails for good becomes a `Failure`."""
        attempt, reached = 0, progress()
        while True:
            self.check()
            try:
                return action()
            except (LostError, TooSlowError) as error:
                lost = error if isinstance(error, LostError) else self._late()
                if progress() >= reached + _WORTH_ANOTHER:
                    attempt, reached = 0, progress()
                attempt += 1
                if not lost.is_passing or attempt >= _ATTEMPTS:
                    raise lost.failure from error
                self.warn(f"{lost.failure.what} Trying again ({attempt + 1} of {_ATTEMPTS}).")
                wait(lost.pause or _FIRST_PAUSE * 2 ** (attempt - 1), self.check)

    def _content(self, path: str, start: int) -> Iterator[tuple[bool, bytes]]:
        """The bytes at a path from `start` on, piece by piece, and whether a piece is the first of all.

        Where the server cannot continue from `start`, all of it comes instead.
        """
        url = self.server.address + path
        try:
            for _ in range(access.REDIRECTS + 1):
                with _open(url, start, self.server) as answer:
                    if answer.status in _REDIRECTS and "Location" in answer.headers:
                        url = access.led_to(url, answer.headers["Location"])
                        continue
                    if not goes_on(answer.status, answer.headers.get("Content-Range", ""), start):
                        start = 0
                        continue
                    if answer.status not in (200, 206):
                        raise self._answered(answer.status, answer.headers)
                    if answer.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                        raise unexpected(self.server, "it sends compressed what was asked for as it is")
                    is_start = not start or answer.status == 200
                    while piece := answer.read1(_PIECE):
                        yield is_start, piece
                        is_start = False
                    return
            raise access.LedAstrayError("leads from one address to the next without end")
        except access.LedAstrayError as error:
            raise unexpected(self.server, f"it {error}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from error

    def _answered(self, status: int, headers: Any) -> LostError:
        """What an answer that is an error means; the hub has a word of its own for some (``X-Error-Code``)."""
        server, repository, word = self.server, self.model.repository, headers.get("X-Error-Code", "")
        if server.is_a_hub and word == "RevisionNotFound":
            return LostError(unknown_revision(self.model, server))
        if server.is_a_hub and (status in (401, 403) or word in ("GatedRepo", "RepoNotFound")):
            return LostError(self._no_access(is_gated=word == "GatedRepo" or status != 404))
        mirror = f"name a mirror in {server.variable}, {ELSEWHERE}"
        token = ", give a token in HF_TOKEN" if server.is_a_hub else ""
        what, hint = {
            404: (
                f"{server.address} does not find {repository} or a file of it (404).",
                f"Check {server.variable}, {ELSEWHERE}.",
            ),
            429: (
                f"{server.address} has had too many requests from here (429).",
                f"Wait some minutes and start the same command again{token}, {mirror}.",
            ),
            407: (
                f"The proxy on the way to {server.address} wants a name and a password (407).",
                f"Write them into HTTPS_PROXY, {ELSEWHERE}.",
            ),
        }.get(status, (f"{server.address} answers with an error ({status}).", f"{_AGAIN_LATER}, {mirror}."))
        pause = headers.get("Retry-After", "")
        seconds = min(float(pause[:9]), _LONGEST_PAUSE) if pause.isascii() and pause.isdigit() else 0.0
        return LostError(_failure(what, hint), is_passing=status in _PASSING, pause=seconds)

    def _no_access(self, *, is_gated: bool) -> Failure:
        hub, repository = self.server.address, self.model.repository
        page, is_mirror = f"{hub}/{repository}", not access.is_hub(hub)
        if self.server.login:
            what = f"{hub} does not give {repository} to the account of your {self.server.account}."
            if is_mirror:
                hint = f"Ask who looks after that mirror whether this account may read it, {ELSEWHERE}."
            else:
                hint = f"Accept its terms on {page} with that account, check that the token may read it, and try again."
            return _failure(what, hint)
        known = "is given only to those who have accepted its terms" if is_gated else "is not shown to you"
        hint = f"Log in on {page}, accept them there, and give a token "
        if is_mirror:
            hint += (
                f"for that mirror in {access.MIRROR_TOKEN} or with --token, for HF_TOKEN goes to the hub alone; "
                f"{ELSEWHERE}."
            )
        else:
            hint += "of your account in HF_TOKEN or with --token."
        return _failure(f"{repository} {known} on {hub}.", hint)

    def _failed(self, error: Exception) -> LostError:
        """What an error on the way means."""
        is_unreached = isinstance(error, urllib.error.URLError)
        reason: Any = error.reason if isinstance(error, urllib.error.URLError) else error
        server, said = self.server.address, quoted(_first_line(reason))
        if isinstance(reason, ssl.SSLCertVerificationError):
            what = f"The certificate of {server} cannot be verified ({said})."
            hint = f"Where a studio's proxy reads along, name its certificates in SSL_CERT_FILE, {ELSEWHERE}."
            return LostError(_failure(what, hint))
        if isinstance(reason, TimeoutError):
            return self._late()
        if "Tunnel connection failed" in said:
            what = f"The proxy on the way to {server} refuses ({said})."
            return LostError(_failure(what, f"Correct HTTPS_PROXY or NO_PROXY, {ELSEWHERE}."))
        if isinstance(reason, (str, ValueError)):
            what = f"{server} is no address of a server, or the proxy's is none ({said})."
            return LostError(_failure(what, f"Correct {self.server.variable} or HTTPS_PROXY, or clear it."))
        if not is_unreached:
            return self._lost(said)
        proxy = next((os.environ[name] for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)), "")
        through = f" through the proxy {without_secrets(proxy).rpartition('://')[2]}" if proxy else ""
        what = f"{server} cannot be reached{through} ({said})."
        hint = f"{_AGAIN}; where that server is closed to you, name a mirror in {self.server.variable}, {ELSEWHERE}."
        is_unknown = isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN
        return LostError(_failure(what, hint), is_passing=not is_unknown)

    def _lost(self, why: str) -> LostError:
        what = f"The connection to {self.server.address} was lost ({why})."
        return LostError(_failure(what, f"{_AGAIN}, {ELSEWHERE}."), is_passing=True)

    def _late(self) -> LostError:
        what = f"{self.server.address} does not answer in time."
        return LostError(_failure(what, f"{_AGAIN}, {ELSEWHERE}."), is_passing=True)


class LostError(Exception):
    """An attempt that failed with `failure`; `is_passing` where the same may well succeed `pause` seconds later."""

    def __init__(self, failure: Failure, *, is_passing: bool = False, pause: float = 0.0) -> None:
        super().__init__(failure.what)
        self.failure, self.is_passing, self.pause = failure, is_passing, pause


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Hands on every answer, so that no redirect is followed and no error raised behind our back."""

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        return response

    https_response = http_response


def _open(url: str, start: int, server: Server) -> Any:
    """Ask for what is at an address, from a byte on; what is for `server` alone is sent to no other."""
    # the size is that of the content as it is, so it must not come compressed
    headers = {"User-Agent": f"fathom/{packages.fathom_version()}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    proxies = urllib.request.getproxies()
    proxies = dict.fromkeys(("http", "https"), proxies["all"]) | proxies if "all" in proxies else proxies
    if server.login and access.same_server(url, server.address):
        headers["Authorization"] = server.login
        if access.is_here(url) and url.startswith("http:"):
            proxies = {}  # what is sent in plain http to this computer must not take the way over a proxy
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE") and importlib.util.find_spec(
        "certifi"
    ):  # some Pythons have none of their own
        import certifi

        context.load_verify_locations(certifi.where())
    request = urllib.request.Request(  # noqa: S310 - `access` takes nothing but http and https
        urllib.parse.quote(url, safe=string.punctuation, encoding="latin-1", errors="replace"), headers=headers
    )
    ways = (urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context), _AnyStatus)
    return urllib.request.build_opener(*ways).open(request, timeout=_TIMEOUT)


def unknown_revision(model: Model, server: Server) -> Failure:
    """The hub does not know the revision that is fixed or was chosen."""
    origin = "" if model.revision_checked else ", which Fathom has from others' published pins"
    page = f"{server.address}/{model.repository}/commits"
    look = f"Compare it with {page}" if model.revision_checked else "Look for a newer Fathom"
    return _failure(
        f"{server.address} does not know the revision {model.revision} of {model.repository}{origin}; nothing else is "
        "taken.",
        f"{look}, {ELSEWHERE}.",
    )


def unexpected(server: Server, why: str) -> Failure:
    """Something answers that is no hub, or no server of files."""
    kind = "the Hugging Face hub" if server.is_a_hub else "a server of files"
    return _failure(
        f"{server.address} does not answer as {kind} does ({quoted(why)}).",
        f"Check {server.variable}, and whether a proxy or a log-in page of the network answers in its place, "
        f"{ELSEWHERE}.",
    )


def quoted(said: object) -> str:
    """What somebody else has said, as a sentence can take it: short, without control characters and secrets."""
    return in_a_line(hide_secrets(str(said)[:1000]))


def _first_line(reason: object) -> str:
    text = str(reason).strip()
    return text.splitlines()[0].rstrip(".") if text else type(reason).__name__


def _failure(what: str, hint: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure=hint)


# What arrives, within bounds of time


class TooSlowError(Exception):
    """Less came than would ever end."""


def pieces(
    begin: Callable[[], Iterator[tuple[bool, bytes]]], *, check: Callable[[], None]
) -> Generator[tuple[bool, bytes], None, None]:
    """What `begin` yields, gathered in a thread until this generator is closed.

    A server can send a byte every few seconds, so that no single wait is too long and nothing ever ends. Here a thread
    waits for it and hands on what comes; the caller looks up often, and turns away when too little has come for too
    long.

    Parameters
    ----------
    begin : callable
        Asks a server and yields the bytes that came, as `Connection` has them; called in the thread.
    check : callable
        Called twice a second at least; raises to break off.

    Raises
    ------
    TooSlowError
        Fewer than `LEAST` bytes came within `WINDOW` seconds, the wait for the first included.
    Exception
        What `begin` raises.
    """
    waiting: queue.Queue[tuple[bool, bytes] | _End] = queue.Queue(_AHEAD)
    left = threading.Event()
    thread = threading.Thread(target=_gather, args=(begin, waiting, left), daemon=True)
    thread.start()
    begun, came = time.monotonic(), 0
    try:
        while True:
            try:
                piece = waiting.get(timeout=_LOOK)
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
        thread.join(_FAREWELL)


@dataclass(frozen=True)
class _End:
    """The end of what comes, with what it ended by."""

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
    except BaseException as error:  # raised where the pieces are taken
        end = _End(error)
    _put(waiting, end, left)


def _put(waiting: queue.Queue, what: object, left: threading.Event) -> bool:
    """Hand something on; False where nobody takes it any more."""
    while not left.is_set():
        try:
            waiting.put(what, timeout=_LOOK)
        except queue.Full:
            continue
        return True
    return False


def goes_on(status: int, told: str, start: int) -> bool:
    """Whether an answer is of use where bytes from `start` on were asked for; if not, all must be asked for.

    Parameters
    ----------
    status : int
        Of HTTP.
    told : str
        Its ``Content-Range``.
    """
    if not start:
        return True
    return told.startswith(f"bytes {start}-") if status == 206 else status != 416


def wait(seconds: float, check: Callable[[], None]) -> None:
    """Let time pass, looking up often."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.1))
