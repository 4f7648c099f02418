"""The verbs of dev.py that run something in the environments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import environments
from .environments import BLENDERS, DEFAULT_BLENDER, FULL_WORKER, ROOT, WORKER, Environment
from .problems import NoInterpreter, Problem

NO_TESTS_COLLECTED = 5  # pytest's exit status


def demo(arguments: list[str]) -> int:
    """Run the main job on the project's own clip, or on another one, and leave images in ``demo-output/``."""
    worker = environments.ensure(WORKER)
    blender = environments.ensure(BLENDERS[DEFAULT_BLENDER])
    return _run([str(blender), "-m", "development.demo", *arguments], FATHOM_PYTHON=str(worker))


def render_benchmark(arguments: list[str]) -> int:
    """Render the project's own clips with ground truth, for evaluating estimators."""
    blender = environments.ensure(BLENDERS[DEFAULT_BLENDER])
    return _run([str(blender), "-m", "development.benchmark_scenes", *arguments])


def render_training(arguments: list[str]) -> int:
    """Render clips of scenes by chance, for training depth networks."""
    blender = environments.ensure(BLENDERS[DEFAULT_BLENDER])
    return _run([str(blender), "-m", "development.benchmark_scenes.training", *arguments])


def test(arguments: list[str]) -> int:
    """Run the tests: the worker's and, on Blender 5.0, Blender's; with ``--blender``, only Blender's on those versions.

    Slow tests run with ``--all``, ``-m``, or by name only. A path among pytest's arguments selects its side.
    """
    versions, rest = _blender_versions(arguments)
    options = _pytest_options(rest)
    rest = [argument for argument in rest if argument != "--all"]
    sides = {side for argument in rest if (side := _side_of(argument))}
    worker_only, blender_only = sides == {"worker"}, sides == {"blender"}
    worker = environments.ensure(FULL_WORKER)
    suites: list[tuple[str, Path]] = []
    if not versions and not blender_only:
        suites.append(("the worker", worker))
    for version in versions or ([] if worker_only else [DEFAULT_BLENDER]):
        try:
            suites.append((f"Blender {version}", environments.ensure(BLENDERS[version])))
        except NoInterpreter as problem:
            if version == DEFAULT_BLENDER:
                raise
            print(f"\n== Blender {version} is skipped: {problem}", flush=True)
    statuses = []
    for name, python in suites:
        print(f"\n== Tests of {name} ({python.parent.parent.name})", flush=True)
        started = time.monotonic()
        other = "blender" if python == worker else "worker"
        chosen = [argument for argument in rest if _side_of(argument) != other]
        statuses.append(_run([str(python), "-m", "pytest", *options, *chosen], FATHOM_PYTHON=str(worker)))
        print(f"== Tests of {name}: {time.monotonic() - started:.0f} s", flush=True)
    failed = [status for status in statuses if status not in (0, NO_TESTS_COLLECTED)]
    if failed:
        return failed[0]
    return 0 if 0 in statuses else NO_TESTS_COLLECTED


def lint(arguments: list[str]) -> int:
    """Check style, formatting and types."""
    worker = environments.ensure(FULL_WORKER)
    commands = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
    return max(_run([str(worker), "-m", *command]) for command in commands)


def build(arguments: list[str]) -> int:
    """Build the extension's zip with the tool in Blender's wheel, and a static repository that serves it.

    The repository is a folder with the zip and Blender's index of it, for any web server or release page. In the zip is
    what git knows alone: what else lies in the folder may be private.
    """
    blender = environments.ensure(BLENDERS[DEFAULT_BLENDER])
    tools = sorted(environments.BLENDERS[DEFAULT_BLENDER].path.rglob("addons_core/bl_pkg/cli/blender_ext.py"))
    if not tools:
        raise Problem(
            f"the bpy wheel in {blender.parent.parent} has no extension tool; delete that folder and run again."
        )
    output, repository = ROOT / "build", ROOT / "build" / "repository"
    for folder in (output, repository):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise Problem(f"{folder} is a link or a file, and files in it are replaced; remove it.")
    repository.mkdir(parents=True, exist_ok=True)
    for old in (*repository.glob("fathom-*.zip"), *(repository / name for name in ("index.json", "index.html"))):
        old.unlink(missing_ok=True)  # it has one version, which is this one
    tool = [str(blender), str(tools[0])]
    with tempfile.TemporaryDirectory() as source:
        copy_tracked(ROOT, Path(source))
        status = _run([*tool, "build", "--source-dir", source, "--output-dir", str(repository)])
    if status:
        return status
    for package in repository.glob("*.zip"):
        shutil.copy2(package, output)
    return _run([*tool, "server-generate", "--repo-dir", str(repository), "--html"])


def copy_tracked(root: Path, folder: Path) -> None:
    """Copy the files that git knows from a repository into a folder, as they are now; name the others.

    Raises
    ------
    Problem
        One is a link or the like; or git cannot be asked.
    """
    known, unknown = (_listed(root, *options) for options in ((), ("--others", "--exclude-standard")))
    for name in known:
        path = root / name
        if not path.exists() and not path.is_symlink():
            continue  # deleted, and not yet committed
        if path.is_symlink() or not path.is_file():
            raise Problem(f"{name!r} is a link or the like, and no file; remove it.")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / name)
    if left := [name for name in unknown if not name.startswith(".")]:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        print(f"Not in the zip, since git does not know them: {', '.join(map(repr, left[:5]))}{more}", flush=True)


def _listed(root: Path, *options: str) -> list[str]:
    """Names of files that git lists."""
    try:
        command = ["git", "-C", str(root), "ls-files", "-z", *options]
        found = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Problem(f"{root} is no repository that git can list ({error}); clone it, and install git.") from error
    return [name for name in os.fsdecode(found).split("\0") if name]


def benchmark(arguments: list[str]) -> int:
    """Run one of ``development/benchmarks/``, with its arguments."""
    folder = ROOT / "development" / "benchmarks"
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    name = arguments[0] if arguments else ""
    if name not in names:
        found = f"there is no benchmark '{name}'" if name else "benchmark needs a name"
        raise Problem(f"{found}; choose one of {', '.join(names)}.")
    file = folder / f"{name}.py"
    return _run([str(environments.ensure(_environment_of(file))), str(file), *arguments[1:]])


def _pytest_options(arguments: list[str]) -> list[str]:
    """Default options of pytest, unless the arguments override them: which tests, and on all cores."""
    options = []
    if not any(argument == "--all" or argument.startswith("-m") or "::" in argument for argument in arguments):
        options += ["-m", "not slow"]
    # A debugger and uncaptured output need a single process; tests of a file share fixtures, so they stay together.
    if not any(argument.startswith(("-n", "-s", "--pdb", "--numprocesses", "--capture")) for argument in arguments):
        processes = (os.cpu_count() or 1) + 1  # a quarter of the time a test waits: for what it started, or a signal
        # conftest.py has sorted the files, those that take longest first.
        options += ["--numprocesses", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    return options


def _environment_of(benchmark: Path) -> Environment:
    """The environment for a benchmark: the worker's, and with the networks' packages, or Blender's, where it asks."""
    says = re.search(r'^PACKAGES = "(full|blender)"', benchmark.read_text(encoding="utf-8"), re.MULTILINE)
    return {"full": FULL_WORKER, "blender": BLENDERS[DEFAULT_BLENDER]}[says[1]] if says else WORKER


def _side_of(argument: str) -> str | None:
    """The side of one of pytest's arguments, see `_side`; None where it is not a path."""
    path = ROOT / argument.split("::", maxsplit=1)[0]
    return _side(path.resolve()) if path.exists() else None


def _side(path: Path) -> str:
    """Where the tests at a path can run: 'worker', 'blender' or 'both', as ``tests/conftest.py`` sorts them."""
    inside = path.relative_to(ROOT / "tests").parts if path.is_relative_to(ROOT / "tests") else ()
    if not inside or inside[0].endswith(".py"):
        return "both"
    in_blender = inside[0] == "development" and inside[1:2] in (("demo",), ("benchmark_scenes",))
    return "worker" if inside[0] in ("inference", "development") and not in_blender else "blender"


def _blender_versions(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The versions that follow ``--blender``, and the other arguments."""
    if "--blender" not in arguments:
        return [], arguments
    start = arguments.index("--blender")
    end = start + 1
    while end < len(arguments) and re.fullmatch(r"\d+\.\d+", arguments[end]):
        end += 1
    versions = arguments[start + 1 : end]
    unknown = [version for version in versions if version not in BLENDERS]
    if unknown or not versions:
        value = f"'{unknown[0]}'" if unknown else "none"
        raise Problem(f"--blender takes one or more of {', '.join(BLENDERS)}, not {value}.")
    return versions, arguments[:start] + arguments[end:]


def _run(command: list[str], **variables: str) -> int:
    """Run a command in the repository's root; return its exit status."""
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode
