"""Which licences of weights the user has accepted. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..contract import packages, records
from . import pins
from .facts import Licence, Model


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """That a licence was accepted.

    Attributes
    ----------
    name, title, url : str
        Of the licence.
    accepted : str
        When, as an ISO date and time.
    fathom : str
        The version of Fathom that asked.
    repository, revision : str
        The weights for which it was asked, whose revision tells the text that held then.
    """

    name: str
    title: str
    url: str
    accepted: str
    fathom: str
    repository: str
    revision: str


def accepted(licence: Licence) -> Acceptance | None:
    """The acceptance of a licence; None where it was not accepted."""
    try:
        return records.load(Acceptance, _path(licence), where="licence", strict=False)
    except (OSError, ValueError):
        return None


def accept(model: Model) -> None:
    """Record that the licence of a model is accepted; what was recorded before stays as it is."""
    licence = model.licence
    if accepted(licence):
        return
    acceptance = Acceptance(
        name=licence.name,
        title=licence.title,
        url=licence.url,
        accepted=pins.now(),
        fathom=packages.fathom_version(),
        repository=model.repository,
        revision=pins.revision(model),
    )
    pins.write_note(_path(licence), records.dumps(acceptance))


def _path(licence: Licence) -> Path:
    return pins.notes_folder() / "licences" / f"{licence.name}.json"
