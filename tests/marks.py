"""Marks of parametrised tests."""

from collections.abc import Collection

import pytest


def rest_slow(values: Collection[object], fast: int = 1, *, rows: bool = False, spread: bool = False) -> list[object]:
    """Parameters of which some run always, and the others, which are alike, with the slow tests.

    Those that run always are the first `fast` ones, or with `spread` as many from the beginning to the end. With `rows`
    each value has several arguments.
    """
    step = max(1, len(values) // fast) if spread else 1
    always = set(range(0, step * fast, step))
    return [
        pytest.param(*(value if rows else (value,)), marks=() if at in always else pytest.mark.slow)
        for at, value in enumerate(values)
    ]
