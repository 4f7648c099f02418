"""How tests are shared out between processes."""

from types import SimpleNamespace

import pytest

from tests.marks import longest_files_first


def made(path, name, *marks):
    found = {mark.name: mark for mark in marks}
    return SimpleNamespace(path=path, name=name, get_closest_marker=found.get)


def test_files_that_take_longest_come_first_and_keep_the_order_of_their_tests():
    slow = pytest.mark.slow
    items = [
        *(made("many quick", str(number)) for number in range(40)),
        made("two slow", "b", slow.mark),
        made("two slow", "a", slow.mark),
        made("one quick", "c"),
        made("one long", "d", slow(seconds=90).mark),
    ]
    longest_files_first(items)
    assert [item.name for item in items if item.path != "many quick"] == ["d", "b", "a", "c"]
    assert [item.name for item in items if item.path == "many quick"] == [str(number) for number in range(40)]
    assert list(dict.fromkeys(item.path for item in items)) == ["one long", "two slow", "many quick", "one quick"]
