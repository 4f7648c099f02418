"""Depth at once for any clip: the weights of a network if they are not there yet, then the estimate, as one run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..inference.contract import client
from ..inference.contract.catalogue import QUICK, Fallback
from ..inference.contract.client import Steps
from ..inference.contract.events import Done, Error, Event
from ..inference.contract.job import Job


def estimate(job: Job, *, python: Path, home: Path, offline: str | None, network: Fallback = QUICK) -> Steps:
    """Get the weights, whose license the artist accepts by asking for it, and run a job that uses them.

    `offline` is why the network must not be touched, with what to do about it; weights that are there already serve all
    the same. Otherwise as `client.estimate`. `network` is whose weights.
    """
    steps = client.download(
        [network.weights], licences=[network.licence], offline=offline is not None, python=python, home=home
    )
    cancel: bool | None = None
    cancelled = failed = False
    while True:
        try:
            heard = steps.send(cancel)
        except StopIteration:
            break
        if offline is not None:
            heard = tuple(_in_blender(event, offline, network) for event in heard)
        failed = failed or any(isinstance(event, Error) for event in heard)
        cancel = yield tuple(event for event in heard if not isinstance(event, Done))
        cancelled = cancelled or bool(cancel)
    if not (failed or cancelled):
        yield from client.estimate(job, python=python, home=home)


def _in_blender(event: Event, offline: str, network: Fallback) -> Event:
    """The worker's error that weights are missing, with what to do about it in Blender."""
    if not (isinstance(event, Error) and "offline mode" in event.what):
        return event
    return replace(event, what=f"{_name(network)}'s weights are not on this machine yet.", hint=offline)


def _name(network: Fallback) -> str:
    return network.estimator.replace("_", " ").title()
