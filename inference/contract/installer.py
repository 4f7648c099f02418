"""Fill this Python's environment with what some locks pin, and see that it has just that. Standard library only.

pip does it, in at most two calls. What has checksums comes first: pip is held to exactly those files, whatever index
serves them, and works out no dependencies, since the locks are whole. PyTorch follows by its exact version: its builds
differ and bear one version, so that there is no checksum to hold it to. It finds the packages that it shares with the
locks installed already, and may bring no other versions of them.

Of pip's own settings, in files and in variables, only those hold that say where packages come from and how they are
reached: a studio's index, proxy and certificates. All others could put the packages elsewhere, or install nothing.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from . import environment, packages
from .client import clean_environment
from .untrusted import RecordError, escaped, in_a_line
from .web_address import hide_secrets, secrets, without_secrets

TORCH_INDEX = "FATHOM_TORCH_INDEX"
"""Environment variable that names the package index of PyTorch's own; empty: as pip's settings say."""

CHECKING = "Checking"
"""Begins a line that says which package is looked at."""

_SOURCES = ("index-url", "pypi-url", "extra-index-url", "find-links", "no-index")
"""pip's settings of where packages come from."""
_HONOURED = {
    *_SOURCES, "proxy", "cert", "client-cert", "trusted-host", "timeout", "default-timeout", "retries",
    "resume-retries", "cache-dir", "no-cache-dir", "keyring-provider",
}  # fmt: skip
_HONOURED_VALUES = {"use-feature": "truststore", "use-deprecated": "legacy-certs"}
"""Those of which one value says how certificates are checked."""
_BROKEN = re.compile(r"after connection broken by '(.+)': /")
"""What pip says when it tries to reach a server once more."""
_OBJECT = re.compile(r"<[^<>]* object at [^<>]*>: ")
_SETTING = re.compile(r"(global|install|:env:)\.([\w-]+)=(.*)")


class InstallError(RuntimeError):
    """The environment could not be filled, or is not what the locks say; the message is one sentence."""


def install(locks: Sequence[Path], *, torch_index: str = "") -> None:
    """Install what some locks pin into the environment of this Python; `check` is to follow.

    What is done is printed, as pip words it.

    Parameters
    ----------
    locks : paths
        One that bears the name of `environment.TORCH` has no checksums; all others must have them.
    torch_index : str
        Address of the package index that such a one is installed from, and from nowhere else; empty: as for the
        others.

    Raises
    ------
    InstallError
        What happened and what to do.
    """
    _pins(locks)  # before pip, which waits for a pipe
    settings = pip_settings()
    hashed = [lock for lock in locks if lock.name != environment.TORCH.name]
    if hashed:
        _pip(["--require-hashes", "--no-deps", *_named(hashed)], settings)
    with tempfile.TemporaryDirectory(prefix="fathom-") as folder:
        bounds = Path(folder) / "constraints.txt"
        bounds.write_text("".join(f"{name}=={version}\n" for name, version in _pins(hashed).items()))
        for lock in locks:
            if lock not in hashed:
                if torch_index:
                    settings = {k: v for k, v in settings.items() if k not in map(_variable, _SOURCES)}
                    settings[_variable("index-url")] = torch_index
                print(f"PyTorch comes from {sources(settings)}", flush=True)
                _pip([*_named([lock]), "--constraint", str(bounds)], settings)
    importlib.invalidate_caches()


def _pins(locks: Iterable[Path]) -> dict[str, str]:
    """See `packages.pins`."""
    try:
        return packages.pins(locks)
    except OSError as error:
        raise InstallError(f"The lock file {error.filename} cannot be read ({error.strerror}).") from error
    except RecordError as error:
        raise InstallError(f"No packages can be read from a lock file: {error}.") from error


def _pip(arguments: list[str], settings: dict[str, str]) -> None:
    command = [sys.executable, "-I", "-u", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    # Ready-built packages only: a compiler is nothing to ask of an artist.
    code, said = _told([*command, "--only-binary=:all:", "--progress-bar=off", *arguments], settings)
    if code:
        raise InstallError(f"Installing the packages failed: {_last_error(said, code, sources(settings))}")


def _named(locks: Iterable[Path]) -> list[str]:
    return [part for lock in locks for part in ("--requirement", str(lock))]


def _told(command: list[str], variables: dict[str, str]) -> tuple[int, list[str]]:
    """Run a program, its output handed on; its exit code, and the lines, both without secrets."""
    said = []
    addresses = [
        value for name, value in variables.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")
    ]
    known = set().union(*map(secrets, addresses))
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=variables,
    ) as process:
        for line in process.stdout or ():
            said.append(hide_secrets(line, known))
            print(escaped(said[-1]), end="", flush=True)
    return process.returncode, said


def _last_error(said: list[str], code: int, places: str) -> str:
    """One sentence of what pip's output says went wrong, or of how it ended; `places` is where it looked."""
    for line, following in zip(said, [*said[1:], ""]):
        if "DO NOT MATCH THE HASHES" in line:
            wrong, _, place = (in_a_line(part.rstrip(":")) for part in (*following.split(), "", "", "")[:3])
            return (  # the line is: NAME==VERSION from ADDRESS …
                f"{without_secrets(place)} is not the {wrong} that Fathom was tested with: its checksum differs, and "
                f"it was not installed; ask who keeps that package index, or use another one."
            )
    errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
    # These say nothing by themselves: what does stands before the one, and at the end of the other.
    errors = [error for error in errors if not error.startswith(("ResolutionImpossible", "Exception:"))]
    ending = f"it ended with code {code}, after: {last_line(''.join(said))}"
    reason = in_a_line(errors[-1] if errors else ending, most=1000)
    if reason.startswith("No matching distribution"):
        broken = [_OBJECT.sub("", match[1]) for line in said if (match := _BROKEN.search(line))]
        why = f", where the connection failed ({in_a_line(broken[-1], most=300)})" if broken else ""
        places = places or "no place, since pip has no-index and no find-links"
        reason = f"{reason.rstrip('.')}; looked in {places}{why}"
    return reason if reason.endswith(".") else reason + "."


def pip_settings(python: str | Path = sys.executable) -> dict[str, str]:
    """The environment variables to run a Python's pip with: where packages come from as the user set it, no more.

    pip itself tells what its files and variables say; then it is held to the variables that are made of that.

    Raises
    ------
    InstallError
        pip does not run, or cannot read its settings.
    """
    plain = {name: value for name, value in clean_environment().items() if not name.startswith("PIP_")}
    asked = {
        name: value for name, value in os.environ.items() if name == "PIP_CONFIG_FILE" or _is_honoured(name, value)
    }
    # These would keep the answer back, or have another Python give it.
    loud = {"PIP_QUIET": "0", "PIP_VERBOSE": "0", "PIP_NO_COLOR": "1", "PIP_PYTHON": str(python)}
    done = subprocess.run(
        [python, "-I", "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=plain | asked | loud,
        check=False,
    )
    if done.returncode:
        reason = last_line(done.stderr or done.stdout).removeprefix("ERROR:").strip()
        raise InstallError(
            f"pip's settings cannot be read ({hide_secrets(reason)}); correct the file, or ask who keeps it."
        )
    return plain | {"PIP_CONFIG_FILE": os.devnull} | _honoured(done.stdout)


def _honoured(listing: str) -> dict[str, str]:
    """Variables for those settings of ``pip config list`` that hold."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # the later ones have the last word
    for line in listing.splitlines():
        match = _SETTING.fullmatch(line)
        if match:
            name, value = _variable(match[2]), ast.literal_eval(match[3])
            if _is_honoured(name, value):
                found[match[1]][name] = value
    return {name: value for section in found.values() for name, value in section.items()}


def _variable(setting: str) -> str:
    return f"PIP_{setting.replace('-', '_').upper()}"


def _is_honoured(variable: str, value: str) -> bool:
    setting = variable.removeprefix("PIP_").replace("_", "-").lower()
    known = setting in _HONOURED or (setting in _HONOURED_VALUES and value.split() == [_HONOURED_VALUES[setting]])
    return variable.startswith("PIP_") and known


def sources(settings: dict[str, str]) -> str:
    """Where pip takes packages from with some variables, for people: addresses without secrets, and folders."""
    index = settings.get("PIP_INDEX_URL") or settings.get("PIP_PYPI_URL") or "pip's default package index"
    is_without_index = _is_on(settings.get("PIP_NO_INDEX", ""))
    places = [] if is_without_index else [index, *settings.get("PIP_EXTRA_INDEX_URL", "").split()]
    return ", ".join(map(without_secrets, [*places, *settings.get("PIP_FIND_LINKS", "").split()]))


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on", "y", "t")


def needs_network(torch_index: str = "") -> bool:
    """Whether `install` may ask a server for packages; False where this process' variables allow it folders alone.

    pip's files are not read: variables overrule them, and are looked at in no time.
    """
    told: dict[str, list[str]] = {}
    for name, value in os.environ.items():
        told.setdefault(name.upper(), []).append(value)  # pip reads them in any case
    none, folders = told.get("PIP_NO_INDEX", []), " ".join(told.get("PIP_FIND_LINKS", [])).split()
    is_held = bool(none and folders) and all(map(_is_on, none)) and all(Path(folder).is_dir() for folder in folders)
    return not is_held or bool(torch_index or os.environ.get(TORCH_INDEX))


def last_line(text: str) -> str:
    """The last line of a tool's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")


def check(locks: Sequence[Path], *, load: bool = True) -> None:
    """See that this Python's own environment has every package of some locks, in its version, and can load it.

    Parameters
    ----------
    locks : paths
    load : bool
        Whether each is imported.

    Raises
    ------
    InstallError
        The first that is missing, in another version, lies elsewhere, or cannot be imported.
    """
    again = "Set the inference environment up again."
    for name, version in _pins(locks).items():
        print(f"{CHECKING} {name}", flush=True)
        found = packages.installed(name)
        if found is None:
            raise InstallError(f"{name} {version} was to be installed and is not there. {again}")
        if found.partition("+")[0] != version:
            raise InstallError(f"{name} is there in version {found} where {version} was to be installed. {again}")
        for place in _places(name):
            if not place.is_relative_to(Path(sys.prefix).resolve()):
                raise InstallError(f"{name} lies in {place}, outside the environment {sys.prefix}. {again}")
        if not load:
            continue
        try:
            importlib.import_module(packages.module_of(name))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
            raise InstallError(f"{name} {version} is installed and cannot be loaded ({reason}).") from error


def _places(name: str) -> Iterator[Path]:
    """Where a package's description and its module lie."""
    yield Path(str(importlib.metadata.distribution(name).locate_file(""))).resolve()
    spec = importlib.util.find_spec(packages.module_of(name))
    found = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    yield from (Path(place).resolve() for place in found if place and Path(place).exists())
