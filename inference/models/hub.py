"""What is asked of the Hugging Face hub, or of a mirror of it: checksums of a revision, and the bytes of a file.

A token is found by huggingface_hub; proxies and certificates are httpx's business. Their own requests are not used:
huggingface_hub sends a token to whoever `HF_ENDPOINT` names, takes an answer of any length in any time, and keeps
nothing of a broken download (each attempt writes to a name of its own and deletes that in the end). Here a file goes
on where it was left, by an HTTP range request. The hub serves all files that way, those in its Xet storage included;
Xet's own protocol knows no going on either, and mirrors do not speak it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import packages
from . import access, arrival, refusals, trust
from .access import Server
from .checksums import Checksum, Lock
from .facts import Model, ModelFile
from .notes import now

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
        raise refusals.other_revision(model, asked.address, told.get("sha"))
    siblings = told.get("siblings")
    if not isinstance(siblings, list):
        raise refusals.not_a_hub(asked.address, f"it lists no files of {model.repository}")
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
        raise refusals.not_a_hub(asked.address, f"it tells no revision of {model.repository}")
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
                        raise refusals.other_size(model, asked.address, wanted)
                    file.write(piece)
                    have += len(piece)
                    report(len(piece))
            if have < wanted.size:
                raise refusals.Short(f"only {have} of {wanted.size} bytes came")

        if have < wanted.size:
            _patiently(receive, model, asked, check, warn, progress=lambda: have)


def _checksum(model: Model, hub: str, file: ModelFile, siblings: list[Any]) -> Checksum:
    """What the hub tells of a file, which is only taken where it can be."""
    found = [each for each in siblings if isinstance(each, dict) and each.get("rfilename") == file.path]
    if not found:
        raise refusals.no_file(model, hub, file.path)
    if len(found) > 1:
        raise refusals.not_a_hub(hub, f"it lists {file.path} of {model.repository} twice")
    sibling, lfs = found[0], found[0].get("lfs")
    sha256: Any = lfs.get("sha256") if isinstance(lfs, dict) else ""
    size = lfs.get("size") if isinstance(lfs, dict) else sibling.get("size")
    git_id: Any = "" if sha256 else sibling.get("blobId")
    if size is None or not (sha256 or git_id):
        raise refusals.no_checksums(model, hub)
    try:
        checksum = Checksum(path=file.path, size=size, sha256=sha256 or "", git_id=git_id or "")
    except ValueError as error:
        raise refusals.not_a_hub(hub, f"of {file.path} in {model.repository}, {error}") from error
    if size > file.most:
        raise refusals.too_large(model, hub, file, size)
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
                    raise refusals.not_a_hub(asked.address, what)
        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise refusals.not_a_hub(asked.address, "it sends no JSON") from error
        if not isinstance(told, dict):
            raise refusals.not_a_hub(asked.address, "it sends no JSON object")
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
                raise refusals.Answered(
                    response.status_code,
                    response.headers.get("X-Error-Code", ""),
                    response.headers.get("Retry-After", ""),
                )
            if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
                raise refusals.not_a_hub(asked.address, "it sends compressed what was asked for as it is")
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
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, *refusals.ANSWERS) as error:
            if progress() >= reached + _WORTH_ANOTHER:
                attempt, reached = 0, progress()
            attempt += 1
            failure = refusals.explain(error, model, asked)
            if not refusals.is_passing(error) or attempt >= _ATTEMPTS:
                raise failure from error
            warn(f"{failure.what} Trying again ({attempt + 1} of {_ATTEMPTS}).")
            arrival.wait(refusals.asked_pause(error) or _FIRST_PAUSE * 2 ** (attempt - 1), check)
