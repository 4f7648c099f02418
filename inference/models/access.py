"""The servers that weights come from: addresses, credentials and redirects. huggingface_hub is imported only where the
user's own token may be sent; the rest is the standard library.

A token of the Hugging Face hub is sent to the hub and to no other server. A mirror gets the user and password in its
own address, or a token set for that mirror. No credentials follow a redirect to another server, and no token is sent
in plain http.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from ..common.failures import Failure
from ..contract import environment, exit_codes
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
"""Most redirects that are followed for one request."""
_ADDRESS = re.compile(
    r"(https?)://(?:([^/?#\\]*)@)?((?:\[[0-9A-Fa-f:.]+\]|[\w.\-]+)(?::[0-9]{1,5})?)(/[^?#\\]*)?", re.I
)
_TOKEN = re.compile(r"[!-~]{1,4096}")


class RedirectError(Exception):
    """A redirect that is not followed; the message ends a sentence."""


@dataclass(frozen=True)
class Server:
    """A server that has weights.

    Attributes
    ----------
    address : str
        Without a trailing slash, user or password.
    login : str
        The ``Authorization`` header, sent to this server only; empty for none.
    variable : str
        The environment variable that names a mirror of it: `ENDPOINT` for a hub, `MIRROR` for a server of files.
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
        """The kind of credentials, for a sentence."""
        return "password" if self.login.startswith("Basic ") else "token"


def configured_server(variable: str = ENDPOINT) -> Server | None:
    """The server that an environment variable names, such as ``https://user:password@mirror.studio/hub``; or None.

    Raises
    ------
    Failure
        The variable holds no server address (MISSING for a hub, else USAGE); a password in it is not shown.
    """
    address = os.environ.get(variable, "").strip()
    if not address.rstrip("/"):
        return None
    match = _ADDRESS.fullmatch(address)
    if match is None or any(char.isspace() or not char.isprintable() for char in address):
        kind = "a hub" if variable == ENDPOINT else f"a server, as {variable} should name"
        raise Failure(
            exit_codes.MISSING if variable == ENDPOINT else exit_codes.USAGE,
            f"{without_secrets(address)} is not an address of {kind}.",
            "Write user and password before the host, with %40 for @ and %2F for /; a query (?) is not allowed."
            if re.search("[@?#]", address)
            else "",
            f"Correct {variable} (example: {HUB if variable == ENDPOINT else 'https://weights.studio'}), or clear it.",
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
    return configured_server() or Server(HUB)


def server_of(model: Model, token: str | None) -> Server:
    """The server that a model's files are downloaded from, with its credentials; errors as for `with_token`."""
    if not model.address:
        return with_token(hub(), token)
    mirror = configured_server(MIRROR)
    if mirror is None:
        return Server(model.address, variable=MIRROR)
    return replace(mirror, address=mirror.address + urlsplit(model.address).path)


def is_hub(address: str) -> bool:
    """Whether an address is the hub's own."""
    return same_server(address, HUB)


def with_token(server: Server, token: str | None) -> Server:
    """The hub or a mirror of it, with the token that is sent to it.

    Without a `token`, the hub gets the user's own, as huggingface_hub finds it, and a mirror the one in
    ``FATHOM_HUB_MIRROR_TOKEN``, else the credentials in its address.

    Raises
    ------
    Failure
        USAGE: the token is invalid, or would be sent in plain http.
    """
    known = token or (_user_token() if is_hub(server.address) else os.environ.get(MIRROR_TOKEN, "").strip())
    if not known:
        return server
    if not _TOKEN.fullmatch(known):
        raise Failure(
            exit_codes.USAGE,
            "The token is invalid: it contains spaces, line breaks or characters that no token has, or is too long.",
            hint="Copy the token again, in one line.",
        )
    if not (server.address.startswith("https://") or is_loopback(server.address)):
        raise Failure(
            exit_codes.USAGE,
            f"The token is not sent to {server.address}, because plain http is not encrypted.",
            hint=f"Name the mirror with https in {ENDPOINT}, or leave the token out.",
        )
    return replace(server, login=f"Bearer {known}")


def is_loopback(address: str) -> bool:
    """Whether an address is this computer's own."""
    host = _origin(address)[1]
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_server(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port, so that credentials for one may go to the other."""
    return _origin(one) == _origin(other)


def redirect_target(address: str, location: str) -> str:
    """The address that a redirect points to.

    Raises
    ------
    RedirectError
        The target is not a server address, has credentials of its own, or is plain http while the request was https.
    """
    try:
        target = urljoin(address, location.strip())
    except ValueError:
        target = ""
    scheme, host, _ = _origin(target)
    if scheme not in ("http", "https") or not host:
        raise RedirectError(f"redirects to {without_secrets(target) or 'nowhere'}, which is not a server address")
    if scheme == "http" and address.lower().startswith("https:"):
        raise RedirectError(f"redirects from https to plain http at {without_secrets(target)}")
    if "@" in urlsplit(target).netloc:
        raise RedirectError(f"redirects to {without_secrets(target)}, which contains a user and a password")
    return target


def _origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address; empty strings and 0 where it is invalid."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", "", 0
    return parts.scheme, host, port or {"https": 443, "http": 80}.get(parts.scheme, 0)


def _user_token() -> str:
    """The user's token of the hub, as huggingface_hub finds it."""
    os.environ.update(environment.NO_TELEMETRY)
    from huggingface_hub.utils import build_hf_headers

    try:
        return (build_hf_headers().get("authorization") or "").removeprefix("Bearer ")
    except Exception as error:  # reading a file or exchanging a token may fail in any way
        raise Failure(
            exit_codes.USAGE,
            f"Your Hugging Face token cannot be read ({type(error).__name__}).",
            hint="Set HF_TOKEN to the token, or log in again with hf auth login.",
        ) from error
