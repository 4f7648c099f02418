"""Layers through ``torch.compile``, where a plan asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeVar

import torch
from torch.utils._pytree import tree_leaves

from ...common.failures import Failure
from ...contract import exit_codes
from ...contract.hints import setting
from .plan import Plan

T = TypeVar("T")


class Call(Protocol):
    """Calls a layer's function, compiled or not."""

    def __call__(self, function: Callable[..., T], /, *arguments: Any, **options: Any) -> T: ...


@contextmanager
def caller(plan: Plan) -> Iterator[Call]:
    """How layers are called while this lasts; compiled ones raise a `Failure` (MISSING) where there is no compiler.

    Only the element-wise work between matrix products, convolutions and attention is compiled, so that tensors are read
    and written once. A few small graphs serve all layers, pieces and windows: one for each number of channels. A
    function that cannot be compiled raises; there is no fallback to the uncompiled one.
    """
    if not plan.compiled:
        yield _as_it_is
        return
    import torch._dynamo

    # Channels are fixed in a graph, which makes it faster; frames and pixels are not, so it serves all pieces.
    # With too low a limit, torch would silently continue without compiling.
    with torch._dynamo.config.patch(
        automatic_dynamic_shapes=False,
        recompile_limit=256,
        accumulated_recompile_limit=4096,
        fail_on_recompile_limit_hit=True,
    ):
        yield _compiled


def _as_it_is(function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    return function(*arguments, **options)


def _compiled(function: Callable[..., T], /, *arguments: Any, **options: Any) -> T:
    for leaf in tree_leaves(arguments):
        if isinstance(leaf, torch.Tensor) and leaf.dim() > 1:
            torch._dynamo.maybe_mark_dynamic(leaf, list(range(leaf.dim() - 1)))
    with explained():
        return _graph(function)(*arguments, **options)


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of compilation, not of the compiled code, into a `Failure` (MISSING)."""
    import torch._dynamo

    try:
        yield
    except torch._dynamo.exc.ShortenTraceback as error:
        inner = getattr(error, "inner_exception", error)
        if isinstance(inner, torch.OutOfMemoryError):
            raise inner from error
        raise Failure(
            exit_codes.MISSING,
            "The layers could not be compiled on this machine.",
            f"{type(inner).__name__}: {str(inner).strip().splitlines()[0]}".rstrip(".") + ".",
            f"Estimate without compiling ({setting('compile', False)}), which only is slower.",
        ) from error


@cache
def _graph(function: Callable[..., T]) -> Callable[..., T]:
    return torch.compile(function, fullgraph=True)
