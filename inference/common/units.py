"""Sizes and times as text. Standard library only."""

from __future__ import annotations


def size_text(size: float) -> str:
    """A number of bytes, such as ``3.05 GB``, ``196 MB`` or ``891 bytes``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """A duration, such as ``0:07``, ``12:30`` or ``1:02:03``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
