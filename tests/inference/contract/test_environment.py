"""Finding the worker's Python, and telling a whole environment from any other."""

import os
import sys
from pathlib import Path

import pytest

from inference.contract import environment, environment_setup, installer


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "lock.txt"
    path.write_text("numpy==2.0\n")
    return [path]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder of the test's own."""
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make(folder: Path, *, stamp: str | None, python: bool = True):
    """What an environment in `folder` looks like from outside."""
    executable = environment.python_of(folder)
    executable.parent.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("")
    if python:
        executable.symlink_to(sys.executable)
    if stamp is not None:
        (folder / environment.STAMP).write_text(stamp)


def stamp(lock) -> str:
    return f'{{"requirements": "{environment.fingerprint(lock)}"}}'


def test_data_folder_prefers_the_preference_then_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "variable"))
    assert environment.data_folder(str(tmp_path / "preference")) == tmp_path / "preference"
    assert environment.data_folder("") == tmp_path / "variable"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the place is the platform's")
def test_data_folder_is_the_platforms_place(monkeypatch, tmp_path):
    monkeypatch.delenv("FATHOM_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert environment.data_folder() == tmp_path / "fathom"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert environment.data_folder() == Path.home() / ".local/share/fathom"


def test_python_is_found_in_order(home, lock, monkeypatch, tmp_path):
    make(environment.own_environment(home, lock), stamp=stamp(lock))
    assert environment.find_python(None, requirements=lock) == environment.python_of(
        environment.own_environment(home, lock)
    )

    make(tmp_path / "other", stamp=None)
    monkeypatch.setenv("FATHOM_PYTHON", str(environment.python_of(tmp_path / "other")))
    assert environment.find_python("", requirements=lock) == environment.python_of(tmp_path / "other")

    assert environment.find_python(sys.executable) == Path(sys.executable)


def test_the_folder_of_an_environment_names_its_python(home, tmp_path):
    make(tmp_path / "mine", stamp=None)
    assert environment.find_python(str(tmp_path / "mine")) == environment.python_of(tmp_path / "mine")


@pytest.mark.parametrize(
    ("stamped", "python", "expected"),
    [
        (None, True, "unfinished"),
        ("{", True, "unfinished"),
        ("[]", True, "outdated"),
        ("[" * 100_000, True, "unfinished"),
        ('{"requirements": "another"}', True, "outdated"),
        ("ours", True, "ready"),
        ("ours", False, "broken"),
    ],
)
def test_state_tells_a_whole_environment_from_any_other(home, lock, stamped, python, expected):
    folder = environment.own_environment(home, lock)
    assert environment.state(folder, lock) == "missing"
    make(folder, stamp=stamp(lock) if stamped == "ours" else stamped, python=python)
    assert environment.state(folder, lock) == expected


def test_without_an_environment_one_sentence_names_the_cure(home, lock):
    with pytest.raises(
        environment.MissingEnvironment, match=r"^The inference environment .* Install Dependencies in .*Fathom\.$"
    ):
        environment.find_python(None, requirements=lock)


def test_each_fault_has_its_own_sentence(home, lock, tmp_path, monkeypatch):
    make(home / "environments" / "older", stamp=stamp(lock))
    with pytest.raises(environment.MissingEnvironment, match="another version of Fathom"):
        environment.find_python(None, requirements=lock)
    make(environment.own_environment(home, lock), stamp=None)
    with pytest.raises(environment.MissingEnvironment, match="interrupted"):
        environment.find_python(None, requirements=lock)
    (environment.own_environment(home, lock) / environment.STAMP).write_text(stamp(lock))
    environment.python_of(environment.own_environment(home, lock)).unlink()
    with pytest.raises(environment.MissingEnvironment, match="no longer exists"):
        environment.find_python(None, requirements=lock)
    with pytest.raises(environment.MissingEnvironment, match=r"nowhere, set by the preference Python Executable"):
        environment.find_python(str(tmp_path / "nowhere"))
    monkeypatch.setenv("FATHOM_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(environment.MissingEnvironment, match="nowhere, set by FATHOM_PYTHON"):
        environment.find_python(None, requirements=lock)


@pytest.fixture
def two_sets(lock, tmp_path, monkeypatch):
    """A light lock and a full one, in the place of the shipped ones."""
    more = tmp_path / "more.txt"
    more.write_text("-r lock.txt\ntorch==2.0\n")
    monkeypatch.setattr(environment, "LIGHT", tuple(lock))
    monkeypatch.setattr(environment, "FULL", (*lock, more))
    return {"light": environment.LIGHT, "full": environment.FULL}


def test_the_full_set_is_preferred_and_the_light_one_serves(home, two_sets):
    folders = {name: environment.own_environment(home, locks) for name, locks in two_sets.items()}
    assert folders["light"] != folders["full"]
    make(folders["light"], stamp=stamp(two_sets["light"]))
    assert environment.find_python() == environment.python_of(folders["light"])
    make(folders["full"], stamp=None)
    assert environment.states(home) == {"full": "unfinished", "light": "ready"}
    assert environment.find_python() == environment.python_of(folders["light"])
    (folders["full"] / environment.STAMP).write_text(stamp(two_sets["full"]))
    assert environment.find_python() == environment.python_of(folders["full"])
    environment.python_of(folders["full"]).unlink()
    assert environment.find_python() == environment.python_of(folders["light"])


@pytest.mark.parametrize("name", ["light", "full"])
@pytest.mark.parametrize(
    ("stamped", "python", "words"),
    [
        (None, True, "The installation of the inference environment was interrupted"),
        ("ours", False, "no longer exists"),
        ('{"requirements": "another"}', True, "another version of Fathom"),
    ],
)
def test_what_is_wrong_with_the_only_environment_is_told_whichever_it_is(home, two_sets, name, stamped, python, words):
    folder = environment.own_environment(home, two_sets[name])
    make(folder, stamp=stamp(two_sets[name]) if stamped == "ours" else stamped, python=python)
    with pytest.raises(environment.MissingEnvironment, match=words):
        environment.find_python()


def test_a_changed_full_lock_outdates_the_full_environment_alone(home, two_sets):
    make(environment.own_environment(home, two_sets["full"]), stamp=stamp(two_sets["full"]))
    two_sets["full"][-1].write_text("-r lock.txt\ntorch==3.0\n")
    with pytest.raises(environment.MissingEnvironment, match="another version of Fathom"):
        environment.find_python()
    make(environment.own_environment(home, two_sets["light"]), stamp=stamp(two_sets["light"]))
    assert environment.find_python() == environment.python_of(environment.own_environment(home, two_sets["light"]))


def test_the_full_locks_include_the_light_ones():
    assert environment.requirements_of("light") == environment.LIGHT
    assert environment.requirements_of("full")[: len(environment.LIGHT)] == environment.LIGHT


def test_the_hash_ignores_how_lines_end(tmp_path):
    unix, windows = tmp_path / "unix.txt", tmp_path / "windows.txt"
    unix.write_bytes(b"a==1\nb==2\n")
    windows.write_bytes(b"a==1\r\nb==2\r\n")
    assert environment.fingerprint([unix]) == environment.fingerprint([windows])


@pytest.mark.parametrize("stamp", [b"[]", b"7", b"[" * 100_000, b"\xff", b'{"requirements": ' + b"9" * 5000 + b"}"])
def test_a_stamp_that_is_none_is_of_no_finished_environment(tmp_path, stamp):
    (tmp_path / environment.STAMP).write_bytes(stamp)
    assert environment.state(tmp_path) in ("unfinished", "outdated")


@pytest.fixture
def as_nobody():
    """No rights of the superuser's, whom no permission stops."""
    if not hasattr(os, "seteuid"):
        pytest.skip("this system has no such users")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.fixture(params=["long", "closed"])
def impossible(request, tmp_path_factory):
    """A folder that the system does not look into."""
    if request.param == "long":
        return Path("/", "x" * 300)
    folder = tmp_path_factory.mktemp("closed")
    folder.chmod(0)
    request.getfixturevalue("as_nobody")
    return folder


def test_a_place_that_cannot_be_looked_at_is_told_as_one_where_nothing_is(impossible, monkeypatch):
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    home = impossible / "home"
    assert environment.states(home) == {"full": "missing", "light": "missing"}
    assert not environment_setup.are_there(home)
    environment_setup.remove(home)
    with pytest.raises(environment.MissingEnvironment, match="press Install Dependencies"):
        environment.find_python(home=home)
    with pytest.raises(environment.MissingEnvironment, match="is not a program that can be run"):
        environment.find_python(str(impossible / "python"), home=home)
    monkeypatch.setattr(environment_setup, "_check_python", lambda python: "3.11")
    with pytest.raises(environment_setup.SetupError, match="cannot be written"):
        list(environment_setup.create(environment.own_environment(home), python=Path(sys.executable)))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(impossible / "wheels"))
    assert installer.needs_network()
