"""Install the packages of some locks into this Python's environment, and verify them. Standard library only.

pip does it, in at most two calls. Packages with checksums come first: pip accepts exactly those files, whatever index
serves them, and resolves no dependencies, since the locks are complete. PyTorch follows by its exact version, without
a checksum, because several builds share one version. The packages that it shares with the locks are installed by then
and constrained to their versions.

Of pip's settings, in files and in variables, only those apply that say where packages come from and how to reach them:
a studio's index, proxy and certificates. Any other could install the packages elsewhere, or not at all.
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
from .untrusted import RecordError, escaped, in_a_line, is_folder
from .web_address import hide_secrets, secrets, without_secrets

TORCH_INDEX = "FATHOM_TORCH_INDEX"
"""Environment variable with a separate package index for PyTorch; empty: as in pip's settings."""

CHECKING = "Checking"
"""Begins a line that names the package being verified."""

_SOURCES = ("index-url", "pypi-url", "extra-index-url", "find-links", "no-index")
"""pip's settings for where packages come from."""
_HONORED = {
    *_SOURCES, "proxy", "cert", "client-cert", "trusted-host", "timeout", "default-timeout", "retries",
    "resume-retries", "cache-dir", "no-cache-dir", "keyring-provider",
}  # fmt: skip
_HONORED_VALUES = {"use-feature": "truststore", "use-deprecated": "legacy-certs"}
"""Settings of which only one value, about certificates, applies."""
_BROKEN = re.compile(r"after connection broken by '(.+)': /")
"""pip's message when it retries a connection."""
_OBJECT = re.compile(r"<[^<>]* object at [^<>]*>: ")
_SETTING = re.compile(r"(global|install|:env:)\.([\w-]+)=(.*)")


class InstallError(RuntimeError):
    """The packages could not be installed, or differ from the locks; the message is one sentence."""


def install(locks: Sequence[Path], *, torch_index: str = "") -> None:
    """Install the packages of some locks into the environment of this Python; call `check` afterwards.

    pip's output is printed.

    Parameters
    ----------
    locks : paths
        All but one with the name of `environment.TORCH` must have checksums.
    torch_index : str
        Address of the only package index for PyTorch; empty: the one for the other packages.

    Raises
    ------
    InstallError
        What happened and what to do.
    """
    _pins(locks)  # before pip, which would block on a pipe
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
    # Wheels only, since an artist may have no compiler.
    code, output = _run([*command, "--only-binary=:all:", "--progress-bar=off", *arguments], settings)
    if code:
        raise InstallError(f"Installing the packages failed: {last_error(output, code, settings)}")


def _named(locks: Iterable[Path]) -> list[str]:
    return [part for lock in locks for part in ("--requirement", str(lock))]


def _run(command: list[str], variables: dict[str, str]) -> tuple[int, list[str]]:
    """Run a program and print its output without secrets; returns its exit code and those lines."""
    output, known = [], _known_secrets(variables)
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
            output.append(hide_secrets(line, known))
            print(escaped(output[-1]), end="", flush=True)
    return process.returncode, output


def _known_secrets(variables: dict[str, str]) -> set[str]:
    """The passwords in the addresses of some variables."""
    addresses = [
        value for name, value in variables.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")
    ]
    return set().union(*map(secrets, addresses))


def last_error(output: list[str], code: int, settings: dict[str, str]) -> str:
    """The error in pip's output, or how pip ended, as one sentence without secrets.

    Parameters
    ----------
    output : list of str
        Lines with their ends.
    code : int
        pip's exit code.
    settings : dict
        The variables that pip ran with; see `pip_settings`.
    """
    known = _known_secrets(settings)
    output, searched = [hide_secrets(line, known) for line in output], sources(settings)
    for line, following in zip(output, [*output[1:], ""]):
        if "DO NOT MATCH THE HASHES" in line:
            wrong, _, place = (in_a_line(part.rstrip(":")) for part in (*following.split(), "", "", "")[:3])
            return (  # the line is: NAME==VERSION from ADDRESS …
                f"{without_secrets(place)} is not the {wrong} that Fathom was tested with: its checksum differs, so "
                f"it was not installed; ask who maintains that package index, or use another one."
            )
    errors = [line.removeprefix("ERROR:").strip() for line in output if line.startswith("ERROR:")]
    # These two say nothing by themselves: the reason is before the one, and at the end of the other.
    errors = [error for error in errors if not error.startswith(("ResolutionImpossible", "Exception:"))]
    ending = f"it ended with code {code} after: {last_line(''.join(output))}"
    reason = in_a_line(errors[-1] if errors else ending, most=1000)
    if reason.startswith("No matching distribution"):
        broken = [_OBJECT.sub("", match[1]) for line in output if (match := _BROKEN.search(line))]
        why = f", where the connection failed ({in_a_line(broken[-1], most=300)})" if broken else ""
        searched = searched or "no index, since pip has no-index and no find-links"
        reason = f"{reason.rstrip('.')}; pip searched {searched}{why}"
    return reason if reason.endswith(".") else reason + "."


def pip_settings(python: str | Path = sys.executable) -> dict[str, str]:
    """The environment variables to run a Python's pip with: of the user's settings, only where packages come from.

    pip itself reads its files and variables; the result is passed on as variables alone.

    Raises
    ------
    InstallError
        pip does not run, or cannot read its settings.
    """
    plain = {name: value for name, value in clean_environment().items() if not name.startswith("PIP_")}
    asked = {name: value for name, value in os.environ.items() if name == "PIP_CONFIG_FILE" or _is_honored(name, value)}
    # Otherwise the list might be silent, colored, or another Python's.
    plain_output = {"PIP_QUIET": "0", "PIP_VERBOSE": "0", "PIP_NO_COLOR": "1", "PIP_PYTHON": str(python)}
    done = subprocess.run(
        [python, "-I", "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=plain | asked | plain_output,
        check=False,
    )
    if done.returncode:
        reason = last_line(done.stderr or done.stdout).removeprefix("ERROR:").strip()
        raise InstallError(
            f"pip's settings cannot be read ({hide_secrets(reason)}); correct the file, or ask who maintains it."
        )
    return plain | {"PIP_CONFIG_FILE": os.devnull} | _honored(done.stdout)


def _honored(listing: str) -> dict[str, str]:
    """Variables for the settings in the output of ``pip config list`` that apply."""
    found: dict[str, dict[str, str]] = {
        "global": {},
        "install": {},
        ":env:": {},
    }  # later sections override earlier ones
    for line in listing.splitlines():
        match = _SETTING.fullmatch(line)
        if match:
            name, value = _variable(match[2]), ast.literal_eval(match[3])
            if _is_honored(name, value):
                found[match[1]][name] = value
    return {name: value for section in found.values() for name, value in section.items()}


def _variable(setting: str) -> str:
    return f"PIP_{setting.replace('-', '_').upper()}"


def _is_honored(variable: str, value: str) -> bool:
    setting = variable.removeprefix("PIP_").replace("_", "-").lower()
    known = setting in _HONORED or (setting in _HONORED_VALUES and value.split() == [_HONORED_VALUES[setting]])
    return variable.startswith("PIP_") and known


def sources(settings: dict[str, str]) -> str:
    """Where pip takes packages from under some variables, as text: addresses without secrets, and folders."""
    index = settings.get("PIP_INDEX_URL") or settings.get("PIP_PYPI_URL") or "pip's default package index"
    is_without_index = _is_on(settings.get("PIP_NO_INDEX", ""))
    places = [] if is_without_index else [index, *settings.get("PIP_EXTRA_INDEX_URL", "").split()]
    return ", ".join(map(without_secrets, [*places, *settings.get("PIP_FIND_LINKS", "").split()]))


def names_sources(settings: dict[str, str]) -> bool:
    """Whether some variables of pip's name where packages come from, as a studio's mirror or folder is named."""
    return any(settings.get(_variable(name)) for name in _SOURCES)


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on", "y", "t")


def needs_network(torch_index: str = "") -> bool:
    """Whether `install` may ask a server for packages; False if this process's variables limit it to local folders.

    pip's files are not read: variables override them, and are quick to read.
    """
    variables: dict[str, list[str]] = {}
    for name, value in os.environ.items():
        variables.setdefault(name.upper(), []).append(value)  # for pip, case does not matter
    no_index, folders = variables.get("PIP_NO_INDEX", []), " ".join(variables.get("PIP_FIND_LINKS", [])).split()
    is_local = bool(no_index and folders) and all(map(_is_on, no_index)) and all(map(is_folder, folders))
    return not is_local or bool(torch_index or os.environ.get(TORCH_INDEX))


def last_line(text: str) -> str:
    """The last line of a tool's output that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing")


def check(locks: Sequence[Path], *, load: bool = True) -> None:
    """Verify that this Python's environment has every package of some locks, in its version, and can `load` it.

    Raises
    ------
    InstallError
        Naming the first that is missing, has another version, is outside the environment, or cannot be imported.
    """
    again = "Install the inference environment again."
    for name, version in _pins(locks).items():
        print(f"{CHECKING} {name}", flush=True)
        found = packages.installed(name)
        if found is None:
            raise InstallError(f"{name} {version} was to be installed and is missing. {again}")
        if found.partition("+")[0] != version:
            raise InstallError(f"{name} {version} was to be installed, but the installed version is {found}. {again}")
        for path in _paths(name):
            if not path.is_relative_to(Path(sys.prefix).resolve()):
                raise InstallError(f"{name} is in {path}, outside the environment {sys.prefix}. {again}")
        if not load:
            continue
        try:
            importlib.import_module(packages.module_of(name))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
            raise InstallError(f"{name} {version} is installed but cannot be loaded ({reason}).") from error


def _paths(name: str) -> Iterator[Path]:
    """The folders of a package's metadata and of its module."""
    yield Path(str(importlib.metadata.distribution(name).locate_file(""))).resolve()
    spec = importlib.util.find_spec(packages.module_of(name))
    found = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    yield from (Path(path).resolve() for path in found if path and Path(path).exists())
