"""The weights of networks, described for other processes. Standard library only.

The worker's command line keeps them; any Python can list them, the one in Blender too, so that their licenses and sizes
are known before anything is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import client, records
from .client import Question
from .untrusted import in_a_line

State = Literal["missing", "incomplete", "unverified", "changed", "ready"]
NEWEST = "newest"
"""Chooses the newest revision of weights whose revision Fathom does not fix."""


class WeightsError(RuntimeError):
    """Weights cannot be listed or removed; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class LicenceFacts:
    """A license: its name as users type it, title, one sentence, address, and whether it must be accepted."""

    name: str
    title: str
    summary: str = ""
    url: str = ""
    needs_acceptance: bool = True


@dataclass(frozen=True, kw_only=True)
class WeightsFacts:
    """Facts about weights, as the verb ``models list --json`` prints them.

    Attributes
    ----------
    name, label, repository : str
        As users type it; for the artist; where they come from.
    licence : LicenceFacts
    estimators, users : tuple of str
        Names of what needs them, and the same for the artist.
    size, missing_size, partial_size : int
        Bytes of all files, of the missing ones, and of what an interrupted download left of those.
    folder : str
        Where the files are, or will be.
    studio : bool
        Whether that is a studio's folder, which Fathom does not change.
    state : str
        ``unverified`` without checksums, ``changed`` since they were verified.
    can_run : bool
        Whether the files are there and the license is accepted.
    revision_open : bool
        Whether the artist has a revision to choose first.
    revision : str
        The one that is there, or will be; empty: it is not chosen.
    """

    name: str
    label: str
    repository: str
    licence: LicenceFacts
    estimators: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    size: int = 0
    missing_size: int = 0
    partial_size: int = 0
    folder: str = ""
    studio: bool = False
    state: State = "missing"
    can_run: bool = False
    revision_open: bool = False
    revision: str = ""


def ask(python: Path, home: Path) -> Question:
    """Start a Python to list the weights; `answer` reads the list. OSError where it cannot be started."""
    return client.ask(python, ["models", "list", "--json"], home=home)


def answer(question: Question) -> tuple[WeightsFacts, ...]:
    """Wait for the list and read it.

    Raises
    ------
    WeightsError
        Why there is none, such as a studio's folder that is not there.
    """
    code, output, errors = question.answer()
    if code:
        raise WeightsError(_last_line(errors) or f"The list of weights ended with code {code}.")
    try:
        data = records.parse(output.decode("utf-8", "replace"), where="The list of weights")
        if not isinstance(data, list):
            raise records.RecordError("The list of weights is none")
        return tuple(records.from_json(WeightsFacts, item, where="weights", strict=False) for item in data)
    except records.RecordError as error:
        raise WeightsError(f"{error}.") from error


def remove(name: str, *, python: Path, home: Path) -> str:
    """Remove downloaded weights and wait for it; what was done, in one sentence. WeightsError as for `answer`."""
    try:
        code, output, errors = client.ask(python, ["models", "remove", name], home=home).answer()
    except OSError as error:
        raise WeightsError(f"{name} cannot be removed ({error}).") from error
    if code:
        raise WeightsError(_last_line(errors) or f"{name} cannot be removed.")
    return _last_line(output)


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return in_a_line(lines[-1].strip(), most=1000) if lines else ""
