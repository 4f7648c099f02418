"""Messages name settings, and each front end says how they are set there."""

import argparse
import ast
import re
from pathlib import Path

import pytest

from inference.commands import estimate
from inference.contract import hints
from inference.estimators import registry

INFERENCE = Path(hints.__file__).parents[1]
# Verbs that are there for the command line alone speak its language, and so does what only they call.
OF_THE_COMMAND_LINE = ("commands", "evaluation", "models")
OPTION = re.compile(r"(^|[\s(`'])--[a-z]|--parameter|\bparameter \w+=|python -m inference")


def test_a_sentence_for_both_front_ends():
    text = (
        f"Choose a smaller {hints.setting('size')} ({hints.setting('size', 384)}), {hints.setting('window', 60)} or "
        f"{hints.setting('compile', False)}; see [[No Name]] and [size]."
    )
    assert hints.as_options(text) == (
        "Choose a smaller --size (--size 384), --parameter window=60 or --parameter compile=false; see [[No Name]] and "
        "[size]."
    )
    panel = hints.worded(text, lambda name, value: hints.labeled(hints.label(name), value))
    assert panel == "Choose a smaller Size (Size 384), Window 60 or Compile off; see [[No Name]] and [size]."


def test_flags_and_names_with_several_words():
    assert hints.as_options("[[full_size=true]] [[stage1_from]] [[focal_length=35mm]]") == (
        "--full-size --parameter stage1_from --focal-length 35mm"
    )
    assert hints.as_options("[[size]] [[seed=1]]", {"seed"}) == "--parameter size --seed 1"


@pytest.mark.parametrize(
    ("choice", "shown"), [("auto", "Auto"), ("cpu", "CPU"), ("bf16", "BF16"), ("leading", "Leading"), ("1", "1")]
)
def test_choices_are_written_as_words(choice, shown):
    assert hints.choice_label(choice) == shown


def test_the_settings_of_a_job_are_options():
    parser = argparse.ArgumentParser()
    estimate.add_to(parser.add_subparsers())
    (verbs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    options = {option for action in verbs.choices["estimate"]._actions for option in action.option_strings}
    assert {hints.as_options(hints.setting(name)) for name in hints.OF_A_JOB} <= options


def messages():
    """Every text with a space in it that a message may be made of, with its place."""
    for path in sorted(INFERENCE.rglob("*.py")):
        place = path.relative_to(INFERENCE).as_posix()
        if place.startswith(OF_THE_COMMAND_LINE) or place == "contract/hints.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
                yield f"{place}:{node.lineno}", node


def test_no_message_of_a_job_speaks_of_options():
    # pip's own options stand in a command to copy; texts such as NAME=VALUE are parsed for the command line alone
    allowed = ("common/devices.py", "run/checks.py")
    found = [
        f"{place}: {node.value}"
        for place, node in messages()
        if " " in node.value and OPTION.search(node.value) and not place.startswith(allowed)
    ]
    assert not found, "name the setting with inference.contract.hints.setting, and each front end words it"


def test_messages_name_settings_that_there_are():
    known = (
        hints.OF_A_JOB
        | hints.OF_AN_EXPORT
        | hints.OF_A_PLAN
        | hints.OF_A_REFINEMENT
        | {p.name for name in registry.names() for p in registry.info(name).parameters}
    )
    wrong = []
    for path in sorted(INFERENCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setting":
                name = node.args[0]
                if isinstance(name, ast.Constant) and name.value not in known:
                    wrong.append(f"{path.name}:{node.lineno} {name.value}")
    assert not wrong
