"""Why the hub gives nothing: one sentence each, and what to do about it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

from .. import exit_codes
from ..faults import Failure
from ..untrusted import in_a_line
from ..web_address import hide_secrets, without_secrets
from . import access, arrival
from .checksums import Checksum
from .facts import Model, ModelFile

_ELSEWHERE = "or bring the files from another computer with --from DIR"
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_PAUSE = 60.0


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
