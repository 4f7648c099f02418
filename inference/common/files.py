"""Atomic writing of files, reading of arrays, and the creation of folders that people chose.

Every file is written under a temporary name and renamed once it is complete and on disk (`own_files.atomic`). Each
function imports only the package that it writes with.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract import exit_codes, own_files, records
from ..contract.leftovers import missing_folders, remove_empty
from .failures import Failure, unwritable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_reading = threading.Lock()
"""NumPy parses a header by `ast`, which fails at random in several threads at once (CPython's issue 106905, mended in
none of the first Python 3.11)."""


def save_json(path: Path, record: Any) -> None:
    """Write a record (`records`) as JSON, in one step."""
    own_files.save_text(path, records.dumps(record, indent=None) + "\n")


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to an ``.npy`` file, in one step."""
    import numpy as np

    array = np.asarray(array, order="C")
    # written by Python, since `np.save` reports a full disk without its error number
    with own_files.atomic(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def save_arrays(path: Path, **arrays: NDArray[Any]) -> None:
    """Write named arrays to an ``.npz`` file, in one step."""
    import numpy as np

    with own_files.atomic(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def load_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """Read an ``.npy`` file, or map it into memory; in any thread. Errors as of `numpy.load`."""
    import numpy as np

    with _reading:
        return np.load(path, mmap_mode="r" if mapped else None)


def load_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read named arrays of an ``.npz`` file, or all; in any thread. Errors as of `numpy.load`, KeyError for a name."""
    import numpy as np

    with _reading, np.load(path) as data:
        return {name: data[name] for name in names or data.files}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write named tensors, and JSON-serializable facts, to a ``.safetensors`` file, in one step.

    Tensors are cloned, since a view of a larger one would store all of it.
    """
    write_tensors(path, {name: tensor.clone() for name, tensor in tensors.items()}, {"facts": json.dumps(facts)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors, none of which is a view, to a ``.safetensors`` file, in one step.

    Raises
    ------
    OSError
        It cannot be written; safetensors itself has no error number, only the words of one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with own_files.atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, dict(metadata) if metadata else None)
        except SafetensorError as error:
            if (found := re.search(r"\(os error ([0-9]+)\)", str(error))) is None:
                raise
            code = int(found[1])  # of Windows there, which the fourth argument is
            raise OSError(code, os.strerror(code), str(path), code if os.name == "nt" else None) from error


def sync_folder(folder: Path) -> None:
    """Wait until renames in a folder are on disk, if the operating system supports it (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network disks cannot sync folders
        pass
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> tuple[Path, ...]:
    """Make a folder and its parents unless they exist; returns the folders that were made, the innermost first.

    Raises
    ------
    Failure
        BAD_OUTPUT: a file is in the way, or the folder cannot be made.
    """
    made = missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        blocking = next(path for path in (folder, *folder.parents) if path.exists())
        raise Failure(
            exit_codes.BAD_OUTPUT,
            f"{folder} cannot be the output folder: {blocking} is a file.",
            hint="Choose another folder.",
        ) from error
    except OSError as error:
        remove_empty(made)
        raise unwritable(error, folder) from error
    return made
