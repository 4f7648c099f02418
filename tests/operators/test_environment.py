"""Setting the environment up and removing it, from a package made here, without a network."""

import zipfile

import bpy
import pytest
from bl_ext.dev.fathom.inference import environment
from bl_ext.dev.fathom.scene import preferences


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A data folder of the test's own."""
    monkeypatch.delenv("FATHOM_PYTHON", raising=False)
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def online():
    """Blender's own switch."""
    system = bpy.context.preferences.system
    system.use_online_access = True
    yield
    system.use_online_access = False


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock of one package, which lies beside it, in the place of the shipped one."""
    with zipfile.ZipFile(tmp_path / "plumbline-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("plumbline.py", "DEPTH = 7\n")
        wheel.writestr("plumbline-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: plumbline\nVersion: 1.0\n")
        wheel.writestr(
            "plumbline-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("plumbline-1.0.dist-info/RECORD", "plumbline.py,,\n")
    path = tmp_path / "lock.txt"
    path.write_text(f"--no-index\n--find-links {tmp_path}\nplumbline==1.0\n")
    monkeypatch.setattr(environment, "LIGHT", (path,))
    return path


def test_offline_the_reason_is_said(home):
    with pytest.raises(RuntimeError, match=r"online access is off: switch on .*Allow Online Access"):
        bpy.ops.fathom.set_up_environment()
    assert not home.exists()


def test_it_is_set_up_found_and_removed(home, online, lock):
    older = home / "environments" / "0123456789ab"  # what an older Fathom made
    older.mkdir(parents=True)
    (older / "pyvenv.cfg").write_text("")
    assert bpy.ops.fathom.set_up_environment() == {"FINISHED"}
    assert preferences.worker_python() == environment.python_of(preferences.own_environment())
    assert not older.exists()
    assert bpy.ops.fathom.remove_environment() == {"FINISHED"}
    assert not (home / "environments").exists()
    with pytest.raises(environment.MissingEnvironment):
        preferences.worker_python()


def test_what_fails_is_said_and_leaves_no_environment(home, online, lock):
    lock.write_text(lock.read_text().replace("plumbline==1.0", "plumbline==2.0"))
    with pytest.raises(RuntimeError, match=r"Installing the packages failed: .*plumbline==2\.0"):
        bpy.ops.fathom.set_up_environment()
    assert not preferences.own_environment().exists()


def test_the_preferences_come_first(home, tmp_path):
    kept = bpy.context.preferences.addons[preferences.ADDON].preferences
    kept.data_folder, kept.python = str(tmp_path / "elsewhere"), str(tmp_path / "nowhere")
    try:
        assert preferences.data_folder() == tmp_path / "elsewhere"
        with pytest.raises(environment.MissingEnvironment, match="nowhere, named by the preference Worker Python"):
            preferences.worker_python()
    finally:
        kept.data_folder = kept.python = ""
    assert preferences.data_folder() == home
