"""Answers that take seconds: found by a thread, taken by a timer, shown once they are there."""

import threading

import bpy
from bl_ext.dev.fathom.scene import beside, data_size


def settled(question):
    while question.look():
        pass


def test_what_is_asked_is_known_once_the_thread_has_found_it(monkeypatch):
    monkeypatch.setattr(beside, "bpy", _Window())
    go = threading.Event()
    question = beside.Beside(lambda key: go.wait(60) and key * 2)
    assert question.of(2) is None and question.look()
    go.set()
    settled(question)
    assert question.of(2) == 4
    assert question.of(3) == 4, "the last answer, until there is another"
    settled(question)
    assert question.of(3) == 6
    question.learn(5, 11)
    assert question.of(5) == 11
    beside.stop()
    assert question.of(5) is None
    beside._all.remove(question)


def test_what_cannot_be_found_has_no_answer(monkeypatch):
    monkeypatch.setattr(beside, "bpy", _Window())
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    question = beside.Beside(lambda key: 1 / key)
    question.of(0)
    settled(question)
    assert question.of(0) is None and not question.look(), "it is not asked again and again"
    beside._all.remove(question)


def test_in_background_nothing_is_begun():
    question = beside.Beside(lambda key: key)
    assert question.of(1) is None and not question.look()
    beside._all.remove(question)


def test_the_data_folder_is_counted_by_what_is_in_it(tmp_path):
    for path, size in {
        "environments/a/lib/x.py": 10,
        "huggingface/hub/blob": 200,
        "models/environments/note": 3000,
        "top": 40000,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x" * size)
    assert data_size.count(tmp_path) == data_size.Sizes(43210, {"environments": 10, "weights": 200})
    assert data_size.count(tmp_path / "none").total == 0


class _Window:
    """A Blender with a window, whose timers the test runs itself."""

    class app:
        background = False

        class timers:
            is_registered = staticmethod(lambda _function: True)
            unregister = staticmethod(lambda _function: None)

    context = bpy.context
