"""What goes into a lock, from pip's reports: the same on every computer, and nothing left out for another one."""

import re

import pytest

from development import elsewhere, locks
from development.environments import REQUIREMENTS
from development.problems import Problem


def installs(**packages):
    """A report's list of what would be installed: version and requirements by name."""
    return [
        {"metadata": {"name": name.replace("_", "-"), "version": version, "requires_dist": list(needs)}}
        for name, (version, *needs) in packages.items()
    ]


def test_a_pin_says_nothing_of_the_computer_that_it_was_made_on():
    report = installs(
        torch=("2.13.0+cpu",), triton=("3.7.1",), nvidia_cudnn_cu13=("9.20",), cuda_toolkit=("13.0",), av=("18.1.0",)
    )
    assert locks.pins_of(report) == {"torch==2.13.0", "av==18.1.0"}


def test_what_another_computer_needs_is_found():
    report = installs(
        tqdm=("4.70", 'colorama; platform_system == "Windows"', 'tomli; python_version < "3.11"'),
        client=("1.0", "tqdm", 'setuptools; python_version >= "3.12"', 'wasm; sys_platform == "emscripten"'),
    )
    assert [(name, package) for name, _, package in elsewhere.left_out(report)] == [
        ("colorama", "tqdm"),
        ("setuptools", "client"),
    ]


def test_only_extras_that_somebody_asks_for_count():
    report = installs(
        front=("1.0", "Middle[fast]"),
        middle=("1.0", 'back[more]; extra == "fast"', 'flax; extra == "jax"', 'middle[jax]; extra == "all"'),
        back=("1.0", 'wheel_of_fortune; extra == "more"'),
    )
    assert [name for name, _, _ in elsewhere.left_out(report)] == ["wheel-of-fortune"]


def test_a_requirement_with_a_marker_is_kept_unless_this_computer_has_it(tmp_path):
    source = tmp_path / "light.in"
    source.write_text('tqdm==1.0\ncolorama==0.4.6 ; sys_platform == "win32"  # colours\nloose ; python_version < "4"\n')
    line = 'colorama==0.4.6 ; sys_platform == "win32"'
    assert locks._foreign(source, {"tqdm==1.0"}) == {line}
    assert locks._foreign(source, {"tqdm==1.0", "colorama==0.4.6"}) == set()


def test_names_are_compared_as_pip_compares_them():
    assert locks._names(["huggingface_hub==1", 'Jinja2==3 ; sys_platform == "win32"']) == {"huggingface-hub", "jinja2"}


def test_an_unknown_lock_is_named():
    with pytest.raises(Problem, match=r"no lock 'heavy\.txt'.*light\.txt, full\.txt"):
        locks.lock(["heavy.txt"])


@pytest.mark.parametrize("item", locks.LOCKS, ids=lambda item: item.output)
def test_locks_that_lie_in_one_environment_do_not_contradict_each_other(item):
    own = locks._names(locks._requirements(REQUIREMENTS / item.output))
    for name in item.beside:
        assert not own & locks._names(locks._requirements(REQUIREMENTS / name))


@pytest.mark.parametrize("item", [item for item in locks.LOCKS if item.shipped], ids=lambda item: item.output)
def test_a_shipped_lock_serves_every_platform(item):
    text = (REQUIREMENTS / item.output).read_text()
    pins = locks._requirements(REQUIREMENTS / item.output)
    assert not [pin for pin in pins if "+" in pin or locks.CUDA.match(pin)]
    wanted = {re.sub(r"\s+", " ", line) for line in locks._requirements(REQUIREMENTS / item.source)}
    assert wanted <= set(pins)
    assert ("-r light.txt" in text.splitlines()) == (item.names == "light.txt")
    assert not ({"torch", "diffusers", "transformers"} & locks._names(pins)) or item.output == "full.txt"
