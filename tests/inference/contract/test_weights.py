"""The list of weights as another process asks for it, and the folder that a studio has them in."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inference.contract import client, environment, records, weights

ENTRY = {
    "name": "net",
    "label": "The net",
    "repository": "somebody/net",
    "licence": {"name": "mit", "title": "MIT", "needs_acceptance": False},
    "unheard_of": 1,
}


def answered(output, *, errors="", code=0):
    script = f"import sys; sys.stdout.write({output!r}); sys.stderr.write({errors!r}); sys.exit({code})"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return client.Question(process)


def test_any_python_lists_them(tmp_path):
    found = weights.answer(weights.ask(Path(sys.executable), tmp_path))
    one = next(each for each in found if each.name == "depthcrafter")
    assert (one.estimators, one.users) == (("depthcrafter", "stereodiff"), ("DepthCrafter", "StereoDiff"))
    assert one.size == one.missing_size > 3e9
    assert (one.state, one.can_run, one.partial_size) == ("missing", False, 0) and one.folder.startswith(str(tmp_path))
    assert "academic" in one.licence.summary and one.licence.needs_acceptance and not one.revision_open
    assert next(each for each in found if each.name == "monst3r").revision_open


def test_facts_that_are_not_known_yet_are_ignored():
    (one,) = weights.answer(answered(json.dumps([ENTRY])))
    assert (one.name, one.licence.title, one.estimators) == ("net", "MIT", ())


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (("", "noise\n/gone, set in FATHOM_WEIGHTS, is not a folder.\n", 2), "gone, set in FATHOM_WEIGHTS"),
        (("", "", 3), "ended with code 3"),
        (("{}", "", 0), "The list of weights is none"),
        (("no json", "", 0), "list of weights"),
        (('[{"name": 1}]', "", 0), "name"),
    ],
)
def test_no_list_is_one_sentence(process, words):
    output, errors, code = process
    with pytest.raises(weights.WeightsError, match=words):
        weights.answer(answered(output, errors=errors, code=code))


def test_removing_says_what_was_done_or_why_not(tmp_path):
    python = Path(sys.executable)
    assert weights.remove("depthcrafter", python=python, home=tmp_path) == "depthcrafter: nothing to remove."
    with pytest.raises(weights.WeightsError, match="There are no weights 'nobody'"):
        weights.remove("nobody", python=python, home=tmp_path)


@pytest.mark.parametrize("name", ["weights", "Gewichte für Zoë", "重み"])
def test_a_studios_folder_is_noted_in_the_data_folder(tmp_path, monkeypatch, name):
    monkeypatch.delenv(environment.WEIGHTS, raising=False)
    assert environment.weights_folder(tmp_path) is None
    environment.choose_weights_folder(tmp_path, tmp_path / name)
    assert environment.weights_folder(tmp_path) == tmp_path / name
    monkeypatch.setenv(environment.WEIGHTS, str(tmp_path / "another"))
    assert environment.weights_folder(tmp_path) == tmp_path / "another", "the variable comes first"
    monkeypatch.delenv(environment.WEIGHTS)
    environment.choose_weights_folder(tmp_path, None)
    assert environment.weights_folder(tmp_path) is None
    environment.choose_weights_folder(tmp_path, None)  # none is none


@pytest.mark.parametrize("text", ["", "1", "{", '["a"]'])
def test_a_note_that_names_no_folder_is_said(tmp_path, monkeypatch, text):
    monkeypatch.delenv(environment.WEIGHTS, raising=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "folder.json").write_text(text)
    with pytest.raises(records.RecordError):
        environment.weights_folder(tmp_path)
    with pytest.raises(weights.WeightsError, match=r"name of the weights' folder cannot be read .*|Choose the folder"):
        weights.answer(weights.ask(Path(sys.executable), tmp_path))


def test_an_answer_that_fills_its_pipe_comes_all_the_same():
    entry = json.dumps(ENTRY)
    script = f"import sys; print('[' + {entry!r} + ' ' * 1_000_000 + ']'); sys.stderr.write('noise ' * 100_000)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    question = client.Question(process)
    until = time.monotonic() + 20
    while not question.is_answered():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(weights.answer(question)) == 1


def test_nobody_waits_for_ever(monkeypatch):
    monkeypatch.setattr(client, "_LONGEST_ANSWER", 0.2)
    silent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdout=subprocess.PIPE)
    with pytest.raises(weights.WeightsError, match="has not answered within"):
        weights.answer(client.Question(silent))
    assert silent.poll() is not None
