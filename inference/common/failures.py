"""Errors that end a run without a depth sequence: exceptions, and their exit codes and messages (`explain`)."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb

from ..contract import events, exit_codes, packages
from ..contract.catalogue import MissingRequirement
from ..contract.depth_sequence import DepthSequenceError
from ..contract.hints import setting
from ..contract.job import JobError
from ..contract.own_files import HINT, PathConflict
from ..contract.records import RecordError
from ..contract.untrusted import in_a_line
from ..contract.web_address import hide_secrets

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_TORCH_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Messages of torch without an exception class: on the CPU, on Apple's GPUs, and from CUDA's libraries or for pinned
memory."""
_NO_NAME = {errno.ENAMETOOLONG, errno.ELOOP}
_ALLOCATOR = ("std::bad_alloc", "bad allocation")
"""Messages of C++ that a library's bindings raise as another exception."""
_NOT_OF_FILES = {errno.ENOMEM, errno.EMFILE, errno.ENFILE}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class Failure(Exception):
    """A run that ends without a depth sequence for a known reason.

    Parameters
    ----------
    code : int
        One of `inference.contract.exit_codes`.
    what, why, hint : str
        Sentences: what happened, the reason, what to try.
    shots : tuple of ShotNote
        The reasons of single shots, if they differ.
    """

    def __init__(
        self, code: int, what: str, why: str = "", hint: str = "", *, shots: tuple[events.ShotNote, ...] = ()
    ) -> None:
        self.code, self.what, self.why, self.hint, self.shots = code, what, why, hint, shots
        super().__init__(self.event().message)

    def event(self) -> events.Error:
        """The event for the artist."""
        return events.Error(code=self.code, what=self.what, why=self.why, hint=self.hint, shots=self.shots)


class UnsupportedShot(Exception):
    """A shot is unsupported by the estimator: one sentence with the measured reason, one with what to do instead.

    Parameters
    ----------
    reason, hint : str
    supported : (int, int) or None
        First and last source frame of a part of the shot that the estimator may support by itself.
    """

    def __init__(self, reason: str, hint: str, *, supported: tuple[int, int] | None = None) -> None:
        super().__init__(f"{reason} {hint}")
        self.reason, self.hint, self.supported = reason, hint, supported


class Cancelled(Exception):
    """The run was cancelled; raised by `Shot.check` and never handled on the way."""


class ClipError(Exception):
    """A clip cannot be read correctly.

    Parameters
    ----------
    what : str
        What is wrong, naming the file and, if there is one, the frame; no full stop.
    hint : str
        What to do instead; no full stop.

    The message is both as one sentence.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}; {hint}.")
        self.what, self.hint = what, hint

    def __reduce__(self) -> tuple[type[ClipError], tuple[str, str]]:
        """Pickle by both parts, so that the error can leave a child process."""
        return type(self), (self.what, self.hint)


def unwritable(error: OSError, path: str | Path, *, needed_bytes: float | None = None) -> Failure:
    """The error for a file in the output folder that could not be written.

    `needed_bytes` is the approximate space that the rest of the job needs, for the message on a full disk.
    """
    if isinstance(error, PathConflict):
        return Failure(exit_codes.BAD_OUTPUT, error.sentence, hint=HINT)
    if error.errno in _FULL:
        size = f"About {max(needed_bytes / 1e6, 1):.0f} MB more are" if needed_bytes else "More space is"
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"The disk is full: {path} could not be written.",
            f"{size} needed in this folder.",
            "Free some space and start the same job again to resume it.",
        )
    if error.errno in _CLOSED:
        return Failure(
            exit_codes.BAD_OUTPUT,
            f"{path} cannot be written: permission is denied, or the folder is read-only.",
            hint="Choose a folder that you may write to.",
        )
    return Failure(
        exit_codes.BAD_OUTPUT,
        f"{path} cannot be written ({error.strerror or error}).",
        hint="Check the folder and its disk, or choose another folder.",
    )


def unmet_requirements(missing: Sequence[MissingRequirement]) -> Failure:
    """Missing requirements as one error: what they are, and each hint once, in the order in which to follow them."""
    first, *others = dict.fromkeys(requirement.hint for requirement in missing)
    hints = [first, *(hint[:1].lower() + hint[1:] for hint in others)]
    steps = "; then ".join([*(hint.rstrip(".") for hint in hints[:-1]), hints[-1]])
    return Failure(exit_codes.MISSING, " ".join(requirement.what for requirement in missing), hint=steps)


def is_of_files(error: OSError) -> bool:
    """Whether an OSError is about a file or a disk, not about a process, a pipe or memory."""
    others = (BlockingIOError, ChildProcessError, ConnectionError, InterruptedError, ProcessLookupError, TimeoutError)
    return not isinstance(error, others) and error.errno is not None and error.errno not in _NOT_OF_FILES


def explain(error: BaseException) -> events.Error:
    """Convert any exception that ends a run into the event for the artist."""
    if isinstance(error, Failure):
        return error.event()
    if isinstance(error, (Cancelled, KeyboardInterrupt)):
        return events.cancelled()
    if isinstance(error, UnsupportedShot):
        return events.Error(code=exit_codes.UNSUPPORTED, what=error.reason, hint=error.hint)
    if isinstance(error, JobError):
        return events.Error(code=error.code, what=str(error))
    if isinstance(error, (RecordError, DepthSequenceError)):
        return events.Error(code=exit_codes.USAGE, what=str(error))
    if isinstance(error, ImportError):
        return _missing(error)
    if isinstance(error, ClipError):
        return events.Error(code=exit_codes.BAD_CLIP, what=str(error))
    if is_out_of_memory(error):
        return events.Error(
            code=exit_codes.FAILED,
            what="The computer ran out of memory.",
            hint=f"Choose a smaller {setting('size')} or close other programs, and start the same job again.",
        )
    if isinstance(error, PathConflict) or (isinstance(error, OSError) and error.errno in _FULL):
        return unwritable(error, error.filename or "a file").event()
    if isinstance(error, OSError) and error.errno in _CLOSED and error.filename:
        return events.Error(
            code=exit_codes.USAGE,
            what=f"{in_a_line(os.fsdecode(error.filename))} cannot be read or written: permission is denied, or the "
            "disk is read-only.",
            hint="Change its permissions, or choose another.",
        )
    if isinstance(error, OSError) and error.errno in _NO_NAME:
        return events.Error(
            code=exit_codes.USAGE,
            what=f"{in_a_line(str(error.filename))} is not a valid file name on this system ({error.strerror}).",
            hint="Choose another name.",
        )
    return events.Error(
        code=exit_codes.FAILED,
        what=f"An unexpected error occurred ({type(error).__name__}: {first_line(error)}).",
        hint="The log has the details; start the same job again to resume it.",
    )


def _missing(error: ImportError) -> events.Error:
    module = (error.name if isinstance(error, ModuleNotFoundError) else _raised_in(error) or error.name) or ""
    if not isinstance(error, ModuleNotFoundError) or packages.importable(module.partition(".")[0]):
        which = f"The package {packages.package_of(module)} is installed but" if module else "A package"
        what = f"{which} cannot be loaded ({first_line(error)})."
    else:
        what = f"The package {packages.package_of(module)} is not installed in {sys.executable}."
    return events.Error(
        code=exit_codes.MISSING,
        what=what,
        hint=packages.hint(full=packages.is_on_top(module)),
    )


def _raised_in(error: ImportError) -> str:
    """The package that raised an error while it was imported; empty if unknown.

    Where a library of it cannot be loaded, the error itself names that library's file alone, such as ``_C``.
    """
    modules = (str(frame.f_globals.get("__name__")).partition(".")[0] for frame, _ in walk_tb(error.__traceback__))
    others = {"importlib", "_frozen_importlib", "_frozen_importlib_external", "__main__", __name__.partition(".")[0]}
    found = [module for module in modules if module not in others and packages.importable(module)]
    return found[-1] if found else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that host memory or the device's memory ran out."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, _class_of("torch", "OutOfMemoryError")):
        return True
    if isinstance(error, RuntimeError) and any(words in str(error) for words in (*_TORCH_OUT_OF_MEMORY, *_ALLOCATOR)):
        return True
    return isinstance(error, _class_of("cv2", "error")) and "Insufficient memory" in str(error)


def _class_of(module: str, name: str) -> type[BaseException] | tuple[()]:
    """An exception class of a package, or none if the package is not imported."""
    return getattr(sys.modules.get(module), name, ())


def first_line(error: object) -> str:
    """The first line of an error's text without secrets and full stop, or else its type."""
    text = hide_secrets(str(error)).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
