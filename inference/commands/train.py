"""``train``: train a depth network from Stable Video Diffusion, in DepthCrafter's three stages."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.failures import Cancelled, Failure
from ..common.units import duration
from ..contract import events, exit_codes, packages
from ..contract.untrusted import absolute
from ..training import recipe
from . import stoppable
from .display import Display

if TYPE_CHECKING:
    from ..run.stop import Stop
    from ..training.data import Clip, Data, Report
    from ..training.output import Training
    from ..training.recipe import Settings

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "tensorboard")
_RELEASED = "depthcrafter"


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    lines = [f"  {each.name:<23}{_words(each)}" for each in recipe.PARAMETERS]
    verb = verbs.add_parser(
        "train",
        help="train a depth network, to be used by estimate --parameter weights=DIR",
        description="Train a depth network in the stages of DepthCrafter's paper; see docs/training.md. The same "
        "command resumes a training that was interrupted. On several GPUs or computers it runs under Accelerate's "
        "launcher: accelerate launch --config_file FILE -m inference train ...\n\nparameters (defaults of stage 1; "
        "numbers are sections of the paper):\n" + "\n".join(lines),
    )
    verb.add_argument("network", choices=tuple(recipe.NETWORKS), help="the estimator that the network is for")
    verb.add_argument("--stage", type=int, choices=tuple(recipe.STAGES), required=True, help="all, temporal or spatial")
    verb.add_argument("--data", metavar="FILE", required=True, help="the clips, a YAML file")
    verb.add_argument(
        "--from",
        metavar="WEIGHTS",
        dest="weights",
        help="folder of the network to begin with: Stable Video Diffusion's unet, or the model of an earlier stage; or "
        f"{_RELEASED} for the released weights",
    )
    verb.add_argument("--output", metavar="DIR", help="folder of the training; created if needed")
    verb.add_argument(
        "--parameter", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the recipe; repeatable"
    )
    verb.add_argument(
        "--check",
        action="store_true",
        help="read every frame of every clip, print what was found and what the training takes, and train nothing",
    )
    stoppable.add_options(verb)
    verb.set_defaults(run=run, prints=False)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # missing weights are reported; no library may download any
    begun = time.monotonic()
    is_first = os.environ.get("RANK", "0") == "0"
    printed: list[str] = []

    def work(display: Display, asked: Stop) -> events.Done:
        _need_packages()
        emit = display if is_first else _nothing

        def check() -> None:
            if asked():
                raise Cancelled

        from ..training import data

        settings, listed = _settings(options), data.load(options.data)
        emit(events.Stage(name="check", label="Checking the clips"))
        found = list(data.checked(listed, shortest=settings.shortest, thorough=options.check, check=check))
        reports, clips = [report for report, _, _ in found], [(clip, times) for _, clip, times in found if clip]
        for report in reports if not options.check else ():
            if report.problem:
                emit(events.Warning(message=f"{report.clip} is skipped: {report.problem}."))
        if options.check:
            printed.append(_table(reports))
            printed.append(_demands(settings, [clip for clip, _ in clips]))
            return events.Done(folder="", frames=0, seconds=time.monotonic() - begun)
        if not clips:
            raise Failure(
                exit_codes.USAGE,
                f"None of the {len(reports)} clips can be trained on.",
                hint="The reasons are above; --check reads all frames.",
            )
        if is_first and not listed.license.title.strip():
            emit(
                events.Warning(
                    message=f"{options.data} names no license for the trained weights, and nothing is estimated with "
                    "weights without one: fill it in there, or later in model/model.json."
                )
            )
        from ..training import loop

        made = _training(options, settings, listed, clips)
        folder = loop.train(made, emit=emit, check=check)
        return events.Done(folder=str(folder), frames=settings.steps, seconds=time.monotonic() - begun)

    def ending(done: events.Done) -> str:
        if printed:
            return "\n".join(printed)
        return f"The model is in {done.folder} ({duration(done.seconds)})." if is_first else ""

    return stoppable.run(options, work, ending=ending, unit="steps")


def _nothing(event: events.Event) -> None:
    """What other processes than the first show."""


def _words(parameter: Any) -> str:
    default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
    return f"{parameter.description} [{default}]"


def _need_packages() -> None:
    missing = packages.missing_of(_PACKAGES)
    if missing:
        raise Failure(
            exit_codes.MISSING,
            f"Training needs packages that are not installed: {', '.join(missing)}.",
            hint=f"Run: {packages.install_training_command()}",
        )


class _Recipe:
    """The recipe as `checks` takes what has parameters."""

    def __init__(self, network: str, stage: int) -> None:
        self.name, self.label = network, f"the training of {network}"
        self.parameters = recipe.parameters_of(network, stage)


def _settings(options: argparse.Namespace) -> Settings:
    from ..run import checks

    own = _Recipe(options.network, options.stage)
    given = checks.parse_parameters(own, options.parameter)
    values = checks.resolve_parameters(own, given, who="The training of")
    try:
        return recipe.settings(options.network, options.stage, values)
    except ValueError as error:
        raise Failure(exit_codes.USAGE, str(error)) from error


def _training(options: argparse.Namespace, settings: Settings, listed: Data, clips: list[tuple[Clip, int]]) -> Training:
    """The training of a command line; its weights are checked."""
    from .. import models
    from ..models import store
    from ..training.output import Training
    from ..video_diffusion.weights import DEPTHCRAFTER, SVD

    for name in ("weights", "output"):
        if not getattr(options, name):
            option = "--from WEIGHTS" if name == "weights" else "--output DIR"
            raise Failure(exit_codes.USAGE, f"A training needs {option}.")
    released = options.weights == _RELEASED
    needed = (SVD, DEPTHCRAFTER) if released else (SVD,)
    used = models.ready(needed)
    return Training(
        network=options.network,
        stage=options.stage,
        settings=settings,
        data=listed,
        clips=[clip for clip, _ in clips],
        repeats=[times for _, times in clips],
        unet=store.folder(DEPTHCRAFTER) if released else _folder(options.weights),
        svd=store.folder(SVD),
        encoders=" ".join(each.sha256 for each in used if each.repository == SVD.repository),
        output=absolute(options.output),
    )


def _folder(text: str) -> Path:
    folder = absolute(text)
    for candidate in (folder, folder / "unet", folder / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    raise Failure(
        exit_codes.USAGE,
        f"{folder} has no config.json of a network.",
        hint="Name the folder 'unet' of Stable Video Diffusion's repository, or the output of an earlier stage.",
    )


def _table(reports: list[Report]) -> str:
    """What the check of all clips found."""
    from ..evaluation.table import Column, Table

    columns = (
        Column(name="clip"),
        Column(name="frames"),
        Column(name="size"),
        Column(name="nearest"),
        Column(name="farthest"),
        Column(name="without depth", unit="%", digits=1),
        Column(name="skipped"),
    )
    rows = tuple(
        (
            each.clip,
            str(each.frames),
            f"{each.size[0]}x{each.size[1]}" if each.size[0] else "",
            f"{each.nearest:.3g}",
            f"{each.farthest:.3g}",
            100 * each.unknown,
            each.problem,
        )
        for each in reports
    )
    return Table(columns=columns, rows=rows).text()


def _demands(settings: Settings, clips: list[Clip]) -> str:
    """What a training on these clips takes."""
    from ..training import cost

    frames, used = sum(len(clip) for clip in clips), len(clips)
    lines = [f"{used} clips with {frames} frames can be trained on."]
    lines += cost.sentences(settings, clips=used)
    return "\n".join(lines)
