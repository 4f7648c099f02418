"""What is asked of the Hugging Face hub, or of a mirror of it: checksums of a revision, and the bytes of a file.

Names, addresses, tokens, proxies and certificates are huggingface_hub's business. Its own download of a file is not
used, because it keeps nothing of a broken one (each attempt writes to a name of its own and deletes that in the
end): here a file goes on where it was left, by an HTTP range request. The hub serves all files that way, those
in its Xet storage included; Xet's own protocol knows no going on either, and mirrors do not speak it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import packages
from . import refusals
from .checksums import Checksum, Lock
from .facts import Model
from .notes import now

_ATTEMPTS = 5
"""How often the same thing is asked for until the hub is given up; anything that comes begins the count anew."""
_FIRST_PAUSE = 0.5
"""Seconds before the second attempt; they double from attempt to attempt."""
_TIMEOUT = 15.0
"""Seconds without any answer, or without any byte, after which an attempt has failed."""

Warn = Callable[[str], None]
Check = Callable[[], None]


def endpoint() -> str:
    """The hub's address, or a mirror's (``HF_ENDPOINT``)."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def lookup(model: Model, *, token: str | None, check: Check, warn: Warn) -> Lock:
    """Ask the hub for size and checksum of a model's files at its revision.

    Parameters
    ----------
    model : Model
    token : str or None
        Sent to the hub; None: huggingface_hub finds the user's, in ``HF_TOKEN`` or its own file, where there is one.
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
        MISSING: the hub cannot be reached, does not know the revision or a file, or wants a token.
    """
    info = _patiently(lambda: _info(model, model.revision, token), model, token, check, warn)
    if info.sha != model.revision:
        raise refusals.other_revision(model, endpoint(), info.sha)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = []
    for file in model.files:
        sibling = siblings.get(file.path)
        if sibling is None:
            raise refusals.no_file(model, endpoint(), file.path)
        sha256 = sibling.lfs.sha256 if sibling.lfs else ""
        if sibling.size is None or not (sha256 or sibling.blob_id):
            raise refusals.no_checksums(model, endpoint())
        size = sibling.lfs.size if sibling.lfs else sibling.size
        git_id = "" if sha256 else sibling.blob_id
        files.append(Checksum(path=file.path, size=size, sha256=sha256, git_id=git_id))
    return Lock(
        repository=model.repository,
        revision=model.revision,
        origin="hub",
        source=endpoint(),
        recorded=now(),
        files=tuple(files),
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
    info = _patiently(lambda: _info(model, None, token), model, token, check, warn)
    if not info.sha:
        raise refusals.not_a_hub(endpoint(), f"it tells no revision of {model.repository}")
    return info.sha, info.last_modified.date().isoformat() if info.last_modified else "a day that it does not tell"


def fetch(
    model: Model,
    wanted: Checksum,
    partial: Path,
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
    partial : Path
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
        `partial` cannot be written.
    """
    with open(partial, "ab") as file:
        have = file.tell()

        def receive() -> None:
            nonlocal have
            with _opened(model, wanted.path, have, token) as (whole, pieces):
                if whole and have:
                    file.truncate(0)
                    report(-have)
                    have = 0
                for piece in pieces:
                    check()
                    if have + len(piece) > wanted.size:
                        raise refusals.other_size(model, endpoint(), wanted)
                    file.write(piece)
                    have += len(piece)
                    report(len(piece))
            if have < wanted.size:
                raise _Short(f"only {have} of {wanted.size} bytes came")

        if have < wanted.size:
            _patiently(receive, model, token, check, warn, progress=lambda: have)


def _info(model: Model, revision: str | None, token: str | None) -> Any:
    """What the hub tells of a repository at a revision, and of its files; None: at its newest."""
    api = _library().HfApi(endpoint=endpoint(), **_who(token))
    try:
        return api.model_info(model.repository, revision=revision, files_metadata=bool(revision), timeout=_TIMEOUT)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # an answer that is none of the hub's
        raise refusals.not_a_hub(endpoint(), f"{type(error).__name__}: {error}") from error


class _Short(Exception):
    """An answer that ended before the file did."""


@contextmanager
def _opened(model: Model, path: str, start: int, token: str | None) -> Iterator[tuple[bool, Iterator[bytes]]]:
    """The bytes of a file from `start` on; whether they are all of it instead, where the server knows no ranges."""
    library = _library()
    from huggingface_hub.utils import hf_raise_for_status

    url = library.hf_hub_url(model.repository, path, revision=model.revision, endpoint=endpoint())
    # the size is that of the content as it is, so it must not come compressed
    headers = {**library.utils.build_hf_headers(**_who(token)), "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    # a redirect to a content server loses the token on the way, which httpx sees to
    with library.get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
        hf_raise_for_status(response)
        told = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not told.startswith(f"bytes {start}-"):
            raise refusals.not_a_hub(endpoint(), f"it sends '{told}' where bytes from {start} on were asked for")
        yield response.status_code != 206, response.iter_bytes()


def _patiently(
    action: Callable[[], Any],
    model: Model,
    token: str | None,
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
        except (httpx2.HTTPError, httpx2.InvalidURL, _Short) as error:
            if progress() > reached:
                attempt, reached = 0, progress()
            attempt += 1
            failure = refusals.explain(error, model, endpoint(), has_token=_has_token(token))
            if not refusals.is_passing(error) or attempt >= _ATTEMPTS:
                raise failure from error
            warn(f"{failure.what} Trying again ({attempt + 1} of {_ATTEMPTS}).")
            _wait(refusals.asked_pause(error) or _FIRST_PAUSE * 2 ** (attempt - 1), check)


def _wait(seconds: float, check: Check) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 0.1))


def _who(token: str | None) -> dict[str, Any]:
    return {"token": token, "library_name": "fathom", "library_version": packages.fathom_version()}


def _has_token(token: str | None) -> bool:
    return bool(token or _library().get_token())


def _library() -> Any:
    """huggingface_hub, which must not tell anybody who uses it; it reads that setting when it is imported."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import huggingface_hub

    return huggingface_hub
