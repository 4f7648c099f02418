"""What the demo replaces."""

import sys

import pytest

from development.demo import __main__ as demo


@pytest.mark.parametrize("clip", ["..", ".", "output", "output/street", "output/street/street.mov", "elsewhere/.."])
def test_no_clip_of_anybodys_is_deleted_to_make_room_for_the_results(tmp_path, monkeypatch, capsys, clip):
    (tmp_path / "output" / "street").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    film = tmp_path / "output" / "street" / "street.mov"
    film.write_bytes(b"film")
    monkeypatch.setattr(demo, "OUTPUT", tmp_path / "output")
    monkeypatch.setattr(sys, "argv", ["demo", "--clip", clip])
    monkeypatch.chdir(tmp_path / "elsewhere" if clip == ".." else tmp_path)
    with pytest.raises(SystemExit):
        demo.main()
    assert "which the results replace" in capsys.readouterr().err
    assert film.read_bytes() == b"film"
