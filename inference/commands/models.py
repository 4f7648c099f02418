"""``models``: list, download, verify, locate and remove the weights of networks."""

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

from .. import mattes
from ..common import failures
from ..common.failures import Cancelled, Failure
from ..common.units import duration, size_text
from ..contract import events, exit_codes, hints, records, weights
from ..contract.untrusted import absolute
from ..estimators import registry
from ..models import notes, store, verification
from ..models.facts import Licence, Model
from ..models.verification import ModelStatus
from . import stoppable
from .display import Display, facts_block

if TYPE_CHECKING:
    from ..run.stop import Stop

_NEWEST = weights.NEWEST
_STATES = {
    "missing": "not downloaded",
    "incomplete": "some files are missing",
    "unverified": "downloaded, but never verified",
    "changed": "changed since it was verified; it is verified again before the next estimate",
    "ready": "downloaded and verified",
}
_CHECKSUMS = {
    "hub": "the hub's",
    "folder": "computed from the files, never compared with the hub's",
    "fathom": "fixed by Fathom",
}


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    text = __doc__.split(": ", 1)[1]
    verb = verbs.add_parser("models", help="download and manage network weights", description=text)
    actions = verb.add_subparsers(metavar="ACTION", required=True)

    def action(
        name: str, run: Callable[[argparse.Namespace], int], text: str, names: str = "*"
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        added.add_argument("names", metavar="NAME", nargs=names, help="name of weights in `list` (default: all)")
        added.set_defaults(run=run)
        return added

    listed = action(
        "list", partial(_print_answer, _list), "list the weights, their licenses, and their state on this computer"
    )
    listed.add_argument("--json", action="store_true", help="print a JSON list with every fact")
    download = action("download", _download, "download weights, or only their missing or damaged files")
    download.add_argument(
        "--accept-license",
        metavar="LICENSE",
        action="append",
        default=[],
        help="name of an accepted license in `list`; repeatable",
    )
    download.add_argument("--from", metavar="DIR", dest="source", help="copy from this folder instead of the hub")
    download.add_argument("--offline", action="store_true", help="do not use the network")
    download.add_argument(
        "--revision",
        metavar="NAME=HASH",
        action="append",
        default=[],
        help=f"commit of weights whose revision Fathom does not fix, or NAME={_NEWEST} for the hub's newest, which is "
        "kept from then on; repeatable",
    )
    download.add_argument(
        "--token",
        metavar="TOKEN",
        help="token for the hub (default: $HF_TOKEN, or the hub's own file) or the mirror in $HF_ENDPOINT "
        "(default: $FATHOM_HUB_MIRROR_TOKEN)",
    )
    stoppable.add_options(download)
    verify = action("verify", _verify, "read weights in full and compare them with their checksums")
    stoppable.add_options(verify)
    action("path", partial(_print_answer, _path), "print the folders of the weights")
    action("remove", partial(_print_answer, _remove), "remove downloaded weights", names="+")


# Actions that return at once


def _print_answer(text: Callable[[argparse.Namespace], str], options: argparse.Namespace) -> int:
    """Print an answer, or an error in one sentence."""
    try:
        print(text(options))
    except (Failure, OSError) as error:
        event = failures.explain(error)
        sys.stderr.write(f"{hints.as_options(event.message)}\n")
        return event.code
    return exit_codes.OK


def _list(options: argparse.Namespace) -> str:
    there = every_model()
    listed = [(verification.model_status(model), there[model.name][1]) for model in models_named(options.names)]
    if options.json:
        return json.dumps([_as_json(*each) for each in listed], indent=2, ensure_ascii=False)
    return "\n\n".join(_as_text(*each) for each in listed) or "No estimator needs any weights."


def _as_json(found: ModelStatus, estimators: Sequence[str]) -> dict[str, Any]:
    """As docs/models.md describes it; sizes in bytes."""
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
        "users": [registry.info(name).label if name in registry.names() else name for name in estimators],
        "files": files,
        "size": found.size(model.files),
        "missing_size": found.size(found.missing),
        "partial_size": store.partial_bytes(model),
        "folder": str(found.folder),
        "studio": found.studio,
        "state": found.state,
        "checksums": found.lock.origin if found.lock else None,
        "accepted": acceptance.accepted if acceptance else None,
        "can_run": found.can_run,
        "download": store.command("download", model.name),
    }


def _as_text(found: ModelStatus, estimators: Sequence[str]) -> str:
    model, licence = found.model, found.model.licence
    missing = f": {size_text(found.size(found.missing))} to download" if found.missing else ""
    rows = [
        ("repository", f"{model.repository} at {_revision(found)}"),
        ("size", f"{size_text(found.size(model.files))} in {len(model.files)} files"),
        ("license", f"{licence.name}: {licence.title}. {licence.summary}"),
        ("", licence.url),
        ("accepted", _acceptance(found.model.licence)),
        ("folder", f"{found.folder}{' (the studio’s)' if found.studio else ''}"),
        ("checksums", _CHECKSUMS[found.lock.origin] if found.lock else "none yet"),
        ("state", _STATES[found.state] + missing),
    ]
    if not found.can_run:
        rows.append(("download", store.command("download", model.name)))
    return facts_block(f"{model.name} - {model.label}, for {', '.join(estimators)}", rows)


def _acceptance(licence: Licence) -> str:
    if not licence.needs_acceptance:
        return "not necessary"
    acceptance = notes.accepted(licence)
    return acceptance.accepted[:10] if acceptance else "no"


def _revision(found: ModelStatus) -> str:
    """The revision, and how it was chosen."""
    revision, pin = store.used_revision(found.model), notes.read_pin(found.model)
    revision = "an unknown revision" if revision == notes.UNKNOWN else revision[:12]
    if pin:
        where = f" from {pin.source}" if pin.chosen == "folder" else ""
        return f"{revision} (chosen on {pin.recorded[:10]}{where}; not fixed by Fathom)"
    if notes.is_open(found.model):
        if found.studio:
            return f"{revision} (from the studio’s folder; not fixed by Fathom)"
        return "a revision that you choose with the first download; not fixed by Fathom"
    if found.lock and found.lock.origin == "hub":
        return f"{revision} (confirmed by the hub)"
    return revision if found.model.revision_checked else f"{revision} (from third parties' pins; not confirmed yet)"


def _path(options: argparse.Namespace) -> str:
    models = models_named(options.names)
    absent = [model for model in models if store.missing(model)]
    if absent:
        what = f"These weights are missing or incomplete on this computer: {', '.join(model.name for model in absent)}."
        raise Failure(exit_codes.MISSING, what, hint=store.download_command(*absent))
    return "\n".join(str(store.folder(model)) for model in models)


def _remove(options: argparse.Namespace) -> str:
    lines = []
    for model in models_named(options.names):
        others = [other for other, _ in every_model().values() if other.name != model.name]
        freed = store.remove(model, others)
        studio = f"; the studio's files in {store.folder(model)} stay" if store.is_studios(model) else ""
        there = f"removed, {size_text(freed)} freed" if freed else "nothing to remove"
        lines.append(f"{model.name}: {there}{studio}.")
    return "\n".join(lines)


# Actions with progress


def _download(options: argparse.Namespace) -> int:
    def work(models: Sequence[Model], display: Display, check: Callable[[], None]) -> None:
        from ..models.download import DownloadRequest, download, offline_is_set

        _check_licence_names(options.accept_license)
        revisions = _revisions(options.revision)
        newest = {each.name for each in models if not each.revision and revisions.get(each.name) == _NEWEST}
        request = DownloadRequest(
            emit=display,
            check=check,
            accepted=tuple(options.accept_license),
            source=_folder(options.source),
            offline=options.offline or offline_is_set(),
            token=options.token,
            revisions={name: revision for name, revision in revisions.items() if name not in newest},
            ask_revision=lambda model, _revision, _day: model.name in newest,
        )
        if not options.events:
            for model in models:
                _announce(model)
            if sys.stdin.isatty() and not options.parent_pipe:
                request = replace(request, ask=_ask)
                if not newest:
                    request = replace(request, ask_revision=_ask_revision)
        download(models, request)

    def ending(models: Sequence[Model], time: str) -> str:
        folders = "".join(f"\n  {model.name}: {store.folder(model)}" for model in models)
        return f"The weights are downloaded and verified ({time}).{folders}"

    return _run_with_progress(options, work, ending)


def _verify(options: argparse.Namespace) -> int:
    def work(models: Sequence[Model], display: Display, check: Callable[[], None]) -> None:
        verification.verify(models, emit=display, check=check)

    def ending(models: Sequence[Model], time: str) -> str:
        return f"All files match their checksums: {', '.join(model.name for model in models)} ({time})."

    return _run_with_progress(options, work, ending)


def _run_with_progress(
    options: argparse.Namespace,
    work: Callable[[Sequence[Model], Display, Callable[[], None]], None],
    ending: Callable[[Sequence[Model], str], str],
) -> int:
    """Run the work on the named models; `ending` describes its end, with the time that it took."""
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
                exit_codes.USAGE,
                f"There is no license '{name}'. The licenses are: {', '.join(sorted(known)) or 'none'}.",
            )


def _revisions(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, revision = text.partition("=")
        if not equals:
            raise Failure(exit_codes.USAGE, f"--revision must be NAME=HASH, not '{text}'.")
        found[name.strip()] = revision.strip().lower()
    return found


def _folder(source: str | None) -> Path | None:
    if source is None:
        return None
    folder = absolute(source)
    if not folder.is_dir():
        raise Failure(exit_codes.USAGE, f"{folder} (--from) is not a folder.")
    return folder


def _announce(model: Model) -> None:
    """Print what will be downloaded."""
    found = verification.model_status(model)
    if found.missing:
        sys.stderr.write(
            f"{model.label}: {size_text(found.size(found.missing))} of {model.repository} to download. "
            f"License '{model.licence.name}': {model.licence.title}. {model.licence.summary}\n"
        )


def _ask(model: Model) -> bool:
    """Ask in the terminal whether the user accepts a license."""
    licence = model.licence
    sys.stderr.write(
        f"\n{model.label} is licensed under the {licence.title}.\n{licence.summary}\nFull text: {licence.url}\n"
        f"Type its name, {licence.name}, to accept it, or anything else to cancel: "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == licence.name


def _ask_revision(model: Model, revision: str, day: str) -> bool:
    """Ask in the terminal whether to use the newest revision of a model."""
    sys.stderr.write(
        f"\nFathom does not fix the revision of {model.label}. "
        f"The newest of {model.repository} is\n{revision} of {day}.\n"
        "Type yes to use it from now on, or anything else to cancel: "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"


def every_model() -> dict[str, tuple[Model, list[str]]]:
    """Every model by its name, with what needs it: the names of estimators, and mattes."""
    found: dict[str, tuple[Model, list[str]]] = {}
    for estimator in registry.names():
        info = registry.info(estimator)
        for model in dict.fromkeys((*info.models, *(each for variant in info.variants for each in variant.models))):
            known, users = found.setdefault(model.name, (model, []))
            if known != model:
                raise ValueError(f"{estimator} and {users[0]} declare different models '{model.name}'")
            users.append(estimator)
    found[mattes.MODEL.name] = mattes.MODEL, ["mattes of people"]
    return found


def models_named(names: Sequence[str]) -> list[Model]:
    """The models of these names, which must exist (else a `Failure`, USAGE); all models without names."""
    there = every_model()
    for name in names:
        if name not in there:
            known = f"The weights are: {', '.join(there)}" if there else "No estimator needs any"
            raise Failure(exit_codes.USAGE, f"There are no weights '{name}'. {known}.")
    return [there[name][0] for name in dict.fromkeys(names or there)]
