"""What is believed of names and numbers that others wrote: in lock files, notes, a hub's answers and folders.

Digests and revisions become names of files, so they are taken as hexadecimal digits or not at all; a file is read
only where it really lies below the folder that the user named, whatever links say. Standard library only.
"""

from __future__ import annotations

import re
from pathlib import Path

LARGEST = 1 << 40
"""Bytes of the largest file of weights that is believed in."""
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_LONGEST_NAME, _LONGEST_PATH = 200, 1000
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that are devices on Windows, in every folder."""


def is_revision(text: object) -> bool:
    """Whether something is a full commit hash."""
    return isinstance(text, str) and bool(_SHA1.fullmatch(text))


def is_digest(text: str) -> bool:
    """Whether a name is that of a content: a sha256, or a git id."""
    return bool(_SHA256.fullmatch(text) or _SHA1.fullmatch(text))


def need_digests(sha256: object, git_id: object) -> None:
    """Refuse what is neither a digest nor empty; a `ValueError` says so."""
    if sha256 != "" and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError("its sha256 is not 64 hexadecimal digits in lower case")
    if git_id != "" and not (isinstance(git_id, str) and _SHA1.fullmatch(git_id)):
        raise ValueError("its git id is not 40 hexadecimal digits in lower case")


def need_size(size: object) -> None:
    """Refuse what is no size of a file; a `ValueError` says so."""
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST:
        raise ValueError("its size is none that a file of weights has")


def need_path(path: object) -> None:
    """Refuse what is no path inside a repository on every system; a `ValueError` says so."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH or _FORBIDDEN.search(path):
        raise ValueError("its path is none that every system takes")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("its path leads out of the repository")
    if any(len(part) > _LONGEST_NAME or part[-1] in ". " or _DEVICE.fullmatch(part) for part in parts):
        raise ValueError("its path is none that every system takes")


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, with every link on the way followed, lies below a folder (which may itself be a link)."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # links that lead in a circle, or a name that is none
        return False
