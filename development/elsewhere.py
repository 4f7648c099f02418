"""For a Python that has `packaging`: what a resolution on this computer leaves out and another computer needs.

pip resolves for the platform and the Python that it runs on, so a requirement whose marker does not hold here is
nowhere in its report. A lock that leaves such a package out would have it installed elsewhere in any version.

Usage: ``python elsewhere.py REPORT``, where REPORT is from ``pip install --report``; prints a JSON list of
``[name, requirement, package that asks for it]``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
)


def left_out(installs: list[dict]) -> list[tuple[str, str, str]]:
    """Requirements of the packages of a report that some supported computer has and the report does not meet."""
    asked = {
        canonicalize_name(entry["metadata"]["name"]): [
            Requirement(text) for text in entry["metadata"].get("requires_dist", [])
        ]
        for entry in installs
    }
    extras = {package: {""} for package in asked}
    before = None
    while extras != before:  # an extra that one package asks of another may ask for more
        before = {package: set(names) for package, names in extras.items()}
        for _, requirement in _holding(asked, before):
            extras.setdefault(canonicalize_name(requirement.name), {""}).update(requirement.extras)
    return [
        (canonicalize_name(requirement.name), str(requirement), package)
        for package, requirement in _holding(asked, extras)
        if canonicalize_name(requirement.name) not in asked
    ]


def _holding(asked: dict[str, list[Requirement]], extras: dict[str, set[str]]) -> Iterator[tuple[str, Requirement]]:
    """The requirements that hold on any supported computer, each with the package that asks for it."""
    for package, requirements in asked.items():
        for requirement in requirements:
            if _holds(requirement, extras[package]):
                yield package, requirement


def _holds(requirement: Requirement, extras: set[str]) -> bool:
    """Whether a requirement holds on any supported computer."""
    if requirement.marker is None:
        return True
    return any(
        requirement.marker.evaluate(
            {**platform, "python_version": python, "python_full_version": f"{python}.0", "extra": extra}
        )
        for platform in PLATFORMS
        for python in PYTHONS
        for extra in extras
    )


if __name__ == "__main__":
    print(json.dumps(left_out(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["install"])))
