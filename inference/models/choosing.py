"""Choosing the revision of a model that Fathom fixes none of: named or confirmed by the user, or told by a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .. import exit_codes
from ..faults import Failure
from . import pins, store, trust
from .facts import Model


def check_named(models: Sequence[Model], named: Mapping[str, str]) -> None:
    """Refuse revisions that cannot be meant.

    Parameters
    ----------
    models : sequence of Model
        All that are to be got.
    named : mapping
        Name of a model to the revision that the user wants of it.

    Raises
    ------
    Failure
        USAGE: no commit hash, another revision than the one that is fixed or was chosen, or of another model.
    """
    there = {model.name: model for model in models}
    for name, revision in named.items():
        model = there.get(name)
        if model is None:
            raise Failure(exit_codes.USAGE, f"A revision is named for '{name}', which is not among what is to be got.")
        if not trust.is_revision(revision):
            raise Failure(
                exit_codes.USAGE,
                f"'{revision}' is no revision of {name}: it takes the full commit hash, 40 digits and letters from a "
                "to f, for names such as main may mean something else tomorrow.",
            )
        if model.revision and revision != model.revision:
            raise Failure(
                exit_codes.USAGE,
                f"Fathom fixes the revision of {name}, {model.revision}, and takes no other.",
                cure=f"Leave out --revision {name}={revision}.",
            )
        pin = pins.read(model)
        if pin and revision != pin.revision:
            raise Failure(
                exit_codes.USAGE,
                f"{model.label} is at the revision {pin.revision} since {pin.recorded[:10]}, and two cannot be told "
                "apart in what they make.",
                cure=f"Remove it first. Run: {store.command('remove', name)}",
            )


def fixed(model: Model) -> Model:
    """A model at the revision that is fixed or was chosen, so that the hub can be asked for it.

    Raises
    ------
    Failure
        MISSING: it came from a folder that told none.
    """
    if model.revision:
        return model
    revision = pins.revision(model)
    if revision == pins.UNKNOWN:
        raise Failure(
            exit_codes.MISSING,
            f"{model.label} came from a folder that does not tell its revision, so the hub cannot be asked for it.",
            cure="Copy it again with --from DIR, or remove it and download it anew. Run: "
            f"{store.command('remove', model.name)}",
        )
    return pins.at(model, revision)


def of_folder(model: Model, source: Path, named: str | None) -> Model:
    """A model at the revision that a folder of files has it at; it is not noted yet.

    Parameters
    ----------
    model : Model
        Of which no revision was chosen yet.
    source : Path
        As for `store.inside`.
    named : str or None
        What the user says.
    """
    return pins.at(model, named or store.only_snapshot(source, model) or pins.UNKNOWN)


def of_hub(
    model: Model, named: str | None, newest: Callable[[], tuple[str, str]], confirm: Callable[[str, str], bool]
) -> Model:
    """A model at the revision that the user wants; it is not noted yet.

    Parameters
    ----------
    model : Model
        Of which no revision was chosen yet.
    named : str or None
        What the user says.
    newest : callable
        Asks the hub for its newest revision and the day of that.
    confirm : callable
        Asks the user whether to take it.

    Raises
    ------
    Failure
        REFUSED: the user has not said which.
    """
    if named:
        return pins.at(model, named)
    revision, day = newest()
    if confirm(revision, day):
        return pins.at(model, revision)
    raise Failure(
        exit_codes.REFUSED,
        f"Fathom fixes no revision of {model.repository}, and does not take the newest unasked, which is {revision} "
        f"of {day}.",
        cure=f"Take it, or an older one, with --revision {model.name}={revision}; from then on it stays that one.",
    )
