"""Layers through ``torch.compile``, where a plan asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar

import torch

from .plan import Plan

T = TypeVar("T")


class Call(Protocol):
    """Calls a layer's function, compiled or as it is."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any, **options: Any) -> T: ...


@contextmanager
def caller(plan: Plan) -> Iterator[Call]:
    """How layers are called while this lasts.

    Only functions that recur for many layers and pieces are compiled, not the network's walk: a few graphs serve all
    of its layers. One that cannot be compiled raises; it is never run as it is instead.
    """
    if not plan.compiled:
        yield _as_it_is
        return
    import torch._dynamo

    # Each resolution and width of the network may want a graph of its own; with too few allowed, torch would go on
    # without compiling.
    with torch._dynamo.config.patch(
        recompile_limit=64, accumulated_recompile_limit=512, fail_on_recompile_limit_hit=True
    ):
        yield _compiled


def _as_it_is(function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    return function(*arguments, **options)


def _compiled(function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    return _graph(function)(*arguments, **options)


@cache
def _graph(function: Callable[..., T]) -> Callable[..., T]:
    return torch.compile(function, fullgraph=True)
