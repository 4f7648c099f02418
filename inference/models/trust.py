"""Validation of untrusted names and numbers: in lock files, records, a hub's responses and folders.

Digests and revisions become file names, so only hexadecimal digits are accepted. A file is read only where it really
is below the folder that the user named, with all links resolved. Standard library only.
"""

from __future__ import annotations

import re
from pathlib import Path

LARGEST = 1 << 40
"""Bytes of the largest file of weights that is accepted."""
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_LONGEST_NAME, _LONGEST_PATH = 200, 1000
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names of devices on Windows, reserved in every folder."""


def is_revision(text: object) -> bool:
    """Whether a value is a full commit hash."""
    return isinstance(text, str) and bool(_SHA1.fullmatch(text))


def is_digest(text: str) -> bool:
    """Whether a name is a sha256 or a git id."""
    return bool(_SHA256.fullmatch(text) or _SHA1.fullmatch(text))


def validate_digests(sha256: object, git_id: object) -> None:
    """Raise `ValueError` for a value that is neither a digest nor empty."""
    if sha256 != "" and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError("its sha256 is not 64 hexadecimal digits in lower case")
    if git_id != "" and not (isinstance(git_id, str) and _SHA1.fullmatch(git_id)):
        raise ValueError("its git id is not 40 hexadecimal digits in lower case")


def validate_size(size: object) -> None:
    """Raise `ValueError` for an invalid file size."""
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST:
        raise ValueError("its size is invalid")


def validate_path(path: object) -> None:
    """Raise `ValueError` for a path that is not inside a repository, or invalid on some system."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH or _FORBIDDEN.search(path):
        raise ValueError("its path is invalid on some systems")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("its path is outside the repository")
    if any(len(part) > _LONGEST_NAME or part[-1] in ". " or _DEVICE.fullmatch(part) for part in parts):
        raise ValueError("its path is invalid on some systems")


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path, with all links resolved, is below a folder (which may itself be a link)."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, or an invalid name
        return False
