"""The rules of the house: who may import whom, how long a file may be, and what no file may say.

The rules are data, at the top; each test reads the sources' syntax trees and imports nothing.
"""

import ast
import functools
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CONTRACT, COMMON = "inference/contract", "inference/common"
MEDIA, MODELS = "inference/media", "inference/models"
ENGINES = ("inference/mattes", "inference/depth_maps", "inference/video_diffusion")
BASE = "inference/estimators"
RUN = (BASE, *ENGINES, MEDIA, MODELS, COMMON, CONTRACT)
# The rooms, and which others each may import; a room that is not there yet has its place already. "" is the root's
# __init__.py, "inference" what lies in that folder itself, and an estimator's folder is ESTIMATOR, whichever it is.
ESTIMATOR = "inference/estimators/*"
ROOMS = {
    "": {"operators", "panels"},
    "panels": {"scene", CONTRACT},
    "operators": {"scene", CONTRACT},
    "scene": {CONTRACT},
    CONTRACT: set(),
    COMMON: {CONTRACT},
    MEDIA: {COMMON, CONTRACT},
    MODELS: {COMMON, CONTRACT},
    "inference/video_diffusion": {MODELS, COMMON, CONTRACT},
    "inference/depth_maps": {MEDIA, COMMON, CONTRACT},
    "inference/mattes": {"inference/depth_maps", MEDIA, MODELS, COMMON, CONTRACT},
    BASE: {MODELS, COMMON, CONTRACT},
    ESTIMATOR: {BASE, *ENGINES, MEDIA, MODELS, COMMON, CONTRACT},
    "inference/run": set(RUN),
    "inference/evaluation": {"inference/run", *RUN},
    "inference/farm": {"inference/run", *RUN},
    "inference/training": {"inference/evaluation", "inference/run", *RUN},
    "inference/commands": {"inference/farm", "inference/training", "inference/evaluation", "inference/run", *RUN},
    "inference": {"inference/commands"},
}
# Inside evaluation/, each may import those that follow it.
EVALUATION = ("report", "suites", "accuracy", "stability", "alignment", "datasets", "table")
BLENDERS_OWN = {
    "bpy",
    "mathutils",
    "numpy",
    "bpy_extras",
    "blf",
    "gpu",
    "gpu_extras",
    "imbuf",
    "idprop",
    "bl_ui",
    "bmesh",
    "addon_utils",
}
BLENDER_ONLY = BLENDERS_OWN - {"numpy"}
# What the full set of packages is for, and who may import it: at once, or only in a function that is called when the
# job is one of these estimators', or asks for what they need.
NETWORKS = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "tensorboard"}
NETWORK_ROOMS = (
    "inference/video_diffusion",
    "inference/estimators/depthcrafter",
    "inference/estimators/stereodiff",
    "inference/estimators/video_depth_anything",
    "inference/training",
    "development/benchmarks/networks.py",
    "development/benchmarks/training.py",
    "development/benchmarks/window_network.py",
)
# Estimators are listed without torch, so what their facts are made of is free of it.
FACTS = (
    "inference/video_diffusion/__init__.py",
    "inference/video_diffusion/parameters.py",
    "inference/video_diffusion/weights.py",
    "inference/estimators/depthcrafter/__init__.py",
    "inference/estimators/stereodiff/__init__.py",
    "inference/estimators/stereodiff/settings.py",
    "inference/estimators/video_depth_anything/__init__.py",
    "inference/estimators/video_depth_anything/weights.py",
    "inference/training/__init__.py",
    "inference/training/recipe.py",
    "inference/training/data.py",
    "inference/training/sequences.py",
)
MAY_IMPORT_NETWORKS_LATE = (*NETWORK_ROOMS, "inference/commands", "inference/models", "inference/common")
LONGEST_FILE = 700
# A module with one importer, in its own folder, is a corridor where it is shorter than this; but for those that say
# why.
SHORTEST_OF_ONE_IMPORTER = 120
MAY_BE_SHORT = {
    "development/benchmark_scenes/edit.py": "a clip is rendered again for changes of its own scene's files alone",
    "development/benchmark_scenes/film.py": "what a camera adds to an image, apart from Blender, which renders it",
    "development/benchmark_scenes/motion.py": "the formulas of the true flow, apart from Blender, which renders it",
    "development/benchmark_scenes/overview.py": "needs OpenCV, which the Blender that renders does not have",
    "development/demo/gallery.py": "its images are looked at by themselves, the demo's steps read without them",
    "inference/commands/install.py": "a verb of the command line, as every other has its module",
    "inference/commands/matte.py": "a verb of the command line, as every other has its module",
    "inference/commands/refine.py": "a verb of the command line, as every other has its module",
    "inference/commands/streams.py": "comes before any work, whatever that is",
    "inference/commands/torch_device.py": "runs as a program of its own",
    "inference/estimators/parallax/blank_frames.py": "a step of the method, with its own reasons and formulas",
    "inference/estimators/parallax/fill.py": "a step of the method, with its own reasons and formulas",
    "inference/estimators/parallax/shadows.py": "a step of the method, with its own reasons and formulas",
    "inference/estimators/parallax/zooming.py": "a question of its own to a solve, with its own reasons",
    "inference/estimators/video_depth_anything/memory.py": "a question of its own, as the other networks have it",
    "inference/estimators/video_depth_anything/weights.py": "facts of weights, which are listed without torch",
    "inference/training/validation.py": "how a model is measured, apart from the loop that trains it",
    "inference/media/icc.py": "the reader of a file format, as tiff is",
    "inference/media/repeats.py": "a question of its own to a clip, with its own reasons",
    "inference/models/package_file.py": "weights out of a package, apart from those of servers",
    "panels/parameters.py": "property groups, which are no list of estimators",
    "scene/viewing/color_maps.py": "tables of colors and their formula, apart from the GPU",
    "panels/weights.py": "the weights are a topic of their own beside the packages",
    "scene/map_files.py": "a look at files on the disk, which is no reading of a depth sequence",
}

PACKAGE = ("operators", "panels", "scene", "inference")
OURS = (*PACKAGE, "development", "tests")


@dataclass(frozen=True)
class Import:
    """One import statement: the module it names, from the root for relative ones, and where it stands."""

    importer: Path
    line: int
    module: tuple[str, ...]
    relative: bool

    def __str__(self):
        return f"{self.importer.relative_to(ROOT)}:{self.line} imports {'.'.join(self.module)}"


def files(*folders: str) -> list[Path]:
    """Python files of the folders, and those in the root itself for the folder ''."""
    found = [path for name in folders for path in ((ROOT / name).rglob("*.py") if name else ROOT.glob("*.py"))]
    return sorted(path for path in found if "__pycache__" not in path.parts)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> list[Import]:
    """Every import of a file, wherever it stands; ``from . import name`` counts as importing that name."""
    package = path.relative_to(ROOT).parts[:-1]
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [Import(path, node.lineno, tuple(alias.name.split(".")), False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(Import(path, node.lineno, tuple(node.module.split(".")), False))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            for alias in node.names:
                full = (*base, alias.name)
                is_module = (ROOT.joinpath(*full)).is_dir() or ROOT.joinpath(*full).with_suffix(".py").exists()
                found.append(Import(path, node.lineno, full if is_module else base, True))
    return found


def module_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).with_suffix("").parts


def room_of(module: tuple[str, ...]) -> str:
    """The row of ROOMS that a module of the package belongs to."""
    if not module or module == ("__init__",):
        return ""
    if module[0] != "inference":
        return module[0]
    if module[:2] == ("inference", "estimators") and ROOT.joinpath(*module[:3]).is_dir() and len(module) > 2:
        return ESTIMATOR
    is_room = len(module) > 1 and ROOT.joinpath(*module[:2]).is_dir()
    return "/".join(module[:2]) if is_room else "inference"


PACKAGE_FILES = [ROOT / "__init__.py", *files(*PACKAGE)]


def test_the_rules_meet_files():
    there = {room_of(module_of(path)) for path in PACKAGE_FILES}
    assert there <= set(ROOMS)
    assert set(ROOMS) - there <= {"inference/mattes", "inference/farm", "inference/training"}
    for place in (*FACTS, *MAY_BE_SHORT, *NETWORK_ROOMS):
        assert (ROOT / place).exists(), f"a rule names {place}, which is not there"


def test_no_room_imports_one_that_imports_it():
    def below(room, seen=()):
        assert room not in seen, f"the rules go in a circle: {seen}, {room}"
        return {room}.union(*(below(each, (*seen, room)) for each in ROOMS[room]))

    for room in ROOMS:
        below(room)


def test_imports_inside_the_package_run_downward():
    wrong = []
    for path in PACKAGE_FILES:
        room = room_of(module_of(path))
        allowed = ROOMS[room] | {room, ""}
        wrong += [str(i) for i in imports(path) if i.relative and i.module and room_of(i.module) not in allowed]
        wrong += [str(i) for i in imports(path) if i.relative and i.module == () and module_of(path) != ("__init__",)]
    assert not wrong


def test_no_estimator_imports_another():
    wrong = [
        str(i)
        for path in files("inference/estimators")
        if room_of(module_of(path)) == ESTIMATOR
        for i in imports(path)
        if i.relative and room_of(i.module) == ESTIMATOR and i.module[2] != module_of(path)[2]
    ]
    assert not wrong


def test_imports_of_the_workers_rooms_run_downward():
    wrong = []
    for path in files("inference/evaluation"):
        (_, _, part, *_) = (*module_of(path), "")
        later = EVALUATION[EVALUATION.index(part) :] if part in EVALUATION else ()
        for each in imports(path):
            if each.relative and each.module[:2] == ("inference", "evaluation") and len(each.module) > 2:
                wrong += [str(each)] if each.module[2] not in later else []
    assert not wrong


def test_modules_import_each_other_in_no_circle():
    graph = {module: found for module, found in imported_by_each().items() if module[0] in PACKAGE}
    done: set[tuple[str, ...]] = set()

    def walk(module, way=()):
        assert module not in way, " imports ".join(".".join(each) for each in (*way[way.index(module) :], module))
        if module not in done:
            for each in graph.get(module, ()):
                walk(each, (*way, module))
            done.add(module)

    for module in graph:
        walk(module)


def imported_by_each() -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """The modules of ours that each module of ours imports, tests apart; a package is its ``__init__``.

    What an ``__init__`` imports only when it is called is left out: an estimator's begins its work like that.
    """
    ours = [*PACKAGE_FILES, *files("development")]
    places = {module_of(path) for path in ours}

    def own(module):
        return module if module in places else (*module, "__init__")

    def named(path):
        skipped = late(path) if path.name == "__init__.py" else set()
        return {own(i.module) for i in imports(path) if i.line not in skipped}

    return {module_of(path): named(path) & places - {module_of(path)} for path in ours}


def test_a_short_module_serves_more_than_one():
    graph = imported_by_each()
    corridors = []
    for module in graph:
        path = ROOT.joinpath(*module).with_suffix(".py")
        importers = [each for each, found in graph.items() if module in found and each[-1] != "__init__"]
        if path.stem in ("__init__", "__main__") or len(importers) != 1 or importers[0][:-1] != module[:-1]:
            continue
        if len(path.read_text(encoding="utf-8").splitlines()) < SHORTEST_OF_ONE_IMPORTER:
            corridors.append(path.relative_to(ROOT).as_posix())
    assert not set(corridors) - set(MAY_BE_SHORT), "fold them into their only importer, or say why not"
    assert not set(MAY_BE_SHORT) - set(corridors), "these need no reason any more"


def test_imports_inside_the_package_are_relative():
    # The worker knows the folder as `inference`, Blender as `bl_ext.….fathom.inference`; only its start names itself.
    wrong = [
        str(i)
        for path in PACKAGE_FILES
        for i in imports(path)
        if not i.relative and i.module[0] in (*PACKAGE, "development") and path != ROOT / "inference" / "__main__.py"
    ]
    assert not wrong


def test_nothing_of_the_worker_imports_blender():
    assert not [str(i) for path in files("inference") for i in imports(path) if i.module[0] in BLENDER_ONLY]


def test_the_contract_needs_only_the_standard_library():
    wrong = [
        str(i)
        for path in files(CONTRACT)
        for i in imports(path)
        if not i.relative and i.module[0] not in sys.stdlib_module_names
    ]
    assert not wrong


def test_blenders_side_needs_only_what_blender_has():
    wrong = [
        str(i)
        for path in [ROOT / "__init__.py", *files("operators", "panels", "scene")]
        for i in imports(path)
        if not i.relative and i.module[0] not in BLENDERS_OWN | set(sys.stdlib_module_names)
    ]
    assert not wrong


@functools.cache
def late(path: Path) -> set[int]:
    """The lines of a file that are not run when it is imported: in functions, or for type checkers."""
    lines = set()
    for node in ast.walk(parsed(path)):
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if is_for_types or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines |= {child.lineno for part in node.body for child in ast.walk(part) if hasattr(child, "lineno")}
    return lines


def test_the_main_job_works_without_the_networks_packages():
    wrong = []
    for path in [*PACKAGE_FILES, *files("development")]:
        place = path.relative_to(ROOT).as_posix()
        is_networks = any(place == room or place.startswith(f"{room}/") for room in NETWORK_ROOMS)
        is_listed = place in FACTS
        allowed = late(path) if place.startswith(MAY_IMPORT_NETWORKS_LATE) else set()
        for each in imports(path):
            of_networks = not each.relative and each.module[0] in NETWORKS
            if of_networks and each.line not in allowed and (is_listed or not is_networks):
                wrong.append(str(each))
    assert not wrong


def test_late_imports_are_told_from_those_at_once(tmp_path):
    file = tmp_path / "file.py"
    file.write_text(
        "import one\nif TYPE_CHECKING:\n    import two\n\ndef call():\n    import three\n\n"
        "class C:\n    import four\n    def method(self):\n        import five\n"
    )
    assert late(file) & {1, 3, 6, 9, 11} == {3, 6, 11}


def test_what_runs_beside_blenders_module_needs_only_packages_that_are_locked_for_it():
    """The demo and the rendered clips, with what they load of the worker's."""
    needed, seen, waiting = {}, set(), files("development/demo", "development/benchmark_scenes")
    while waiting:
        path = waiting.pop()
        seen.add(path)
        lines = late(path) if path.is_relative_to(ROOT / "inference") else set()
        for found in imports(path):
            stems = [ROOT.joinpath(*found.module[:count]) for count in range(1, len(found.module) + 1)]
            ours = [each for stem in stems for each in (stem.with_suffix(".py"), stem / "__init__.py") if each.exists()]
            if found.line in lines:
                continue
            waiting += [each for each in ours if each not in seen]
            if not ours and not found.relative and not (ROOT / found.module[0]).is_dir():
                needed[found.module[0]] = str(found)
    others = {
        name: why for name, why in needed.items() if name not in {*sys.stdlib_module_names, *BLENDER_ONLY, "bl_ext"}
    }
    assert {"numpy", "OpenEXR", "psutil"} <= set(others)
    for lock in (ROOT / "requirements").glob("dev-blender-*.txt"):
        locked = set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE))
        assert not [why for name, why in others.items() if name.lower() not in locked], lock.name


def test_setting_up_needs_only_the_standard_library():
    wrong = [
        str(i)
        for path in [ROOT / "dev.py", *(ROOT / "development").glob("*.py")]
        for i in imports(path)
        if path.name != "in_blender.py"  # which says for which Python it is
        and not i.relative
        and i.module[0] not in {"development", *sys.stdlib_module_names}
    ]
    assert not wrong


def test_the_roots_of_both_packages_stay_empty_of_work():
    assert not (ROOT / "inference" / "__init__.py").read_text(encoding="utf-8").strip()
    functions = [n.name for n in parsed(ROOT / "__init__.py").body if isinstance(n, ast.FunctionDef)]
    assert set(functions) == {"register", "unregister"}


@pytest.mark.parametrize("path", files("", *OURS), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_a_small_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_public_names_say_what_they_are():
    bare = []
    for path in [*PACKAGE_FILES, ROOT / "dev.py", *files("development")]:
        if path.parent.name == "benchmarks":  # scripts
            continue
        tree = parsed(path)
        if path.name != "__init__.py" and not ast.get_docstring(tree):
            bare.append(f"{path.relative_to(ROOT)} has no docstring")
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            # A panel is described by what it draws, an operator by its docstring or bl_description: the tooltip.
            drawn = re.match(r"[A-Z]+_(PT|UL|MT)_", getattr(node, "name", ""))
            if public and not drawn and not ast.get_docstring(node) and not _sets(node, "bl_description"):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has no docstring")
    assert not bare


def _sets(node: ast.AST, name: str) -> bool:
    targets = [t for n in getattr(node, "body", []) if isinstance(n, ast.Assign) for t in n.targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


# Put together here, so that this file does not say them itself.
FORBIDDEN = [
    "/" + "work/",
    "/" + "root/",
    "/" + "opt/",
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "deb.debian" + ".org",
]
TEXTS = {".py", ".md", ".toml", ".in", ".txt", ".json", ".yaml", ".yml", ".cfg", ""}


def test_no_file_names_this_machine_or_a_registry():
    said = []
    paths = [path for name in (*OURS, "docs", "requirements", ".ci") for path in (ROOT / name).rglob("*")]
    for path in [*ROOT.glob("*"), *paths]:
        if path.is_file() and path.suffix in TEXTS and path.name != ".git" and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            said += [f"{path.relative_to(ROOT)} says {word}" for word in FORBIDDEN if word in text]
    assert not said


def test_links_of_the_docs_lead_somewhere():
    def headings(page):
        found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in found}

    dead = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, heading = link.partition("#")
            target = page.parent / name if name else page
            if link.startswith("http") or (target.exists() and (not heading or heading in headings(target))):
                continue
            dead.append(f"{page.name}: {link}")
    assert not dead


def test_tests_mirror_the_tree():
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    packages = [str(folder) for folder in folders if (ROOT / "tests" / folder / "__init__.py").exists()]
    assert not packages, "pytest's importlib mode wants no packages"
    strangers = [str(f) for f in folders if not (ROOT / f).is_dir() and f != Path("extension")]
    assert not strangers


def test_requirements_are_pinned_to_the_last_package():
    loose = [
        f"{path.name}: {line}"
        for path in (ROOT / "requirements").glob("*.txt")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line
        and not line.startswith("#")
        and not re.fullmatch(
            r"-r light\.txt|[A-Za-z0-9._-]+==[^ ]+( ; .+)?( \\)?|    --hash=sha256:[0-9a-f]{64}( \\)?", line
        )
    ]
    assert not loose


def test_listing_the_estimators_needs_no_torch():
    # A machine with the light packages alone must list every estimator, those that want more included.
    blocked = NETWORKS | {"numpy", "cv2", "pycolmap", "numba", "scipy", "av"}
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1:]:
            raise ImportError(name + " must not be imported to list the estimators")
sys.meta_path.insert(0, Blocked())
from inference.estimators import registry
print(*(registry.info(name).name for name in registry.names()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *sorted(blocked)],
        cwd=ROOT,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {"parallax", "depthcrafter", "stereodiff"} <= set(done.stdout.split())


def test_compiled_loops_take_nothing_from_other_files():
    """Their machine code is kept until their own file changes: of another that changes alone they would run the old."""
    wrong = []
    for path in PACKAGE_FILES:
        tree = parsed(path)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
        imported = {each.asname or each.name for node in imports for each in node.names}
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            if {ast.unparse(each) for each in function.decorator_list} & {"compiled", "exact"}:
                used = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
                wrong += [f"{path.relative_to(ROOT)}: {function.name} uses {name}" for name in used & imported]
    assert not wrong


def test_nothing_is_read_that_can_run():
    """What others wrote (weights, arrays, YAML) is read as numbers and words, never as objects or code."""
    forbidden = re.compile(
        r"^(pickle|marshal|shelve|dill|joblib)\.|^torch\.(load|jit\.load|hub\.load)$|^yaml\.(load|full_load|unsafe_load)"
        r"|^os\.(system|popen)$|^(eval|exec|compile)$"
    )
    wrong = []
    for path in [*PACKAGE_FILES, ROOT / "dev.py", *files("development")]:
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            is_careful = keywords.get("weights_only") == "True"
            is_careless = "True" in (keywords.get("allow_pickle"), keywords.get("shell"))
            if is_careless or (forbidden.search(ast.unparse(node.func)) and not is_careful):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(node.func)}")
    assert not wrong
