"""Marks of parametrised tests."""

from collections.abc import Iterable

import pytest


def rest_slow(values: Iterable[object], fast: int = 1) -> list[object]:
    """Parameters of which the first `fast` run always, and the others, which are alike, with the slow tests."""
    return [value if at < fast else pytest.param(value, marks=pytest.mark.slow) for at, value in enumerate(values)]
