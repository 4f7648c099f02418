"""The packages that the worker needs, from its locks, and which are installed. Standard library only.

There are two sets: *light* for every job, and *full*, which adds the packages of estimators with a network.
"""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import operator
import os
import platform
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from . import environment
from .untrusted import read_text

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#\\]+)\s*(?:;([^#\\]+))?")
_IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "opencolorio": "PyOpenColorIO",
    "openexr": "OpenEXR",
    "scenedetect-headless": "scenedetect",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "markdown-it-py": "markdown_it",
    "fonttools": "fontTools",
    "python-dateutil": "dateutil",
    "pytest-xdist": "xdist",
    "protobuf": "google.protobuf",
    "openjd-cli": "openjd.cli",
    "openjd-model": "openjd.model",
    "openjd-sessions": "openjd.sessions",
    "absl-py": "absl",
    "grpcio": "grpc",
}
_COMPARISONS = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip

# Packages for figures, reports and locks alone (PyYAML, Jinja2, matplotlib and its dependencies, filelock): their
# versions do not change the depth.
_NOT_OF_ESTIMATES = {
    "contourpy", "cycler", "filelock", "fonttools", "jinja2", "kiwisolver", "markupsafe", "matplotlib", "pillow",
    "pyparsing", "python-dateutil", "pyyaml",
}  # fmt: skip


def locked() -> dict[str, str]:
    """Name and version of every package of the light set on this platform."""
    return pins(environment.LIGHT)


def of_estimates() -> set[str]:
    """The packages of the light set that can change the depth."""
    return set(locked()) - _NOT_OF_ESTIMATES


def locked_on_top() -> dict[str, str]:
    """Name and version of every package that the full set adds to the light one, PyTorch included."""
    return pins(environment.FULL[len(environment.LIGHT) :])


def pins(locks: Iterable[Path]) -> dict[str, str]:
    """Name (in lower case, with hyphens) and version of every package in some locks for this computer."""
    found = {}
    for lock in locks:
        for line in read_text(lock).splitlines():
            match = _PIN.match(line)
            if match and applies(match[3]):
                found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def applies(marker: str | None) -> bool:
    """Whether a requirement's marker applies to this Python on this computer; without a marker it does.

    Markers (https://packaging.python.org/en/latest/specifications/dependency-specifiers/) are expressions that Python
    can parse. This runs without any package installed, and the locks use only a small part of the syntax.

    Raises
    ------
    ValueError
        The marker uses other syntax.
    """
    return not marker or _holds(ast.parse(marker.strip(), mode="eval").body)


def _holds(node: ast.expr) -> bool:
    if isinstance(node, ast.BoolOp):
        return (all if isinstance(node.op, ast.And) else any)(map(_holds, node.values))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        sides = (node.left, node.comparators[0])
        of_versions = any(isinstance(side, ast.Name) and side.id.startswith("python_") for side in sides)
        return _COMPARISONS[type(node.ops[0])](
            *(_version(_value(side)) if of_versions else _value(side) for side in sides)
        )
    raise ValueError(f"The marker {ast.unparse(node)} of a lock is not understood.")


def _value(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    known = {
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "os_name": os.name,
        "python_full_version": platform.python_version(),
        "python_version": "{}.{}".format(*sys.version_info),
    }
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    raise ValueError(f"The marker {ast.unparse(node)} of a lock is not understood.")


def _version(text: str) -> tuple[int, ...]:
    """The numbers of a version, for comparison; a release candidate counts as its release."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[a-z+]", text)[0]))


def installed(name: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing() -> list[str]:
    """The packages of the light set whose modules cannot be found; another package with the same module is fine."""
    return [name for name in locked() if not importable(module_of(name))]


def missing_of(modules: Iterable[str]) -> list[str]:
    """The packages to install for the modules that cannot be found."""
    return [package_of(module) for module in modules if not importable(module)]


def importable(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def module_of(package: str) -> str:
    """The name under which a package of the locks is imported."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    return _IMPORTED_AS.get(name, name.replace("-", "_"))


def package_of(module: str) -> str:
    """The package to install for a module that cannot be imported."""
    top = module.partition(".")[0]
    return next((package for package, name in _IMPORTED_AS.items() if name in (module, top)), top)


def install_command(*, full: bool = False) -> str:
    """The command that installs the light set for this Python, or the full one, which includes it.

    The full set needs several calls of pip (see `installer`), made by the worker's command ``install``.
    """
    return _worker_installs("full") if full else f"{pip()} install -r {_quoted(os.fspath(environment.LIGHT[-1]))}"


def install_mattes_command() -> str:
    """The command that adds what the matte network needs to this Python."""
    return _worker_installs("mattes")


def install_training_command() -> str:
    """The command that installs what training needs: the full set, and its own."""
    return _worker_installs("full training")


def _worker_installs(packages: str) -> str:
    main = _quoted(os.fspath(Path(__file__).parents[1] / "__main__.py"))
    return f"{_quoted(sys.executable)} {main} install {packages}"


def hint(*, full: bool = False) -> str:
    """The hint for missing packages of a set: one sentence with the command."""
    what = "Install Dependencies, with the packages of all estimators," if full else "Install Dependencies"
    return f"Press {what} in Fathom's preferences, or run: {install_command(full=full)}"


def pip() -> str:
    """The command line of this Python's pip."""
    return f"{_quoted(sys.executable)} -m pip"


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def is_on_top(module: str) -> bool:
    """Whether a module belongs to the full set alone."""
    top = module.partition(".")[0]
    return any(module_of(package) == top for package in locked_on_top())


@functools.cache  # asked for as a run begins and ends; every package's metadata takes milliseconds to read
def versions() -> dict[str, str]:
    """Name to version of what every estimate uses: Python, Fathom and packages of the light set."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "fathom": fathom_version()}
    return found | {name: version for name in sorted(of_estimates()) if (version := installed(name)) is not None}


def fathom_version() -> str:
    """The extension's version, from its manifest."""
    manifest = Path(__file__).resolve().parents[2] / "blender_manifest.toml"
    match = re.search(r'^version\s*=\s*"([^"]+)"', manifest.read_text(encoding="utf-8"), re.MULTILINE)
    return match.group(1) if match else "unknown"
