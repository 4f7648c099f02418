"""Where libraries are told to keep their caches."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inference.common import caches

NAME = "FATHOM_TEST_CACHE"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)


def test_a_cache_lies_in_the_data_folder_and_is_made(tmp_path):
    caches.keep_in_data_folder(NAME, "lib")
    assert Path(os.environ[NAME]) == tmp_path / "home" / "cache" / "lib" and Path(os.environ[NAME]).is_dir()


def test_what_the_environment_says_stands(monkeypatch, tmp_path):
    monkeypatch.setenv(NAME, "elsewhere")
    caches.keep_in_data_folder(NAME, "lib")
    assert os.environ[NAME] == "elsewhere" and not (tmp_path / "home").exists()


def test_a_data_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    caches.keep_in_data_folder(NAME, "lib")
    assert Path(os.environ[NAME]).parent == Path(tempfile.gettempdir())
    assert Path(os.environ[NAME]).name.startswith("fathom-lib-")


def test_a_cache_that_is_there_and_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    """As in a studio's folder that the administrator has used and a farm may only read."""
    theirs = tmp_path / "home" / "cache" / "lib"
    theirs.mkdir(parents=True)
    make = tempfile.TemporaryFile

    def read_only(*arguments, dir=None, **options):  # permissions do not bind an administrator, who may run this
        if dir and Path(dir) == theirs:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))
        return make(*arguments, dir=dir, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    caches.keep_in_data_folder(NAME, "lib")
    assert Path(os.environ[NAME]).parent == Path(tempfile.gettempdir())


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
@pytest.mark.parametrize("trap", ["link", "open to all", "file"])
def test_a_temporary_cache_that_others_can_write_into_is_not_used(trap, tmp_path, monkeypatch):
    """What lies in a cache of compiled code is run."""
    (tmp_path / "home").write_text("a file where the folder should be")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    theirs, known = tmp_path / "theirs", tmp_path / f"fathom-lib-{os.getuid()}"
    theirs.mkdir()
    if trap == "link":
        known.symlink_to(theirs)
    elif trap == "open to all":
        known.mkdir()
        known.chmod(0o777)
    else:
        known.write_text("a file")
    caches.keep_in_data_folder(NAME, "lib")
    found = Path(os.environ[NAME])
    assert found != known and found.parent == tmp_path and found.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name == "nt", reason="users have no numbers there")
def test_a_temporary_cache_serves_again(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where the folder should be")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(2):
        caches.keep_in_data_folder(NAME, "lib")
        assert os.environ.pop(NAME) == str(tmp_path / f"fathom-lib-{os.getuid()}")


def test_settings_of_libraries_in_the_current_folder_and_for_other_programs_do_not_count(tmp_path):
    """The folder may be somebody else's, and numba's settings name a file that it writes."""
    (tmp_path / "depth.json").write_text("precious")
    (tmp_path / ".numba_config.yaml").write_text("chrome_trace: depth.json\ndisable_jit: 1\n")
    (tmp_path / "matplotlibrc").write_text("font.size: 77\n")
    code = f"""if True:
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        from inference.common import caches, compiled
        from inference.common.compiled import numba
        assert numba.config.CHROME_TRACE == "" and not numba.config.DISABLE_JIT
        numba.config.reload_config()  # as each compilation does
        assert numba.config.CHROME_TRACE == "" and not numba.config.DISABLE_JIT
        assert os.path.samefile(".", {str(tmp_path)!r})
        with caches.without_file("matplotlibrc"):
            import matplotlib
        assert matplotlib.rcParams["font.size"] == 10"""
    strange = {"NUMBA_NUM_THREADS": "0", "NUMBA_DISABLE_JIT": "1"}
    variables = {**os.environ, **strange, "FATHOM_HOME": str(tmp_path / "home"), "MPLCONFIGDIR": str(tmp_path / "home")}
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "depth.json").read_text() == "precious"
