"""Set-up for both kinds of tests.

Tests of ``inference/`` run in the worker's environment, the others in Blender's Python: each run collects what its
environment can run. On Blender's side the checkout is enabled as the extension that it is, so tests import
``bl_ext.dev.fathom.…`` exactly as Blender does.
"""

import importlib.util
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from development import in_blender
from tests import marks

ROOT = Path(__file__).resolve().parent.parent
HAS_BPY = importlib.util.find_spec("bpy") is not None

# These folders are the worker's side, but for those two in them, and every other one Blender's; files beside this one
# run on both.
_WORKERS = ("inference", "development")
_BLENDERS = ("development/demo", "development/benchmark_scenes")
_FOLDERS = [path.name for path in sorted((ROOT / "tests").iterdir()) if path.is_dir()]
if HAS_BPY:
    _OTHERS = [f"development/{path.name}" for path in sorted((ROOT / "tests" / "development").iterdir())]
    collect_ignore = ["inference", *(name for name in _OTHERS if name not in _BLENDERS)]
else:
    collect_ignore = [*(name for name in _FOLDERS if name not in _WORKERS), *_BLENDERS]

_SETTING = re.compile(r"(HF|FATHOM|TRANSFORMERS|DIFFUSERS)_|OCIO$|.*_PROXY$", re.IGNORECASE)
_FOLDER = "fathom_folder"
"""Key of what a worker process is told."""
_OF_TESTS = ("FATHOM_PYTHON", "FATHOM_TEST_DATA")


def pytest_configure(config):
    """Enable the checkout in Blender before any test module is imported."""
    _forget_settings()
    _hear_signals()
    in_blender.keep_compiled_code()
    workerinput = getattr(config, "workerinput", None)
    if HAS_BPY and workerinput is not None:
        in_blender.enable_checkout(inside=Path(workerinput[_FOLDER]))
    elif HAS_BPY and not config.getoption("numprocesses", None):
        in_blender.enable_checkout()
    if workerinput is not None:  # torch: as many threads in all as there are cores
        threads = max(1, os.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
        os.environ["OMP_NUM_THREADS"] = str(threads)


@pytest.hookimpl(trylast=True)  # of those that are left by -m and -k
def pytest_collection_modifyitems(items):
    marks.longest_files_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give a worker process a folder that is removed when it has ended, however it ends: xdist kills what lingers."""
    folder = tempfile.mkdtemp(prefix=in_blender.PREFIX)
    node.workerinput[_FOLDER] = folder
    node.config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Make what a test printed text that can travel between processes: file names need not be UTF-8."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def _forget_settings():
    """Let no setting of whoever runs the tests shine through: a hub's, a proxy, OCIO, Fathom's own."""
    for name in list(os.environ):
        if _SETTING.match(name) and name not in _OF_TESTS:
            del os.environ[name]


def _hear_signals():
    """Let processes that tests start hear the signals that nohup or a background job told this one to ignore."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def environment_stays():
    """Undo what a test, or the program that it ran in this process, has set in the environment."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@pytest.fixture
def empty_file():
    """An empty file without the extension disabled: factory settings, no objects."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture(scope="module")
def shared_groups():
    """An empty file for all tests of a module, in which node groups, which take a second to build, are built once."""
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    yield
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture
def shared_file(shared_groups):
    """The scene of an empty file but for the node groups that earlier tests of the module have built."""
    import bpy

    scene = bpy.context.scene
    scene.unit_settings.scale_length = 1.0
    yield scene
    scene.frame_set(1)
    for kind in ("objects", "meshes", "cameras", "materials", "images", "actions", "collections"):
        bpy.data.batch_remove(list(getattr(bpy.data, kind)))


@pytest.fixture(scope="session")
def inference_python() -> Path:
    """The worker's Python, as development sets it up beside Blender's."""
    python = Path(os.environ.get("FATHOM_PYTHON", ROOT / ".venv-inference/bin/python"))
    if not python.exists():
        pytest.skip("the inference environment is not there: run `python3 dev.py test` once")
    return python


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder of test footage, which is not part of the repository."""
    folder = Path(os.environ.get("FATHOM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no test footage: set FATHOM_TEST_DATA to its folder")
    return folder
