"""Setting the environment up and removing it, from a package made here, without a network."""

import subprocess

import bpy
import pytest
import wheel_maker
from bl_ext.dev.fathom.inference.contract import environment, environment_setup
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
def locks(tmp_path, monkeypatch):
    """Locks of one package each, which lie beside them, in the place of the shipped ones: light, and full on top."""
    names = ("plumbline", "leadline")
    found = [wheel_maker.lock(tmp_path / f"{name}.txt", wheel_maker.make(tmp_path, name)) for name in names]
    monkeypatch.setattr(environment, "LIGHT", (found[0],))
    monkeypatch.setattr(environment, "FULL", tuple(found))
    monkeypatch.setattr(environment_setup, "_SIZES", {"light": (0.0, 0.01), "full": (0.0, 0.02)})
    return found


def has(python, module) -> bool:
    """Whether a Python can import a module."""
    return subprocess.run([python, "-I", "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def test_offline_the_reason_is_said(home):
    with pytest.raises(RuntimeError, match=r"online access is off: switch on .*Allow Online Access"):
        bpy.ops.fathom.install_dependencies()
    assert not home.exists()


@pytest.mark.slow
def test_offline_a_folder_of_packages_serves(home, locks, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert preferences.offline_reason() is not None
    assert bpy.ops.fathom.install_dependencies() == {"FINISHED"}
    assert has(preferences.worker_python(), "plumbline")


def test_it_is_set_up_found_and_removed(home, online, locks):
    older = home / "environments" / "0123456789ab"  # what an older Fathom made
    older.mkdir(parents=True)
    (older / "pyvenv.cfg").write_text("")
    assert bpy.ops.fathom.install_dependencies() == {"FINISHED"}
    assert preferences.worker_python() == environment.python_of(preferences.own_environment())
    assert has(preferences.worker_python(), "plumbline") and not has(preferences.worker_python(), "leadline")
    assert not older.exists()
    assert bpy.ops.fathom.remove_environment() == {"FINISHED"}
    assert not (home / "environments").exists()
    with pytest.raises(environment.MissingEnvironment):
        preferences.worker_python()


@pytest.mark.slow
def test_it_grows_to_all_estimators_which_then_serves_for_everything(home, online, locks):
    assert bpy.ops.fathom.install_dependencies(packages="LIGHT") == {"FINISHED"}
    light = preferences.own_environment("light")
    assert bpy.ops.fathom.install_dependencies(packages="FULL") == {"FINISHED"}
    python = preferences.worker_python()
    assert python == environment.python_of(preferences.own_environment("full"))
    assert has(python, "plumbline") and has(python, "leadline")
    assert not light.exists(), "the smaller one has served"
    assert preferences.own_packages(python) == "full"
    assert bpy.ops.fathom.install_dependencies() == {"FINISHED"}
    assert preferences.worker_python() == python and not light.exists(), "asking for less takes nothing away"


@pytest.mark.slow
def test_a_growth_that_fails_leaves_the_smaller_environment_at_work(home, online, locks):
    bpy.ops.fathom.install_dependencies()
    locks[1].write_text(locks[1].read_text().replace("leadline==1.0", "leadline==2.0"))
    with pytest.raises(RuntimeError, match=r"Installing the packages failed: .*leadline==2\.0"):
        bpy.ops.fathom.install_dependencies(packages="FULL")
    assert preferences.worker_python() == environment.python_of(preferences.own_environment("light"))
    assert not preferences.own_environment("full").exists()


@pytest.mark.slow
def test_what_fails_is_said_and_leaves_no_environment(home, online, locks):
    locks[0].write_text(locks[0].read_text().replace("plumbline==1.0", "plumbline==2.0"))
    with pytest.raises(RuntimeError, match=r"Installing the packages failed: .*plumbline==2\.0"):
        bpy.ops.fathom.install_dependencies()
    assert not preferences.own_environment().exists()


def test_a_disk_without_room_is_told_before(home, online, locks, monkeypatch):
    monkeypatch.setattr(environment_setup, "_SIZES", {"light": (0.0, 0.01), "full": (0.0, 1e9)})
    with pytest.raises(RuntimeError, match=r"need about 1000000000\.0 GB and the disk of .* left; free"):
        bpy.ops.fathom.install_dependencies(packages="FULL")
    assert not preferences.own_environment("full").exists()


def test_what_it_takes_is_told_before():
    (_, light, _), (_, full, _) = preferences.PACKAGES
    told, told_full = map(preferences.describe_packages, ("light", "full"))
    assert (light, full) == ("Basic", "All Estimators")
    assert preferences.describe_size("light") in told and preferences.describe_size("full") in told_full
    sizes = [environment_setup.sizes(name) for name in ("light", "full")]
    assert sizes[0] < sizes[1] and all(f"{size:g} GB" in told_full for size in sizes[1])
    operator = bpy.ops.fathom.install_dependencies.get_rna_type()
    assert [item.identifier for item in operator.properties["packages"].enum_items] == ["LIGHT", "FULL"]


def test_the_choice_is_a_preference():
    kept = bpy.context.preferences.addons[preferences.ADDON].preferences
    assert preferences.chosen_packages() == "light"
    kept.packages = "FULL"
    try:
        assert preferences.chosen_packages() == "full"
    finally:
        kept.packages = "LIGHT"


def test_the_preferences_come_first(home, tmp_path):
    kept = bpy.context.preferences.addons[preferences.ADDON].preferences
    kept.data_folder, kept.python = str(tmp_path / "elsewhere"), str(tmp_path / "nowhere")
    try:
        assert preferences.data_folder() == tmp_path / "elsewhere"
        with pytest.raises(environment.MissingEnvironment, match="nowhere, set by the preference Python Executable"):
            preferences.worker_python()
    finally:
        kept.data_folder = kept.python = ""
    assert preferences.data_folder() == home


def test_the_index_that_pytorch_comes_from_is_a_preference(home, online, locks, monkeypatch):
    kept = bpy.context.preferences.addons[preferences.ADDON].preferences
    asked = []

    def create(folder, *, torch_index, **options):
        asked.append(torch_index)
        yield ()

    monkeypatch.setattr(environment_setup, "create", create)
    bpy.ops.fathom.install_dependencies(packages="FULL")
    kept.torch_index = " https://torch.studio/cu130 "
    try:
        bpy.ops.fathom.install_dependencies(packages="FULL")
    finally:
        kept.torch_index = ""
    assert asked == ["", "https://torch.studio/cu130"]


@pytest.mark.slow
def test_nothing_is_removed_while_another_blender_sets_up(home, online, locks):
    bpy.ops.fathom.install_dependencies()
    folder = preferences.own_environment()
    with (
        environment_setup._alone(folder.parent),
        pytest.raises(RuntimeError, match="Another Blender is installing an inference environment"),
    ):
        bpy.ops.fathom.remove_environment()
    assert environment.state(folder, environment.LIGHT) == "ready"


@pytest.mark.slow
def test_offline_nothing_is_repaired_from_the_network(home, online, locks):
    assert bpy.ops.fathom.install_dependencies() == {"FINISHED"}
    bpy.context.preferences.system.use_online_access = False
    assert bpy.ops.fathom.repair_environment() == {"FINISHED"}, "to look needs no network"
    (module,) = preferences.own_environment().rglob("plumbline.py")
    module.write_text("this is no Python")
    with pytest.raises(RuntimeError, match=r"left as it is \(plumbline 1\.0 .* cannot be loaded.*online access is off"):
        bpy.ops.fathom.repair_environment()
    assert module.read_text() == "this is no Python"
    assert preferences.worker_python() == environment.python_of(preferences.own_environment())
