"""Marks of tests: which are slow, and which of parametrized ones."""

from collections import Counter
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


def longest_files_first(items: list[pytest.Item]) -> None:
    """Sort tests by the time that their files take, longest first: processes take a file at a time, and wait at the end
    for whoever has a long one still.

    A slow test says the seconds that it takes where they are many: ``slow(seconds=60)``.
    """
    seconds: Counter[object] = Counter()
    for item in items:
        slow = item.get_closest_marker("slow")
        seconds[item.path] += slow.kwargs.get("seconds", 8) if slow else 0.3
    items.sort(key=lambda item: -seconds[item.path])  # stable: tests of a file stay together, and in order
