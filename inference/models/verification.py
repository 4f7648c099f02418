"""Reading weights in full and comparing them with their checksums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import events, exit_codes
from ..faults import Failure
from ..run.progress import Meter
from . import inspection, store
from .facts import Model


def verify(
    models: Sequence[Model], *, emit: Callable[[events.Event], None], check: Callable[[], None] = lambda: None
) -> None:
    """Read every byte of models; nothing is changed but the note of what was verified.

    Parameters
    ----------
    models : sequence of Model
    emit : callable
        Takes events; `done` and `total` of progress are bytes.
    check : callable
        Called between pieces; raises to break off.

    Raises
    ------
    Failure
        MISSING: naming every file that is missing or damaged, with the command that replaces those and no others.
    """
    meter = Meter(emit, frames=0)
    meter.plan(sum(_bytes_of(model) for model in models))
    found, cures = [], []
    for model in models:
        size, read = _bytes_of(model), 0
        meter.stage("verify", f"Checking {model.label}")
        meter.begin(size)

        def report(count: int, size: int = size) -> None:
            nonlocal read
            read += count
            meter.part(read / max(size, 1))

        problems = inspection.verify(model, check=check, report=report)
        if problems:
            found += [problem.what for problem in problems]
            cures.append(inspection.cure(model))
    if found:
        raise Failure(exit_codes.MISSING, " ".join(found), cure=" ".join(cures))
    meter.finish()


def _bytes_of(model: Model) -> int:
    paths = [store.folder(model) / file.path for file in model.files]
    return sum(path.stat().st_size for path in paths if path.is_file())
