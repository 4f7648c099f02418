"""Whatever is typed on the command line ends in one sentence and an exit code."""

import argparse
import os
import signal
import tempfile

import cv2
import numpy as np
import pytest

from inference.commands import main, torch_device
from inference.common.failures import Cancelled
from inference.contract import client, exit_codes
from tests.marks import rest_slow

CODES = {code for code in vars(exit_codes).values() if isinstance(code, int)}
TEXTS = [
    "",
    " ",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "9" * 400,
    "9" * 5000,
    "\udcff",
    "-x",
    "a\0b",
    "\x1b]0;x\x07",
    "=",
    "1-",
    "x" * 5000,
]
TEXTS += ["a=" + "9" * 5000, "a=\x1b[2J", "../../..", "//server/share", "C:\\a", "\N{ARABIC-INDIC DIGIT THREE}"]
PLACES = ["device", "pipe", "folder", "absent", "file"]


def options_of(parser, verb=()):
    """Every verb with each of its options that take a value, and None for its words without a name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from options_of(sub, (*verb, name))
        elif action.option_strings and action.nargs != 0:
            yield verb, action.option_strings[-1]
        elif not action.option_strings and action.nargs != argparse.REMAINDER:
            yield verb, None


EVERY = list(options_of(main.build()))


@pytest.fixture
def places(tmp_path):
    made = tmp_path / "places"
    (made / "folder").mkdir(parents=True)
    (made / "file").write_bytes(b"\0junk\xff" * 100)
    os.mkfifo(made / "pipe")
    return {name: "/dev/zero" if name == "device" else str(made / name) for name in PLACES}


@pytest.fixture
def words(tmp_path, monkeypatch):
    """What a verb is given besides, so that the value is the one thing that is wrong with it."""
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch_device, "ask", lambda: (_ for _ in ()).throw(torch_device.TorchUnusable("not asked")))
    clip = tmp_path / "clip"
    clip.mkdir()
    for frame in range(1, 9):
        cv2.imwrite(str(clip / f"c.{frame:04d}.png"), np.full((64, 96, 3), 90, np.uint8))

    def begun(*_, **__):
        raise Cancelled

    monkeypatch.setattr("inference.run.runner._all_shots", begun)
    return {
        "estimate": [str(clip), "--output", str(tmp_path / "out")],
        "evaluate": [str(tmp_path / "depth")],
        "download": ["--offline"],
    }


def run(arguments, capfd):
    """Exit code and what is said."""

    def late(*_):
        raise AssertionError(f"{arguments} waits")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        code = main.main(arguments)
    except SystemExit as end:
        code = end.code or 0
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)
    return code, capfd.readouterr().err


@pytest.mark.parametrize(
    ("verb", "option"),
    rest_slow(EVERY, 33, rows=True, spread=True),
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value or "words",
)
def test_any_value_of_any_option_ends_in_a_sentence(verb, option, places, words, capfd):
    given = words.get(verb[-1], []) if verb else []
    for value in [*TEXTS, *places.values()]:
        if option is None:
            arguments = [*verb, "--", value] if verb[:1] != ("estimate",) else [*verb, *given[1:], "--", value]
        elif not verb:
            arguments = [f"{option}={value}", "estimators"]
        else:
            arguments = [*verb, *given, f"{option}={value}"]
        code, said = run(arguments, capfd)
        shown = f"{[each[:60] for each in arguments]} -> {code}: {said[-1500:]}"
        assert code in CODES, shown
        assert "Traceback" not in said and "unexpected" not in said, shown
        assert code == exit_codes.OK or said.strip().endswith((".", "]", ")")), shown


@pytest.mark.parametrize("verb", [("estimators",), ("models", "list"), ("doctor",)])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FATHOM_HOME", "~nobody-here/fathom", "there is no such user"),
        ("FATHOM_HOME", "{}/file", "it is no folder"),
        ("FATHOM_HOME", f"/tmp/{'x' * 300}", "cannot be used"),
        ("FATHOM_WEIGHTS", "~nobody-here/weights", "set in FATHOM_WEIGHTS, is not a folder"),
        ("FATHOM_WEIGHTS", f"/tmp/{'x' * 300}", "set in FATHOM_WEIGHTS, is not a folder"),
    ],
)
def test_a_folder_of_the_environment_that_is_none_is_one_sentence(
    verb, name, value, told, tmp_path, monkeypatch, capfd
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, value.format(tmp_path))
    code = main.main([*verb])
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err and "unexpected" not in out + err and "Install Fathom again" not in out + err
    assert told in out + err and (code == exit_codes.USAGE or verb != ("models", "list"))


def test_a_home_that_nobody_has_is_told_of_a_clip_and_a_source(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    download = ("models", "download", "tcmonodepth-small", "--accept-license", "mit-tcmonodepth")
    for arguments, told in (
        (("estimate", "~nobody-here/clip.mp4", "--output", str(tmp_path / "out")), "There is nothing at"),
        ((*download, "--from", "~nobody-here/weights"), "(--from) is not a folder"),
    ):
        code, said = run(arguments, capfd)
        assert code != exit_codes.OK and told in said and "Traceback" not in said


@pytest.mark.skipif(os.name == "nt", reason="a current folder cannot be deleted there")
def test_a_current_folder_that_was_deleted_is_one_sentence(tmp_path, monkeypatch, capfd):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main.main(["estimators"]) == exit_codes.USAGE
    assert "The current folder cannot be used (No such file or directory): change to" in capfd.readouterr().err
    assert client.folder_to_run_in() == tempfile.gettempdir(), "Blender starts the worker all the same"
