"""``models``: the weights of networks - what there is, getting it, verifying it, where it lies, and removing it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import failures
from ..common.failures import Cancelled, Failure
from ..contract import events, exit_codes, hints, records
from ..estimators import registry
from ..models import listing, pins, store
from ..models.facts import Model
from ..models.listing import Listed
from . import stoppable
from .display import Display, Person, duration

if TYPE_CHECKING:
    from ..run.stop import Stop

_STATES = {
    "missing": "not there",
    "incomplete": "some files are missing",
    "unverified": "there, but never verified",
    "changed": "there, but changed since it was verified; it is read in full before the next estimate",
    "ready": "there and verified",
}


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("models", help="download and look after networks' weights", description=_description())
    actions = verb.add_subparsers(metavar="ACTION", required=True)

    def action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, names: str = "*"
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        added.add_argument("names", metavar="NAME", nargs=names, help="of weights that `list` lists (default: all)")
        added.set_defaults(run=run)
        return added

    listed = action("list", _list, "list the weights, their licences, and how they stand on this computer")
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
    action("path", _path, "print the folders in which the weights lie")
    action("remove", _remove, "remove downloaded weights", names="+")


def _description() -> str:
    return __doc__.split(": ", 1)[1]


def _list(options: argparse.Namespace) -> int:
    def work() -> int:
        there = every_model()
        listed = [listing.describe(model, tuple(there[model.name][1])) for model in models_named(options.names)]
        if options.json:
            print(json.dumps([records.to_json(each) for each in listed], indent=2, ensure_ascii=False))
        else:
            print("\n\n".join(_as_text(each) for each in listed) or "No estimator needs any weights.")
        return exit_codes.OK

    return _answering(work)


def _as_text(each: Listed) -> str:
    checksums = {
        "hub": "the hub's",
        "folder": "of the files themselves, never compared with the hub's",
        "fathom": "fixed by Fathom",
        None: "none yet",
    }
    state = _STATES[each.state]
    if each.missing_size:
        state += f": {store.size_text(each.missing_size)} to get"
    lines = [
        f"{each.name} - {each.label}, for {', '.join(each.estimators)}",
        f"  repository  {each.repository} at {_revision(each)}",
        f"  size        {store.size_text(each.size)} in {len(each.files)} files",
        f"  licence     {each.licence.name}: {each.licence.title}. {each.licence.summary}",
        f"              {each.licence.url}",
        f"  accepted    {each.accepted[:10] if each.accepted else 'no'}",
        f"  folder      {each.folder}{' (the studio’s)' if each.studio else ''}",
        f"  checksums   {checksums[each.checksums]}",
        f"  state       {state}",
    ]
    if not each.can_run:
        lines.append(f"  get it      {each.download}")
    return "\n".join(lines)


def _revision(each: Listed) -> str:
    """Which revision it is, and by whose word."""
    told = "an unknown revision" if each.revision == pins.UNKNOWN else each.revision[:12]
    if each.pin:
        where = f" from {each.pin.source}" if each.pin.chosen == "folder" else ""
        return f"{told} (chosen on {each.pin.recorded[:10]}{where}, for Fathom fixes none)"
    if each.studio and each.revision_open:
        return f"{told} (as the studio’s folder has it, for Fathom fixes none)"
    if each.revision_open:
        return "a revision that you choose with the first download, for Fathom fixes none"
    if each.checksums == "hub":
        return f"{told} (which the hub knows)"
    return told if each.revision_checked else f"{told} (from others' pins; not asked of the hub yet)"


def _download(options: argparse.Namespace) -> int:
    begun = time.monotonic()

    def work(display: Display, asked: Stop) -> events.Done:
        from ..models import download

        models = models_named(options.names)
        _check_licence_names(options.accept_licence)
        wish = download.Wish(
            accepted=tuple(options.accept_licence),
            source=_folder(options.source),
            offline=options.offline or download.offline_is_set(),
            token=options.token,
            revisions=_revisions(options.revision),
        )
        person = not options.events
        if person:
            for model in models:
                _tell(model)
        answers = person and not options.parent_pipe and sys.stdin.isatty()
        download.download(
            models,
            wish,
            emit=display,
            check=_checking(asked),
            ask=_ask if answers else lambda model: False,
            ask_revision=_ask_revision if answers else lambda model, revision, day: False,
        )
        return events.Done(folder=str(store.cache_folder()), frames=0, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        models = models_named(options.names)
        folders = "".join(f"\n  {model.name}: {store.folder(model)}" for model in models)
        return f"The weights are there and verified ({duration(done.seconds)}).{folders}"

    return stoppable.run(options, work, person=lambda: Person(describe=_progress, ending=ending))


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
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise Failure(exit_codes.USAGE, f"{folder}, given by --from, is no folder.")
    return folder


def _tell(model: Model) -> None:
    """Say what would be got, before anything is."""
    listed = listing.describe(model, ())
    if listed.missing_size:
        sys.stderr.write(
            f"{model.label}: {store.size_text(listed.missing_size)} of {model.repository} to get. "
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


def _progress(event: events.Progress) -> str:
    parts = [f"{store.size_text(event.done)} of {store.size_text(event.total)}"]
    if event.seconds_left:
        parts.append(f"{store.size_text((event.total - event.done) / event.seconds_left)}/s")
        parts.append(f"{duration(event.seconds_left)} left")
    return ", ".join(parts)


def _checking(asked: Callable[[], bool]) -> Callable[[], None]:
    def check() -> None:
        if asked():
            raise Cancelled

    return check


def _verify(options: argparse.Namespace) -> int:
    begun = time.monotonic()

    def work(display: Display, asked: Stop) -> events.Done:
        from ..models import inspection

        models = models_named(options.names)
        inspection.verify(models, emit=display, check=_checking(asked))
        return events.Done(folder=str(store.cache_folder()), frames=0, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        names = ", ".join(model.name for model in models_named(options.names))
        return f"Every byte is as it should be: {names} ({duration(done.seconds)})."

    return stoppable.run(options, work, person=lambda: Person(describe=_progress, ending=ending))


def _path(options: argparse.Namespace) -> int:
    def work() -> int:
        models = models_named(options.names)
        absent = [model for model in models if store.missing(model)]
        if absent:
            raise Failure(
                exit_codes.MISSING,
                f"These weights are not whole on this computer: {', '.join(model.name for model in absent)}.",
                cure=store.download_command(*absent),
            )
        for model in models:
            print(store.folder(model))
        return exit_codes.OK

    return _answering(work)


def _remove(options: argparse.Namespace) -> int:
    def work() -> int:
        for model in models_named(options.names):
            others = [other for other, _ in every_model().values() if other.name != model.name]
            freed = store.remove(model, others)
            studio = f"; those in {store.folder(model)} are the studio's and stay" if store.is_studios(model) else ""
            there = f"removed, {store.size_text(freed)} are free" if freed else "was not there"
            print(f"{model.name}: {there}{studio}.")
        return exit_codes.OK

    return _answering(work)


def _answering(work: Callable[[], int]) -> int:
    """Do what is done in a moment; what goes wrong is told in one sentence."""
    try:
        return work()
    except (Failure, OSError) as error:
        told = failures.explain(error)
        sys.stderr.write(f"{hints.as_options(told.message)}\n")
        return told.code


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
