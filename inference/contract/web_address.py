"""Network addresses without their secrets, for display and logs.

The address of a mirror, an index or a proxy may contain a user, a password and a token. They are for that server alone:
every address that is shown, logged or saved goes through `without_secrets`, and every text from a library or a tool
through `hide_secrets`. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

_HIDDEN = "…"
_IN_TEXT = re.compile(r"(?:https?:/{1,3}|[A-Za-z][A-Za-z0-9+.\-]+://)\S+?(?=[\])}>'\"`,;:.]*(?:\s|$))")
"""An address in a sentence, without the quotes and punctuation after it."""
_ENDS_HOST = re.compile(r"[/?#\\]")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(:[0-9]*)?")


def without_secrets(address: str) -> str:
    """An address, which need not be valid, without its user, password, query and fragment.

    If the password cannot be identified (for example one with a slash), only the parts that are certainly not secret
    remain. Control characters are removed.

    >>> without_secrets("https://me:secret@mirror.studio/hub")
    'https://mirror.studio/hub'
    """
    text = "".join(char for char in address.strip() if char.isprintable())
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    if "@" in rest:
        rest = _behind_the_user(rest)
    bare = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}{separator}{bare}{'?' + _HIDDEN if bare != rest else ''}"


def hide_secrets(text: str, known: Iterable[str] = ()) -> str:
    """A text with every address passed through `without_secrets`, and without the `known` results of `secrets`."""
    text = _IN_TEXT.sub(lambda match: without_secrets(match[0]), text)
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def secrets(setting: str) -> set[str]:
    """The passwords, and tokens in the place of a user, in a setting's addresses, even invalid ones.

    A tool may quote a piece of such an address (``Port could not be cast to integer value as 'secret'``), so pieces
    count too, except those with fewer than four characters, which would hide too much else.
    """
    found = set()
    for address in re.split(r"\s+(?=\S+://)", setting):
        head, at, _ = (address.partition("://")[2] or address).rpartition("@")
        authority, *path = _ENDS_HOST.split(head, maxsplit=1)
        if at and not (path and _HOST.fullmatch(authority)):  # else the @ is the path's
            user, colon, password = head.partition(":")
            secret = password if colon else user
            pieces = {secret, *re.split(r"[:/?#\\\s]", secret)}
            found |= {spelt for piece in pieces for spelt in (piece, unquote(piece)) if len(spelt) > 3}
    return found


def _behind_the_user(rest: str) -> str:
    """The part after user and password of an address without its scheme that contains an ``@``."""
    authority = _ENDS_HOST.split(rest, maxsplit=1)[0]
    if "@" in authority:
        behind = authority.rpartition("@")[2]
        tail = rest[len(authority) :]
    elif _HOST.fullmatch(authority):  # the @ is the path's, the query's, or of a password without a user
        behind, tail = authority, rest[len(authority) :]
    else:  # a password with a character that ends a host name
        return _HIDDEN
    if "@" in re.split(r"[?#]", tail, maxsplit=1)[0]:
        tail = f"/{_HIDDEN}"
    return f"{behind}{tail}"
