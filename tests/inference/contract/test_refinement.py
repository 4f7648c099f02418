"""What a refinement may be."""

from dataclasses import replace

import pytest

from inference.contract import refinement
from inference.contract.depth_sequence import DepthSequence, Range, Shot
from inference.contract.job import JobError, Source
from inference.contract.refinement import Refinement

WANTED = Refinement(depth="/shots/depth", output="/shots/refined", edge=-1.5)


def test_it_goes_through_a_file(tmp_path):
    refinement.save(WANTED, tmp_path / "refinement.json")
    assert refinement.load(tmp_path / "refinement.json") == WANTED


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"output": ""}, "no folder"),
        ({"fringe": 9}, r"\[\[fringe\]\] must be from 0 to 8 pixels of the depth maps, not 9"),
        ({"edge": 99.0}, r"\[\[edge\]\] must be from -50 to 50 pixels of the plate, not 99"),
        ({"smooth": -1}, r"\[\[smooth\]\] must be from 0 to 8 frames, not -1"),
        ({"size": 3}, "64 to 16384 pixels long, not 3"),
    ],
)
def test_what_it_may_not_be_is_one_sentence(changes, sentence):
    with pytest.raises(JobError, match=sentence):
        refinement.validate(replace(WANTED, **changes))


@pytest.mark.parametrize("text", ["", "[]", '{"depth": 3}', '{"depth": "a", "output": "b", "more": 1}'])
def test_a_file_that_is_none_is_declined(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(JobError):
        refinement.load(tmp_path / "file.json")
    with pytest.raises(JobError, match="cannot be read"):
        refinement.load(tmp_path / "none.json")


def test_the_same_refinement_is_known_wherever_it_goes():
    shot = Shot(first_frame=1, last_frame=1, status="done", range=Range(minimum=0, maximum=1, p1=0, p99=1))
    sequence = DepthSequence(
        source=Source(kind="movie", path="a.mov"), first_frame=1, last_frame=1, width=8, height=8,
        quantity="inverse_depth", shots=(shot,), estimator="made", fingerprint="one",
    )  # fmt: skip
    same = replace(WANTED, depth="/elsewhere", output="/there")
    assert same.fingerprint(sequence) == WANTED.fingerprint(sequence)
    assert replace(WANTED, edge=0.0).fingerprint(sequence) != WANTED.fingerprint(sequence)
    assert WANTED.fingerprint(replace(sequence, fingerprint="two")) != WANTED.fingerprint(sequence)
