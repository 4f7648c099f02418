"""Who is asked for weights, who is given a token, and where an answer may lead. huggingface_hub is imported where its
user's own token may be sent; the rest is the standard library.

A token of the Hugging Face hub goes to the hub and to nobody else. A mirror is somebody else: it is given the user and
the password that stand in its own address, or a token that was named for it. Nothing of it follows a redirect to
another server, and no token goes over the network in plain http.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from ..common.failures import Failure
from ..contract import exit_codes
from ..contract.web_address import without_secrets
from .facts import Model

HUB = "https://huggingface.co"
ENDPOINT = "HF_ENDPOINT"
"""Environment variable: the address of a mirror of the hub."""
MIRROR = "FATHOM_WEIGHTS_MIRROR"
"""Environment variable: the address of a server that has the same paths as weights with an address of their own."""
MIRROR_TOKEN = "FATHOM_HUB_MIRROR_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable: a token for that mirror."""
REDIRECTS = 8
"""How often an answer may lead elsewhere."""
_ADDRESS = re.compile(
    r"(https?)://(?:([^/?#\\]*)@)?((?:\[[0-9A-Fa-f:.]+\]|[\w.\-]+)(?::[0-9]{1,5})?)(/[^?#\\]*)?", re.I
)
_TOKEN = re.compile(r"[!-~]{1,4096}")


class LedAstrayError(Exception):
    """An answer that leads where nobody follows it; the message ends a sentence."""


@dataclass(frozen=True)
class Server:
    """A server that has weights.

    Attributes
    ----------
    address : str
        Without a slash at its end, and without a user and a password.
    login : str
        The value of ``Authorization`` that is sent to it and to nobody else; empty for none.
    variable : str
        The environment variable that names another in its place: `ENDPOINT` for a hub, `MIRROR` for a server of files.
    """

    address: str
    login: str = ""
    variable: str = ENDPOINT

    @property
    def is_a_hub(self) -> bool:
        """Whether it is the hub or a mirror of it, and not a server of files."""
        return self.variable == ENDPOINT

    @property
    def account(self) -> str:
        """By what it knows the user, for a sentence."""
        return "password" if self.login.startswith("Basic ") else "token"


def named(variable: str = ENDPOINT) -> Server | None:
    """The server that an environment variable names, such as ``https://user:password@mirror.studio/hub``; or None.

    Raises
    ------
    Failure
        It is no address of a server (MISSING of a hub, else USAGE); what it holds of a password is not shown.
    """
    address = os.environ.get(variable, "").strip()
    if not address.rstrip("/"):
        return None
    match = _ADDRESS.fullmatch(address)
    if match is None or any(char.isspace() or not char.isprintable() for char in address):
        kind = "a hub" if variable == ENDPOINT else f"a server, as {variable} should name"
        raise Failure(
            exit_codes.MISSING if variable == ENDPOINT else exit_codes.USAGE,
            f"{without_secrets(address)} is no address of {kind}.",
            "A user and a password stand before the host, with %40 for @ and %2F for /; nothing may follow a ?."
            if re.search("[@?#]", address)
            else "",
            f"Correct {variable}, such as {HUB if variable == ENDPOINT else 'https://weights.studio'}, or clear it.",
        )
    scheme, user, host, path = match.groups()
    login = ""
    if user:
        name, _, password = user.partition(":")
        pair = f"{unquote(name)}:{unquote(password)}".encode()
        login = f"Basic {base64.b64encode(pair).decode()}"
    return Server(f"{scheme.lower()}://{host}{(path or '').rstrip('/')}", login, variable)


def hub() -> Server:
    """The hub, or the mirror that ``HF_ENDPOINT`` names; without a token."""
    return named() or Server(HUB)


def server_of(model: Model, token: str | None) -> Server:
    """Whom a model's files are asked of, with what is sent to it alone.

    Parameters
    ----------
    model : Model
    token : str or None
        As for `with_token`.

    Raises
    ------
    Failure
        As for `named` and `with_token`.
    """
    if not model.address:
        return with_token(hub(), token)
    mirror = named(MIRROR)
    if mirror is None:
        return Server(model.address, variable=MIRROR)
    return replace(mirror, address=mirror.address + urlsplit(model.address).path)


def is_hub(address: str) -> bool:
    """Whether an address is the hub's own."""
    return same_server(address, HUB)


def with_token(asked: Server, token: str | None) -> Server:
    """The hub or a mirror of it, with the token that goes to it.

    Parameters
    ----------
    asked : Server
    token : str or None
        That the user gives for this very server. None: the user's own token of the hub, as huggingface_hub finds it,
        where the hub itself is asked; ``FATHOM_HUB_MIRROR_TOKEN``, or what its address holds, where a mirror is.

    Raises
    ------
    Failure
        USAGE: a token that is none, or that would go over the network in plain http.
    """
    known = token or (_users() if is_hub(asked.address) else os.environ.get(MIRROR_TOKEN, "").strip())
    if not known:
        return asked
    if not _TOKEN.fullmatch(known):
        raise Failure(
            exit_codes.USAGE,
            "The token is none: it holds spaces, line breaks or letters that no token has, or is too long.",
            cure="Copy it again, in one line.",
        )
    if not (asked.address.startswith("https://") or is_here(asked.address)):
        raise Failure(
            exit_codes.USAGE,
            f"The token is not sent to {asked.address}, since in plain http anybody on the way could read it.",
            cure=f"Name the mirror with https in {ENDPOINT}, or leave the token out.",
        )
    return replace(asked, login=f"Bearer {known}")


def is_here(address: str) -> bool:
    """Whether an address is this computer's own."""
    host = _origin(address)[1]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_server(one: str, other: str) -> bool:
    """Whether two addresses are of one server, so that what is for one may be sent to the other."""
    return _origin(one) == _origin(other)


def led_to(address: str, location: str) -> str:
    """The address that a redirect leads to.

    Raises
    ------
    LedAstrayError
        It is no address of a server, or in plain http where https was asked.
    """
    try:
        target = urljoin(address, location.strip())
    except ValueError:
        target = ""
    scheme, host, _ = _origin(target)
    if scheme not in ("http", "https") or not host:
        raise LedAstrayError(f"leads to {without_secrets(target) or 'nowhere'}, which is no server's address")
    if scheme == "http" and address.lower().startswith("https:"):
        raise LedAstrayError(f"leads from https to plain http at {without_secrets(target)}")
    if "@" in urlsplit(target).netloc:
        raise LedAstrayError(f"leads to {without_secrets(target)} with a user and a password of its own")
    return target


def _origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address; empty and 0 for what is none."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", "", 0
    return parts.scheme, host, port or {"https": 443, "http": 80}.get(parts.scheme, 0)


def _users() -> str:
    """The token of the hub that the user has, as huggingface_hub finds it."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # it reads that setting when it is imported
    from huggingface_hub.utils import build_hf_headers

    try:
        return (build_hf_headers().get("authorization") or "").removeprefix("Bearer ")
    except Exception as error:  # whatever keeps it from reading a file, or from trading one token for another
        raise Failure(
            exit_codes.USAGE,
            f"Your token of the hub cannot be read ({type(error).__name__}).",
            cure="Set HF_TOKEN to it, or log in again with hf auth login.",
        ) from error
