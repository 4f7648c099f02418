"""Packages that tests install, and locks of them: made here, without a network."""

import hashlib
import zipfile
from pathlib import Path


def make(folder: Path, name: str, version: str = "1.0", *, code: str = "DEPTH = 7\n", needs: str = "") -> Path:
    """A wheel of one module; `needs` is a requirement of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    described = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {needs}\n" if needs else ""
    )
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", described)
        wheel.writestr(
            f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{name}-{version}.dist-info/RECORD", f"{name}.py,,\n")
    return path


def pin(wheel: Path) -> str:
    """The line of a lock that pins a wheel, with its checksum."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def lock(path: Path, *wheels: Path) -> Path:
    """A lock of some wheels, which has them looked for where they lie."""
    folders = sorted({str(wheel.parent) for wheel in wheels})
    text = "--no-index\n" + "".join(f"--find-links {folder}\n" for folder in folders)
    path.write_text(text + "".join(pin(wheel) for wheel in wheels))
    return path
