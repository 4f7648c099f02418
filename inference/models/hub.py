"""What is asked of the Hugging Face hub, or of a mirror of it: checksums of a revision, and the bytes of a file.

Names, addresses, tokens, proxies and certificates are huggingface_hub's business. Its own download of a file is not
used, because it keeps nothing of a broken one (each attempt writes to a name of its own and deletes that in the
end): here a file goes on where it was left, by an HTTP range request. The hub serves all files that way, those
in its Xet storage included; Xet's own protocol knows no going on either, and mirrors do not speak it.

Why it gives nothing is said in one sentence each, with what to do about it.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..common.failures import Failure
from ..contract import exit_codes, packages
from ..contract.untrusted import in_a_line
from ..contract.web_address import hide_secrets, without_secrets
from . import access, arrival, trust
from .access import Server
from .checksums import Checksum, Lock
from .facts import Model, ModelFile
from .pins import now

_ATTEMPTS = 5
"""How often the same thing is asked for until the hub is given up."""
_WORTH_ANOTHER = 1 << 16
"""Bytes that must have come since for the count to begin anew."""
_FIRST_PAUSE = 0.5
"""Seconds before the second attempt; they double from attempt to attempt."""
_TIMEOUT = 15.0
"""Seconds without any answer, or without any byte, after which an attempt has failed."""
_LONGEST_ANSWER = 4 << 20
"""Bytes of what the hub tells of a repository, which are some two hundred a file."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Warn = Callable[[str], None]
Check = Callable[[], None]
_ELSEWHERE = "or bring the files from another computer with --from DIR"
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_PAUSE = 60.0


def endpoint() -> str:
    """The hub's address, or a mirror's (``HF_ENDPOINT``), without the user and the password that it may hold."""
    return access.named().address


def lookup(model: Model, *, token: str | None, check: Check, warn: Warn) -> Lock:
    """Ask the hub for size and checksum of a model's files at its revision.

    Parameters
    ----------
    model : Model
    token : str or None
        See `access.hub`.
    check : callable
        Called while it waits; raises to break off.
    warn : callable
        Told of what is tried again.

    Returns
    -------
    Lock
        With sha256 of the files that the hub keeps outside git, and git ids of the others.

    Raises
    ------
    Failure
        MISSING: the hub cannot be reached, does not know the revision or a file, wants a token, or says what cannot
        be.
    """
    asked = access.hub(token)
    path = f"/api/models/{model.repository}/revision/{quote(model.revision, safe='')}?blobs=True"
    told = _told(path, model, asked, check, warn)
    if told.get("sha") != model.revision:
        raise other_revision(model, asked.address, told.get("sha"))
    siblings = told.get("siblings")
    if not isinstance(siblings, list):
        raise not_a_hub(asked.address, f"it lists no files of {model.repository}")
    return Lock(
        repository=model.repository,
        revision=model.revision,
        origin="hub",
        source=asked.address,
        recorded=now(),
        files=tuple(_checksum(model, asked.address, file, siblings) for file in model.files),
    )


def newest(model: Model, *, token: str | None, check: Check, warn: Warn) -> tuple[str, str]:
    """Ask the hub for the newest revision of a model's repository, which only a person may choose to take.

    Parameters
    ----------
    model, token, check, warn
        As for `lookup`.

    Returns
    -------
    (str, str)
        Full commit hash, and the day of it as an ISO date.

    Raises
    ------
    Failure
        MISSING: as for `lookup`.
    """
    asked = access.hub(token)
    told = _told(f"/api/models/{model.repository}", model, asked, check, warn)
    revision, day = str(told.get("sha")), told.get("lastModified")
    if not trust.is_revision(revision):
        raise not_a_hub(asked.address, f"it tells no revision of {model.repository}")
    match = _DAY.match(day) if isinstance(day, str) else None
    return revision, match[0] if match else "a day that it does not tell"


def fetch(
    model: Model,
    wanted: Checksum,
    to: Path,
    *,
    token: str | None,
    check: Check,
    report: Callable[[int], None],
    warn: Warn,
) -> None:
    """Download a file, or what is still missing of it; its content is not verified here.

    Parameters
    ----------
    model : Model
    wanted : Checksum
        Of the file.
    to : Path
        Takes the bytes; what an earlier attempt left there is gone on from. It holds ``wanted.size`` in the end.
    token, check, warn
        As for `lookup`.
    report : callable
        Told the bytes that came; negative where bytes that were there must come anew.

    Raises
    ------
    Failure
        MISSING: as for `lookup`, or the hub sends something else than it told.
    OSError
        `to` cannot be written.
    """
    asked = access.hub(token)
    path = f"/{model.repository}/resolve/{quote(model.revision, safe='')}/{quote(wanted.path)}"
    with open(to, "ab") as file:
        have = file.tell()

        def receive() -> None:
            nonlocal have
            with closing(arrival.pieces(partial(_content, path, have, asked), check=check)) as coming:
                for is_start, piece in coming:
                    check()
                    if is_start and have:
                        file.truncate(0)
                        report(-have)
                        have = 0
                    if have + len(piece) > wanted.size:
                        raise other_size(model, asked.address, wanted)
                    file.write(piece)
                    have += len(piece)
                    report(len(piece))
            if have < wanted.size:
                raise Short(f"only {have} of {wanted.size} bytes came")

        if have < wanted.size:
            _patiently(receive, model, asked, check, warn, progress=lambda: have)


def _checksum(model: Model, hub: str, file: ModelFile, siblings: list[Any]) -> Checksum:
    """What the hub tells of a file, which is only taken where it can be."""
    found = [each for each in siblings if isinstance(each, dict) and each.get("rfilename") == file.path]
    if not found:
        raise no_file(model, hub, file.path)
    if len(found) > 1:
        raise not_a_hub(hub, f"it lists {file.path} of {model.repository} twice")
    sibling, lfs = found[0], found[0].get("lfs")
    sha256: Any = lfs.get("sha256") if isinstance(lfs, dict) else ""
    size = lfs.get("size") if isinstance(lfs, dict) else sibling.get("size")
    git_id: Any = "" if sha256 else sibling.get("blobId")
    if size is None or not (sha256 or git_id):
        raise no_checksums(model, hub)
    try:
        checksum = Checksum(path=file.path, size=size, sha256=sha256 or "", git_id=git_id or "")
    except ValueError as error:
        raise not_a_hub(hub, f"of {file.path} in {model.repository}, {error}") from error
    if size > file.most:
        raise too_large(model, hub, file, size)
    return checksum


def _told(path: str, model: Model, asked: Server, check: Check, warn: Warn) -> dict[str, Any]:
    """The JSON object that the hub answers with."""

    def ask() -> dict[str, Any]:
        text = bytearray()
        with closing(arrival.pieces(partial(_content, path, 0, asked), check=check)) as coming:
            for _, piece in coming:
                text += piece
                if len(text) > _LONGEST_ANSWER:
                    what = f"it tells more than {_LONGEST_ANSWER >> 20} MiB of a repository"
                    raise not_a_hub(asked.address, what)
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise not_a_hub(asked.address, "it sends no JSON") from error
        if not isinstance(told, dict):
            raise not_a_hub(asked.address, "it sends no JSON object")
        return told

    found: dict[str, Any] = _patiently(ask, model, asked, check, warn)
    return found


def _content(path: str, start: int, asked: Server) -> Iterator[tuple[bool, bytes]]:
    """The bytes at a path from `start` on, piece by piece, and whether a piece is the first of all.

    Where the server cannot go on from `start`, all of it comes instead.
    """
    import httpx2

    url = asked.address + path
    for _ in range(access.REDIRECTS + 1):
        # the size is that of the content as it is, so it must not come compressed
        headers = {"User-Agent": f"fathom/{packages.fathom_version()}", "Accept-Encoding": "identity"}
        if asked.login and access.same_server(url, asked.address):
            headers["Authorization"] = asked.login
        if start:
            headers["Range"] = f"bytes={start}-"
        # what is sent in plain http to this computer must not take the way over a proxy
        is_private = "Authorization" in headers and access.is_here(url) and url.startswith("http:")
        with (
            httpx2.Client(trust_env=not is_private, timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.has_redirect_location:
                url = access.led_to(url, response.headers.get("Location", ""))
                continue
            if not arrival.goes_on(response.status_code, response.headers.get("Content-Range", ""), start):
                start = 0
                continue
            if response.status_code not in (200, 206):
                raise Answered(
                    response.status_code,
                    response.headers.get("X-Error-Code", ""),
                    response.headers.get("Retry-After", ""),
                )
            if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                raise not_a_hub(asked.address, "it sends compressed what was asked for as it is")
            is_start = not start or response.status_code == 200
            for piece in response.iter_raw():
                yield is_start, piece
                is_start = False
            return
    raise access.LedAstrayError("leads from one address to the next without end")


def _patiently(
    action: Callable[[], Any],
    model: Model,
    asked: Server,
    check: Check,
    warn: Warn,
    *,
    progress: Callable[[], int] = lambda: 0,
) -> Any:
    """Do something, again and again where only the connection failed; what fails for good becomes a `Failure`."""
    import httpx2

    attempt, reached = 0, progress()
    while True:
        check()
        try:
            return action()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, *ANSWERS) as error:
            if progress() >= reached + _WORTH_ANOTHER:
                attempt, reached = 0, progress()
            attempt += 1
            failure = explain(error, model, asked)
            if not is_passing(error) or attempt >= _ATTEMPTS:
                raise failure from error
            warn(f"{failure.what} Trying again ({attempt + 1} of {_ATTEMPTS}).")
            arrival.wait(asked_pause(error) or _FIRST_PAUSE * 2 ** (attempt - 1), check)


class Answered(Exception):
    """An answer that is an error.

    Parameters
    ----------
    status : int
        Of HTTP.
    code : str
        The hub's own word for it (``X-Error-Code``); may be empty.
    pause : str
        The seconds that it asks to wait (``Retry-After``); may be empty.
    """

    def __init__(self, status: int, code: str = "", pause: str = "") -> None:
        super().__init__(f"status {status}")
        self.status, self.code, self.pause = status, code, pause


class Short(Exception):
    """An answer that ended before the file did."""


ANSWERS = (Answered, Short, arrival.TooSlowError, access.LedAstrayError)
"""What else than the errors of httpx a request may end in."""


def _failure(what: str, cure: str) -> Failure:
    return Failure(exit_codes.MISSING, what, cure=cure)


def unknown_revision(model: Model, hub: str) -> Failure:
    """The hub does not know the revision that is fixed or was chosen."""
    origin = "" if model.revision_checked else ", which Fathom has from others' published pins"
    look = f"Compare it with {hub}/{model.repository}/commits" if model.revision_checked else "Look for a newer Fathom"
    return _failure(
        f"{hub} does not know the revision {model.revision} of {model.repository}{origin}; nothing else is taken.",
        f"{look}, {_ELSEWHERE}.",
    )


def other_revision(model: Model, hub: str, told: object) -> Failure:
    """The hub answers with another revision than it was asked for."""
    return _failure(
        f"{hub} answers with the revision {quoted(told)} of {model.repository} where {model.revision} was asked for.",
        f"Try without the mirror, {_ELSEWHERE}.",
    )


def no_file(model: Model, hub: str, path: str) -> Failure:
    """A file is not in the repository."""
    return _failure(
        f"{hub} has no file {path} in {model.repository} at the revision {model.revision}.",
        f"Look for a newer Fathom, {_ELSEWHERE}.",
    )


def no_checksums(model: Model, hub: str) -> Failure:
    """A mirror that leaves out what files are verified against."""
    return _failure(
        f"{hub} tells no checksums of {model.repository}, so what it sends could not be verified.",
        f"Try without the mirror, {_ELSEWHERE}.",
    )


def other_size(model: Model, hub: str, wanted: Checksum) -> Failure:
    """A file is longer than the metadata say."""
    return _failure(
        f"{hub} sends more of {wanted.path} of {model.repository} than the {wanted.size} bytes that it told.",
        f"Try again later or without the mirror, {_ELSEWHERE}.",
    )


def too_large(model: Model, hub: str, file: ModelFile, told: int) -> Failure:
    """The metadata tell a size that the file cannot have."""
    return _failure(
        f"{hub} tells {told} bytes of {file.path} of {model.repository}, which has about {file.size}.",
        f"Try without the mirror, {_ELSEWHERE}.",
    )


def not_a_hub(hub: str, why: str) -> Failure:
    """Something answers that is no hub."""
    return _failure(
        f"{hub} does not answer as the Hugging Face hub does ({quoted(why)}).",
        f"Check HF_ENDPOINT, and whether a proxy or a log-in page of the network answers in its place, {_ELSEWHERE}.",
    )


def explain(error: Exception, model: Model, asked: access.Server) -> Failure:
    """Say why a request failed.

    Parameters
    ----------
    error : Exception
        Of httpx, or one of `ANSWERS`.
    model : Model
        That was asked for.
    asked : Server
    """
    names, hub = {cls.__name__ for each in _chain(error) for cls in type(each).__mro__}, asked.address
    if isinstance(error, Answered):
        if error.code == "RevisionNotFound":
            return unknown_revision(model, hub)
        if error.status in (401, 403) or error.code in ("GatedRepo", "RepoNotFound"):
            return _no_access(model, asked, error)
        return _bad_status(model, hub, error.status)
    if isinstance(error, access.LedAstrayError):
        return not_a_hub(hub, f"it {error}")
    again = "Check the network and start the same command again; it goes on from what has come"
    if "ProxyError" in names:
        return _failure(
            f"The proxy on the way to {hub} refuses ({_first_line(error)}).",
            f"Correct HTTPS_PROXY or NO_PROXY, {_ELSEWHERE}.",
        )
    if _is_certificate(error):
        return _failure(
            f"The certificate of {hub} cannot be verified ({_first_line(error)}).",
            f"Where a studio's proxy reads along, name its certificates in SSL_CERT_FILE, {_ELSEWHERE}.",
        )
    if names & {"TimeoutException", "TooSlowError"}:
        return _failure(f"{hub} does not answer in time.", f"{again}, {_ELSEWHERE}.")
    if names & {"UnsupportedProtocol", "InvalidURL"}:
        return _failure(
            f"{hub} is no address of a hub ({_first_line(error)}).",
            "Correct HF_ENDPOINT, such as https://huggingface.co, or clear it.",
        )
    if "ConnectError" in names:
        proxy = next((os.environ[name] for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)), "")
        return _failure(
            f"{hub} cannot be reached{' through the proxy ' + _bare(proxy) if proxy else ''} ({_first_line(error)}).",
            f"{again}; where the hub is closed to you, name a mirror in HF_ENDPOINT, {_ELSEWHERE}.",
        )
    if names & {"HTTPError", "Short"}:
        return _failure(f"The connection to {hub} was lost ({_first_line(error)}).", f"{again}, {_ELSEWHERE}.")
    return not_a_hub(hub, f"{type(error).__name__}: {_first_line(error)}")


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if isinstance(error, Answered):
        return error.status in _PASSING
    if names & {"ProxyError", "UnsupportedProtocol", "InvalidURL"} or _is_certificate(error):
        return False
    return bool(names & {"TransportError", "Short", "TooSlowError"})


def asked_pause(error: Exception) -> float | None:
    """The seconds that the hub asks to wait, at most a minute; None where it asks for none."""
    pause = error.pause if isinstance(error, Answered) else ""
    return min(float(pause[:9]), _LONGEST_PAUSE) if pause.isascii() and pause.isdigit() else None


def _no_access(model: Model, asked: access.Server, error: Answered) -> Failure:
    hub, page = asked.address, f"{asked.address}/{model.repository}"
    if asked.login:
        what = f"{hub} does not give {model.repository} to the account of your {asked.account}."
        if not access.is_hub(hub):
            return _failure(what, f"Ask who looks after that mirror whether this account may read it, {_ELSEWHERE}.")
        return _failure(
            what, f"Accept its terms on {page} with that account, check that the token may read it, and try again."
        )
    is_gated = error.code == "GatedRepo" or error.status != 404
    known = "is given only to those who have accepted its terms" if is_gated else "is not shown to you"
    if not access.is_hub(hub):
        return _failure(
            f"{model.repository} {known} on {hub}.",
            f"Log in on {page}, accept them there, and give a token for that mirror in {access.MIRROR_TOKEN} or with "
            f"--token, for HF_TOKEN goes to the hub alone; {_ELSEWHERE}.",
        )
    return _failure(
        f"{model.repository} {known} on {hub}.",
        f"Log in on {page}, accept them there, and give a token of your account in HF_TOKEN or with --token.",
    )


def _bad_status(model: Model, hub: str, status: int) -> Failure:
    if status == 404:
        what = f"{hub} does not find {model.repository} or a file of it (404)."
        return _failure(what, f"Check HF_ENDPOINT, {_ELSEWHERE}.")
    if status == 429:
        what = f"{hub} has had too many requests from here (429)."
        return _failure(what, "Wait some minutes and start the same command again, or give a token in HF_TOKEN.")
    if status == 407:
        what = f"The proxy on the way to {hub} wants a name and a password (407)."
        return _failure(what, f"Write them into HTTPS_PROXY, {_ELSEWHERE}.")
    what = f"{hub} answers with an error ({status})."
    return _failure(what, "Start the same command again later; it goes on from what has come.")


def _is_certificate(error: Exception) -> bool:
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__ or each.__context__


def _bare(proxy: str) -> str:
    """A proxy's address without the password that it may hold."""
    return without_secrets(proxy).rpartition("://")[2]


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return quoted(text.splitlines()[0].rstrip(".")) if text else type(error).__name__


def quoted(said: object) -> str:
    """What somebody else has said, as a sentence can take it: short, without control characters and secrets."""
    return in_a_line(hide_secrets(str(said)[:1000]))
