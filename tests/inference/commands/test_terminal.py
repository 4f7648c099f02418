"""What others wrote never commands the terminal that a verb prints on."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from inference.commands import streams
from tests.inference.test_foreign_documents import DEPTH, changed

MAIN = Path(streams.__file__).parent.parent / "__main__.py"
EVIL = "x\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202egpj"
DANGEROUS = ("\x1b", "\x07", "\x9b", "\x7f", "\u202e")


def said_by(*arguments):
    done = subprocess.run(
        [sys.executable, "-I", MAIN, *arguments], capture_output=True, timeout=120, check=False, encoding="utf-8"
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "document",
    [changed(DEPTH, "quantity", EVIL), {**DEPTH, "versions": {EVIL: 1}}, changed(DEPTH, "source.files", [EVIL + "/"])],
)
def test_what_a_depth_json_says_is_escaped(tmp_path, document):
    (tmp_path / "depth.json").write_text(json.dumps(document))
    code, out, err = said_by("evaluate", "--json", tmp_path)
    assert code and not [each for each in DANGEROUS if each in out + err]
    assert "is not a depth sequence" in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no names of files there")
def test_names_of_files_are_escaped(tmp_path):
    name = EVIL.replace("/", "")
    for arguments in (
        ("estimate", tmp_path / name, "--output", tmp_path / "out"),
        ("estimate", "--job", tmp_path / name),
        ("evaluate", tmp_path / name),
        ("estimate", f"--{name}"),
    ):
        code, out, err = said_by(*arguments)
        assert code and "\\u001b" in err and not [each for each in DANGEROUS if each in out + err]


def test_progress_bars_and_ends_of_lines_pass():
    raw = io.BytesIO()
    stream = streams.Terminal(raw, encoding="utf-8", newline="")
    for text in ("\rReading:  50%|#####     |", "\r", "one\rtwo\n", "\x1b[A", "größer\tstill\n"):
        stream.write(text)
    stream.flush()
    assert raw.getvalue().decode() == "\rReading:  50%|#####     |\rone\\u000dtwo\n\\u001b[Agrößer\tstill\n"
