"""Depth at once for any clip: the weights of a network if they are not there yet, then the estimate, as one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..inference.contract import client
from ..inference.contract.catalogue import QUICK, Fallback
from ..inference.contract.client import Steps
from ..inference.contract.events import Error, Event
from ..inference.contract.job import Job
from .current_run import in_turn


def estimate(job: Job, *, python: Path, home: Path, offline: str | None, network: Fallback = QUICK) -> Steps:
    """Get the weights, whose license the artist accepts by asking for it, and run a job that uses them.

    `offline` is why the network must not be touched, with what to do about it; weights that are there already serve all
    the same. Otherwise as `client.estimate`. `network` is whose weights.
    """

    def download() -> Steps:
        return client.download(
            [network.weights], licences=[network.licence], offline=offline is not None, python=python, home=home
        )

    yield from in_turn(
        download,
        lambda: client.estimate(job, python=python, home=home),
        worded=lambda event: _in_blender(event, offline, network),
    )


def _in_blender(event: Event, offline: str | None, network: Fallback) -> Event:
    """The worker's error that weights are missing, with what to do about it in Blender."""
    if offline is None or not (isinstance(event, Error) and "offline mode" in event.what):
        return event
    return replace(event, what=f"{_name(network)}'s weights are not on this machine yet.", hint=offline)


def _name(network: Fallback) -> str:
    return network.estimator.replace("_", " ").title()
