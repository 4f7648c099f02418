"""``models``: the weights of networks - what there is, getting it, verifying it, where it lies, and removing it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common import failures
from ..common.failures import Cancelled, Failure
from ..common.units import duration, size_text
from ..contract import events, exit_codes, hints, records
from ..contract.untrusted import absolute
from ..estimators import registry
from ..models import notes, store, verification
from ..models.facts import Model
from ..models.verification import Look
from . import stoppable
from .display import Display, card

if TYPE_CHECKING:
    from ..run.stop import Stop

_STATES = {
    "missing": "not there",
    "incomplete": "some files are missing",
    "unverified": "there, but never verified",
    "changed": "there, but changed since it was verified; it is read in full before the next estimate",
    "ready": "there and verified",
}
_CHECKSUMS = {
    "hub": "the hub's",
    "folder": "of the files themselves, never compared with the hub's",
    "fathom": "fixed by Fathom",
}


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = __doc__.split(": ", 1)[1]
    verb = verbs.add_parser("models", help="download and look after networks' weights", description=text)
    actions = verb.add_subparsers(metavar="ACTION", required=True)

    def action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, names: str = "*"
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        added.add_argument("names", metavar="NAME", nargs=names, help="of weights that `list` lists (default: all)")
        added.set_defaults(run=run)
        return added

    listed = action(
        "list", partial(_answer, _list), "list the weights, their licences, and how they stand on this computer"
    )
    listed.add_argument("--json", action="store_true", help="print a JSON list with every fact")
    download = action("download", _download, "download weights, or what is missing or damaged of them")
    download.add_argument(
        "--accept-licence", metavar="LICENCE", action="append", default=[], help="by its name in `list`; repeatable"
    )
    download.add_argument("--from", metavar="DIR", dest="source", help="copy from this folder in the place of the hub")
    download.add_argument("--offline", action="store_true", help="never touch the network")
    download.add_argument(
        "--revision",
        metavar="NAME=HASH",
        action="append",
        default=[],
        help="the commit to take of weights that Fathom fixes none of; repeatable",
    )
    download.add_argument(
        "--token",
        metavar="TOKEN",
        help="for the hub (default: $HF_TOKEN, or the hub's own file) or the mirror in $HF_ENDPOINT "
        "(default: $FATHOM_HUB_MIRROR_TOKEN)",
    )
    stoppable.add_options(download)
    verify = action("verify", _verify, "read weights in full and compare them with their checksums")
    stoppable.add_options(verify)
    action("path", partial(_answer, _path), "print the folders in which the weights lie")
    action("remove", partial(_answer, _remove), "remove downloaded weights", names="+")


# What is answered at once


def _answer(text: Callable[[argparse.Namespace], str], options: argparse.Namespace) -> int:
    """Print an answer; what goes wrong is one sentence."""
    try:
        print(text(options))
    except (Failure, OSError) as error:
        told = failures.explain(error)
        sys.stderr.write(f"{hints.as_options(told.message)}\n")
        return told.code
    return exit_codes.OK


def _list(options: argparse.Namespace) -> str:
    there = every_model()
    listed = [(verification.look(model), there[model.name][1]) for model in models_named(options.names)]
    if options.json:
        return json.dumps([_as_json(*each) for each in listed], indent=2, ensure_ascii=False)
    return "\n\n".join(_as_text(*each) for each in listed) or "No estimator needs any weights."


def _as_json(found: Look, estimators: Sequence[str]) -> dict[str, Any]:
    """What docs/models.md describes, in whole bytes."""
    model, acceptance, files = found.model, notes.accepted(found.model.licence), []
    for file in model.files:
        known, there = found.wanted(file), file not in found.missing
        sha256 = known.sha256 if known else ""
        files.append({"path": file.path, "size": found.size([file]), "sha256": sha256, "there": there})
    return {
        "name": model.name,
        "label": model.label,
        "repository": model.repository,
        "revision": store.used_revision(model),
        "revision_checked": model.revision_checked,
        "revision_open": notes.is_open(model),
        "pin": records.to_json(notes.read_pin(model)),
        "licence": records.to_json(model.licence),
        "estimators": list(estimators),
        "files": files,
        "size": found.size(model.files),
        "missing_size": found.size(found.missing),
        "folder": str(found.folder),
        "studio": found.studio,
        "state": found.state,
        "checksums": found.lock.origin if found.lock else None,
        "accepted": acceptance.accepted if acceptance else None,
        "can_run": found.can_run,
        "download": store.command("download", model.name),
    }


def _as_text(found: Look, estimators: Sequence[str]) -> str:
    model, licence, acceptance = found.model, found.model.licence, notes.accepted(found.model.licence)
    missing = f": {size_text(found.size(found.missing))} to get" if found.missing else ""
    rows = [
        ("repository", f"{model.repository} at {_revision(found)}"),
        ("size", f"{size_text(found.size(model.files))} in {len(model.files)} files"),
        ("licence", f"{licence.name}: {licence.title}. {licence.summary}"),
        ("", licence.url),
        ("accepted", acceptance.accepted[:10] if acceptance else "no"),
        ("folder", f"{found.folder}{' (the studio’s)' if found.studio else ''}"),
        ("checksums", _CHECKSUMS[found.lock.origin] if found.lock else "none yet"),
        ("state", _STATES[found.state] + missing),
    ]
    if not found.can_run:
        rows.append(("get it", store.command("download", model.name)))
    return card(f"{model.name} - {model.label}, for {', '.join(estimators)}", rows)


def _revision(found: Look) -> str:
    """Which revision it is, and by whose word."""
    revision, pin = store.used_revision(found.model), notes.read_pin(found.model)
    revision = "an unknown revision" if revision == notes.UNKNOWN else revision[:12]
    if pin:
        where = f" from {pin.source}" if pin.chosen == "folder" else ""
        return f"{revision} (chosen on {pin.recorded[:10]}{where}, for Fathom fixes none)"
    if notes.is_open(found.model):
        if found.studio:
            return f"{revision} (as the studio’s folder has it, for Fathom fixes none)"
        return "a revision that you choose with the first download, for Fathom fixes none"
    if found.lock and found.lock.origin == "hub":
        return f"{revision} (which the hub knows)"
    return revision if found.model.revision_checked else f"{revision} (from others' pins; not asked of the hub yet)"


def _path(options: argparse.Namespace) -> str:
    models = models_named(options.names)
    absent = [model for model in models if store.missing(model)]
    if absent:
        what = f"These weights are not whole on this computer: {', '.join(model.name for model in absent)}."
        raise Failure(exit_codes.MISSING, what, cure=store.download_command(*absent))
    return "\n".join(str(store.folder(model)) for model in models)


def _remove(options: argparse.Namespace) -> str:
    lines = []
    for model in models_named(options.names):
        others = [other for other, _ in every_model().values() if other.name != model.name]
        freed = store.remove(model, others)
        studio = f"; those in {store.folder(model)} are the studio's and stay" if store.is_studios(model) else ""
        there = f"removed, {size_text(freed)} are free" if freed else "was not there"
        lines.append(f"{model.name}: {there}{studio}.")
    return "\n".join(lines)


# What takes long


def _download(options: argparse.Namespace) -> int:
    def work(models: Sequence[Model], display: Display, check: Callable[[], None]) -> None:
        from ..models.download import Wish, download, offline_is_set

        _check_licence_names(options.accept_licence)
        wish = Wish(
            emit=display,
            check=check,
            accepted=tuple(options.accept_licence),
            source=_folder(options.source),
            offline=options.offline or offline_is_set(),
            token=options.token,
            revisions=_revisions(options.revision),
        )
        if not options.events:
            for model in models:
                _announce(model)
            if sys.stdin.isatty() and not options.parent_pipe:
                wish = replace(wish, ask=_ask, ask_revision=_ask_revision)
        download(models, wish)

    def ending(models: Sequence[Model], time: str) -> str:
        folders = "".join(f"\n  {model.name}: {store.folder(model)}" for model in models)
        return f"The weights are there and verified ({time}).{folders}"

    return _take_long(options, work, ending)


def _verify(options: argparse.Namespace) -> int:
    def work(models: Sequence[Model], display: Display, check: Callable[[], None]) -> None:
        verification.verify(models, emit=display, check=check)

    def ending(models: Sequence[Model], time: str) -> str:
        return f"Every byte is as it should be: {', '.join(model.name for model in models)} ({time})."

    return _take_long(options, work, ending)


def _take_long(
    options: argparse.Namespace,
    work: Callable[[Sequence[Model], Display, Callable[[], None]], None],
    ending: Callable[[Sequence[Model], str], str],
) -> int:
    """Do the work on the models that are named; the end is told with the time that it took."""
    begun = time.monotonic()

    def run(display: Display, asked: Stop) -> events.Done:
        def check() -> None:
            if asked():
                raise Cancelled

        work(models_named(options.names), display, check)
        return events.Done(folder=str(store.cache_folder()), frames=0, seconds=time.monotonic() - begun)

    return stoppable.run(options, run, ending=lambda done: ending(models_named(options.names), duration(done.seconds)))


def _check_licence_names(names: list[str]) -> None:
    known = {model.licence.name for model, _ in every_model().values()}
    for name in names:
        if name not in known:
            raise Failure(
                exit_codes.USAGE, f"There is no licence '{name}'; there are {', '.join(sorted(known)) or 'none'}."
            )


def _revisions(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, revision = text.partition("=")
        if not equals:
            raise Failure(exit_codes.USAGE, f"--revision takes NAME=HASH, not '{text}'.")
        found[name.strip()] = revision.strip().lower()
    return found


def _folder(source: str | None) -> Path | None:
    if source is None:
        return None
    folder = absolute(source)
    if not folder.is_dir():
        raise Failure(exit_codes.USAGE, f"{folder}, given by --from, is no folder.")
    return folder


def _announce(model: Model) -> None:
    """Say what would be got, before anything is."""
    found = verification.look(model)
    if found.missing:
        sys.stderr.write(
            f"{model.label}: {size_text(found.size(found.missing))} of {model.repository} to get. "
            f"Licence '{model.licence.name}': {model.licence.title}. {model.licence.summary}\n"
        )


def _ask(model: Model) -> bool:
    """Ask on the terminal whether a licence is accepted."""
    licence = model.licence
    sys.stderr.write(
        f"\n{model.label} comes under the {licence.title}.\n{licence.summary}\nIts text: {licence.url}\n"
        f"Type its name, {licence.name}, to accept it, or anything else to leave: "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == licence.name


def _ask_revision(model: Model, revision: str, day: str) -> bool:
    """Ask on the terminal whether the newest revision of a model may be taken."""
    sys.stderr.write(
        f"\nFathom fixes no revision of {model.label}. The newest of {model.repository} is\n{revision} of {day}.\n"
        "Type yes to take it, and to stay with it, or anything else to leave: "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"


def every_model() -> dict[str, tuple[Model, list[str]]]:
    """Every model by its name, with the names of the estimators that need it."""
    found: dict[str, tuple[Model, list[str]]] = {}
    for estimator in registry.names():
        for model in registry.info(estimator).models:
            known, users = found.setdefault(model.name, (model, []))
            if known != model:
                raise ValueError(f"{estimator} and {users[0]} declare different models '{model.name}'")
            users.append(estimator)
    return found


def models_named(names: Sequence[str]) -> list[Model]:
    """The models of these names; all of them for none.

    Raises
    ------
    Failure
        USAGE: there is no model of a name; the sentence lists those that there are.
    """
    there = every_model()
    for name in names:
        if name not in there:
            known = f"there are {', '.join(there)}" if there else "no estimator needs any"
            raise Failure(exit_codes.USAGE, f"There are no weights '{name}'; {known}.")
    return [there[name][0] for name in dict.fromkeys(names or there)]
