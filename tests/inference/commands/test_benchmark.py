"""The verb ``benchmark``: which estimators it takes, and what it says of others."""

import argparse

import pytest

from inference.commands import benchmark
from inference.contract import exit_codes


def test_estimators_with_a_benchmark_are_offered():
    assert {"depthcrafter", "stereodiff"} <= set(benchmark.offered())
    assert "parallax" not in benchmark.offered()


def test_an_estimator_without_a_benchmark_is_refused(worker):
    done = worker("benchmark", "parallax")
    assert done.returncode == exit_codes.USAGE
    assert "The estimator parallax has no benchmark. Choose one of these: depthcrafter" in done.stderr


def test_an_estimator_that_does_not_exist_is_refused(worker):
    done = worker("benchmark", "clairvoyance")
    assert done.returncode == exit_codes.USAGE
    assert "There is no estimator 'clairvoyance'." in done.stderr


def test_an_estimators_own_options_are_told(worker):
    done = worker("benchmark", "depthcrafter", "--help")
    assert done.returncode == 0
    for option in ("--random-weights", "--plain", "--count", "--memory-limit"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "1024"), "--size 1024 is no size whose sides are multiples of 64, such as 1024x576."),
        (("--size", "1000x576"), "--size 1000x576 is no size"),
        (("--frames", "0"), "--frames 0 is less than 1."),
        (("--window", "8", "--overlap", "8"), "The overlap (8 frames) must be 0 or more and smaller than the window"),
        (("--random-weights", "--device", "cuda:77"), "The device 'cuda:77' is not here"),
        (("--count", "--precision", "fp8"), "There is no precision 'fp8'."),
        (("--networks", "nowhere.json"), "nowhere.json cannot be read as JSON"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(capsys, arguments, words):
    pytest.importorskip("torch")
    code = benchmark.run(argparse.Namespace(estimator="depthcrafter", options=list(arguments)))
    assert code in (exit_codes.USAGE, exit_codes.MISSING)
    told = capsys.readouterr()
    assert words in told.err and "Traceback" not in told.err
    assert told.out == ""


def test_without_weights_the_command_that_gets_them_is_named(capsys, monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path))
    code = benchmark.run(argparse.Namespace(estimator="depthcrafter", options=["--device", "cpu"]))
    told = capsys.readouterr().err
    assert code == exit_codes.MISSING
    assert "models download" in told and "Traceback" not in told
