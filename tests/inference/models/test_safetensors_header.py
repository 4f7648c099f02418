"""Heads of safetensors files: what is whole is described as it is, and everything else is refused in a few words."""

import json
import subprocess
import sys

import numpy as np
import pytest

from inference.models import safetensors_header
from inference.models.safetensors_header import HeaderError, Tensor

F4 = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}


def write(path, head, data=bytes(16), length=None):
    """A file with a head, given as bytes or to become JSON."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_what_the_library_writes_is_read(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    tensors = {
        "a": np.zeros((2, 3), np.float32),
        "b": np.zeros((), np.float16),
        "c": np.zeros((0, 4), np.int64),
        "d": np.ones(5, bool),
    }
    path = tmp_path / "x.safetensors"
    numpy_files.save_file(tensors, path, {"facts": "{}"})
    assert safetensors_header.read(path) == {
        "a": Tensor("F32", (2, 3)),
        "b": Tensor("F16", ()),
        "c": Tensor("I64", (0, 4)),
        "d": Tensor("BOOL", (5,)),
    }


def test_a_file_without_tensors_is_one(tmp_path):
    assert safetensors_header.read(write(tmp_path / "x", {}, b"")) == {}
    assert safetensors_header.read(write(tmp_path / "x", {"__metadata__": {"a": "b"}}, b"")) == {}


BROKEN = {
    "no tensors": {"a": 1},
    "a list": [],
    "a string": "x",
    "a tensor that is a list": {"a": []},
    "facts missing": {"a": {"dtype": "F32", "shape": [4]}},
    "facts too many": {"a": F4 | {"strides": [1]}},
    "an unknown dtype": {"a": F4 | {"dtype": "F31"}},
    "a dtype that is none": {"a": F4 | {"dtype": ["F32"]}},
    "a shape that is none": {"a": F4 | {"shape": "2x2"}},
    "a negative shape": {"a": F4 | {"shape": [-2, -2]}},
    "a shape of fractions": {"a": F4 | {"shape": [2.0, 2.0]}},
    "a shape of booleans": {"a": {"dtype": "U8", "shape": [True, 16], "data_offsets": [0, 16]}},
    "a shape whose product overflows": {"a": F4 | {"shape": [1 << 32, 1 << 32]}},
    "a shape whose product wraps around to four": {"a": F4 | {"shape": [(1 << 62) + 1, 4]}},
    "an endless shape": {"a": F4 | {"shape": [1] * 100_000}},
    "numbers of many digits": {"a": F4 | {"shape": [10**4000]}},
    "places outside": {"a": F4 | {"shape": [8, 8], "data_offsets": [0, 256]}},
    "places far outside": {"a": {"dtype": "U8", "shape": [1 << 47], "data_offsets": [0, 1 << 47]}},
    "places backwards": {"a": F4 | {"data_offsets": [16, 0]}},
    "negative places": {"a": F4 | {"data_offsets": [-16, 0]}},
    "three places": {"a": F4 | {"data_offsets": [0, 16, 16]}},
    "a gap before": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}},
    "a gap behind": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
    "an overlap": {"a": F4, "b": F4},
    "a part twice": {
        "a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
    },
    "metadata that are none": {"__metadata__": {"a": {}}, "a": F4},
    "a head that says nothing of the bytes": {},
    "no JSON": b"{" * 20,
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 50_000,
    "not UTF-8": b'{"\xff": 1}',
    "a tensor twice": b'{"a": %s, "a": %s}' % (json.dumps(F4).encode(), json.dumps(F4).encode()),
    "a fact twice": b'{"a": {"dtype": "U8", "dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}',
    "infinity": b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 16]}}',
    "a name of control characters": {"\x1b[2J" * 1000: 1},
    "a lone surrogate": b'{"\\ud800": 1}',
}


@pytest.mark.parametrize("head", BROKEN.values(), ids=BROKEN)
def test_a_head_that_the_file_does_not_bear_out_is_refused(tmp_path, head):
    with pytest.raises(HeaderError) as caught:
        safetensors_header.read(write(tmp_path / "x", head))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700
    str(caught.value).encode()


@pytest.mark.parametrize(
    "content", [b"", b"\x01", bytes(7), b"\xff" * 8, b"\xff" * 100, (1 << 40).to_bytes(8, "little")]
)
def test_what_has_no_head_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(HeaderError, match="truncated"):
        safetensors_header.read(path)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_is_cut_off_or_longer_is_refused(tmp_path, change):
    with pytest.raises(HeaderError, match="truncated, or data was appended"):
        safetensors_header.read(write(tmp_path / "x", {"a": F4}, bytes(16 + change)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's memory so")
def test_a_bloated_head_costs_no_memory(tmp_path):
    """A sparse file of a terabyte that declares a head of half of it, and one with as long a head as is read."""
    import resource

    large, long = tmp_path / "large", tmp_path / "long"
    with open(large, "wb") as file:
        file.write((1 << 39).to_bytes(8, "little"))
        file.truncate(1 << 40)
    write(long, b'{"a":[' + b"[]," * ((safetensors_header.LONGEST - 20) // 3) + b"[]]}")
    program = (
        "import sys; from pathlib import Path; from inference.models import safetensors_header as s\n"
        "for path in sys.argv[1:]:\n"
        "    try: s.read(Path(path))\n"
        "    except s.HeaderError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, large, long],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
