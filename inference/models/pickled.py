"""Networks that are released as PyTorch's ``.pth`` files: read once without running what is in them, then kept as
safetensors.

A ``.pth`` file is a pickle, which could hold code. Only files whose content Fathom fixes are read, and of these only
tensors (``weights_only``). torch is imported when it is needed.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.failures import Failure
from ..common.files import write_tensors
from ..contract import exit_codes
from . import notes, store, verification
from .facts import Model, ModelFile
from .notes import Checksum

if TYPE_CHECKING:
    from torch import Tensor


def tensors(model: Model, file: ModelFile) -> dict[str, Tensor]:
    """The tensors of a released file by their names, in host memory as far as they are used.

    Parameters
    ----------
    model : Model
        Verified, see `verification.ready`.
    file : ModelFile
        One of its files, with the sha256 that Fathom fixes.

    Raises
    ------
    Failure
        MISSING: the file cannot be read, or holds anything but tensors.
    """
    from safetensors.torch import load_file

    kept = store.converted_file(model, file)
    if _is_whole(kept):
        return load_file(kept)
    found = _read(store.folder(model) / file.path)
    try:
        store.own(kept).parent.mkdir(parents=True, exist_ok=True)
        write_tensors(kept, found)
        notes.write_converted(Checksum(path=kept.name, size=kept.stat().st_size, sha256=verification.digest(kept)))
    except (OSError, Failure):  # the data folder is read-only on a farm, or full: the next run reads the release again
        return found
    return load_file(kept)


def _read(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        what = f"The weights {path} cannot be read ({type(error).__name__})."
        raise Failure(exit_codes.MISSING, what, hint="Run models verify, which shows how to replace them.") from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise Failure(exit_codes.MISSING, f"The weights {path} hold more than named tensors, so they are not used.")
    return {name: value.contiguous() for name, value in found.items()}


def _is_whole(kept: Path) -> bool:
    """Whether a converted file is as it was written."""
    wanted = notes.read_converted(kept.name)
    if wanted is None or not kept.is_file() or kept.stat().st_size != wanted.size:
        return False
    return verification.digest(kept) == wanted.sha256
