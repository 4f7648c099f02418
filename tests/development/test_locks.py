"""What goes into a lock: the same on every computer, with checksums, and nothing left out for another one."""

import re

import pytest

from development import environments, locks
from development.environments import REQUIREMENTS
from development.problems import Problem

FIRST = "average==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb"
MARKED = "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc"


def pins(name):
    return list(locks.pins_of((REQUIREMENTS / name).read_text(encoding="utf-8")))


def test_a_pin_has_its_checksums_with_it():
    assert list(locks.pins_of(f"# made\n-r other.txt\n{FIRST}\n\n{MARKED}\n")) == [FIRST, MARKED]


def test_names_are_compared_as_pip_compares_them():
    assert locks.names(["huggingface_hub==1", 'Jinja2==3 ; sys_platform == "win32"']) == {"huggingface-hub", "jinja2"}


def test_an_unknown_lock_is_named():
    with pytest.raises(Problem, match=r"no lock 'heavy\.txt'.*light\.txt, full\.txt"):
        locks.lock(["heavy.txt"])


@pytest.fixture
def resolver(tmp_path, monkeypatch):
    """uv's part is played: it is asked nothing over the network, and its answer is set by the test."""
    calls, answer = [], []
    monkeypatch.setattr(locks, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "ensure", lambda environment: environment.executable)
    for name in ("light.in", "full.in"):
        (tmp_path / name).write_text("")
    (tmp_path / "torch.txt").write_text("torch==2.13.0\n")

    def run(uv, arguments, failure):
        calls.append(arguments)
        output = arguments[arguments.index("--output-file") + 1]
        if "--generate-hashes" in arguments:
            with open(output) as file:
                calls.append(file.read())
            with open(output, "w") as file:
                file.write("\n".join(answer))

    monkeypatch.setattr(locks, "_uv", run)
    return calls, answer


def test_a_lock_repeats_nothing_of_those_beside_it_and_leaves_to_torch_what_torch_brings(resolver, tmp_path):
    calls, answer = resolver
    (tmp_path / "light.txt").write_text(f"{FIRST}\n")
    (tmp_path / "full.txt").write_text("-r light.txt\nbeyond==0.9\n")
    answer += [
        FIRST,
        "beyond==1.0 \\\n    --hash=sha256:dd",
        "nvidia-cudnn-cu13==9.2",
        "triton==3.7.1",
        "torch==2.13.0",
    ]
    assert locks.lock(["full.txt"]) == 0
    assert (tmp_path / "full.txt").read_text().splitlines()[1:] == [
        "-r light.txt",
        "beyond==1.0 \\",
        "    --hash=sha256:dd",
    ]
    assert calls[1].splitlines()[0] == "beyond==0.9", "what is pinned already stays while it fits"
    platforms = {call[call.index("--python-platform") + 1] for call in calls if "--python-platform" in call}
    pythons = {call[call.index("--python-version") + 1] for call in calls if "--python-platform" in call}
    assert platforms == set(locks.PLATFORMS.values()) and pythons == set(locks.PYTHONS)


@pytest.mark.parametrize("item", locks.LOCKS, ids=lambda item: item.output)
def test_locks_that_lie_in_one_environment_do_not_contradict_each_other(item):
    own = locks.names(pins(item.output))
    for name in item.beside:
        assert not own & locks.names(pins(name))


@pytest.mark.parametrize("item", locks.LOCKS, ids=lambda item: item.output)
def test_every_pin_has_checksums_and_no_lock_names_a_host(item):
    assert pins(item.output)
    for pin in pins(item.output):
        assert re.search(r"\n    --hash=sha256:[0-9a-f]{64}\b", pin), pin.splitlines()[0]
    assert "://" not in (REQUIREMENTS / item.output).read_text()


@pytest.mark.parametrize("item", [item for item in locks.LOCKS if item.shipped], ids=lambda item: item.output)
def test_a_shipped_lock_serves_every_platform(item):
    found = {re.split(r" [;\\]", pin)[0] for pin in pins(item.output)}
    assert not [pin for pin in found if "+" in pin or locks.CUDA.match(pin)]
    lines = (REQUIREMENTS / item.source).read_text().splitlines()
    wanted = {line.split("#")[0].split(";")[0].strip() for line in lines} - {""}
    assert {pin.lower().replace("_", "-") for pin in wanted} <= found
    text = (REQUIREMENTS / item.output).read_text()
    assert ("-r light.txt" in text.splitlines()) == (item.names == "light.txt")
    assert not ({"diffusers", "transformers"} & locks.names(found)) or item.output == "full.txt"


def test_torch_alone_is_pinned_without_checksums_in_a_file_of_its_own():
    assert [pin.partition("==")[0] for pin in pins("torch.txt")] == ["torch"]
    shared = {"filelock", "fsspec", "jinja2", "markupsafe", "mpmath", "networkx", "sympy", "typing-extensions"}
    assert shared <= locks.names([*pins("light.txt"), *pins("full.txt")]), "what torch needs is pinned with checksums"
