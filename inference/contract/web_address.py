"""Addresses on the network as they may be shown and written: without what opens a door.

A user, a password and a token may stand in an address that somebody sets for a mirror, an index or a proxy. They
belong to that server alone: whatever is shown, logged or kept goes through `without_secrets`, and a text that others
wrote (an error of a library, a line of a tool) through `hide_secrets`. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

_HIDDEN = "…"
_IN_TEXT = re.compile(r"(?:https?:/{1,3}|[A-Za-z][A-Za-z0-9+.\-]+://)\S+?(?=[\])}>'\"`,;:.]*(?:\s|$))")
"""An address in a sentence, without the quotes and stops behind it."""
_ENDS_HOST = re.compile(r"[/?#\\]")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(:[0-9]*)?")


def without_secrets(address: str) -> str:
    """An address without its user, password, query and fragment.

    Parameters
    ----------
    address : str
        Such as ``https://user:password@host:8080/path?token=…``; need not be a valid one.

    Returns
    -------
    str
        Such as ``https://host:8080/path?…``. Where it cannot be told which part is the password (one that holds a
        slash, for instance), only what is certainly not. Control characters are left out.

    Examples
    --------
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
    """A text with every address in it as `without_secrets` has it, and without `known`, what `secrets` found."""
    text = _IN_TEXT.sub(lambda match: without_secrets(match[0]), text)
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def secrets(setting: str) -> set[str]:
    """The passwords, and tokens in the place of a user, in a setting's addresses, also where these are no valid ones.

    A tool may write of such an address alone what it takes a piece of it for (``Port could not be cast to integer
    value as 'secret'``): pieces count as well. Of fewer than four characters none does, which would hide too much else.
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
    """What follows a user and a password, in an address without its scheme that has an ``@`` somewhere."""
    authority = _ENDS_HOST.split(rest, maxsplit=1)[0]
    if "@" in authority:
        behind = authority.rpartition("@")[2]
        tail = rest[len(authority) :]
    elif _HOST.fullmatch(authority):  # the @ is the path's, the query's, or of a password without a user
        behind, tail = authority, rest[len(authority) :]
    else:  # a password that holds what ends a host's name
        return _HIDDEN
    if "@" in re.split(r"[?#]", tail, maxsplit=1)[0]:
        tail = f"/{_HIDDEN}"
    return f"{behind}{tail}"
