"""How pip is called: which of its settings hold, in what order packages come, and what is looked at afterwards."""

import os
import socket
import subprocess
import sys

import pytest
import wheel_maker

from inference.contract import client, environment, installer, packages


@pytest.fixture
def variables(monkeypatch, tmp_path):
    """No settings of this computer's own."""
    for name in installer.os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return monkeypatch


def test_a_studios_index_proxy_and_certificates_hold_and_nothing_else(variables, tmp_path):
    file = tmp_path / "studio.conf"
    file.write_text(
        "[global]\nindex-url = https://me:secret@mirror.studio/simple\nproxy = http://proxy.studio:3128\n"
        "trusted-host = mirror.studio\n    other.studio\ncert = /studio/ca.pem\nquiet = 3\nuse-feature = truststore\n"
        "[install]\nfind-links = /studio/wheels\ntarget = /studio/site\nindex-url = https://late.studio/simple\n"
        "[download]\nfind-links = /nobody\n"
    )
    variables.setenv("PIP_CONFIG_FILE", str(file))
    variables.setenv("PIP_TIMEOUT", "7")
    variables.setenv("PIP_USE_DEPRECATED", "legacy-resolver")
    variables.setenv("PIP_TARGET", "/elsewhere")
    found = installer.pip_settings()
    ours = {name: value for name, value in found.items() if name.startswith("PIP_")}
    hosts = ours.pop("PIP_TRUSTED_HOST").split()
    assert hosts == ["mirror.studio", "other.studio"]
    assert ours == {
        "PIP_CONFIG_FILE": installer.os.devnull,
        "PIP_INDEX_URL": "https://late.studio/simple",
        "PIP_PROXY": "http://proxy.studio:3128",
        "PIP_CERT": "/studio/ca.pem",
        "PIP_USE_FEATURE": "truststore",
        "PIP_FIND_LINKS": "/studio/wheels",
        "PIP_TIMEOUT": "7",
    }


def test_settings_that_pip_cannot_read_are_said(variables, tmp_path):
    (tmp_path / "broken.conf").write_text("no section\n")
    variables.setenv("PIP_CONFIG_FILE", str(tmp_path / "broken.conf"))
    with pytest.raises(installer.InstallError, match="pip's settings cannot be read"):
        installer.pip_settings()


def test_what_is_shown_of_an_index_has_no_password():
    settings = {"PIP_INDEX_URL": "https://me:secret@mirror.studio/simple", "PIP_FIND_LINKS": "/studio/wheels"}
    assert installer.sources(settings) == "https://mirror.studio/simple, /studio/wheels"
    assert installer.sources({}) == "pip's default package index"
    assert installer.sources(settings | {"PIP_NO_INDEX": "true"}) == "/studio/wheels"
    assert installer.sources({"PIP_NO_INDEX": "0"}) == "pip's default package index"


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("", True),
        (f'sys_platform == "{sys.platform}"', True),
        (" sys_platform != 'emscripten' ", True),
        ("python_full_version >= '3.9' and sys_platform == 'emscripten'", False),
        ("python_full_version < '3.100'", True),
        ("python_version >= '3.100' or (os_name == 'none' and sys_platform != 'none')", False),
        ("'3.9' < python_version", True),
    ],
)
def test_markers(marker, holds):
    assert packages.applies(marker) is holds


@pytest.mark.parametrize("marker", ["extra == 'all'", "sys_platform in 'linux'", "__import__('os') == 'x'"])
def test_a_marker_of_another_kind_is_not_guessed_at(marker):
    with pytest.raises(ValueError, match="is not understood"):
        packages.applies(marker)


@pytest.fixture
def environment_python(tmp_path):
    """A new environment's Python."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    return environment.python_of(tmp_path / "venv")


def install(python, *arguments, **variables):
    main = client.MAIN
    done = subprocess.run(
        [python, "-I", main, "install", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**installer.os.environ, **variables},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_torch_comes_last_from_the_index_that_is_named_and_changes_nothing_that_has_checksums(
    environment_python, tmp_path
):
    """A torch that needs one locked package, and a CUDA package that no lock names."""
    shelf = tmp_path / "shelf"
    first = wheel_maker.make(shelf, "filament")
    user = wheel_maker.make(shelf, "accelerant", needs="torch>=2")
    full = wheel_maker.lock(tmp_path / "full.txt", first, user)
    index = tmp_path / "index"
    for name, needs in (("torch", "filament>=1"), ("nvidia_toy", "")):
        wheel_maker.make(index / name.replace("_", "-"), name, "2.13.0", needs=needs or "filament")
    wheel_maker.make(index / "filament", "filament", "9.0", code="raise SystemExit('not locked')\n")
    torch = tmp_path / "torch.txt"
    torch.write_text("torch==2.13.0\n")
    address = index.as_uri()
    for folder in index.iterdir():
        links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in folder.glob("*.whl"))
        (folder / "index.html").write_text(links)
    code, said = install(environment_python, full, torch, FATHOM_TORCH_INDEX=address)
    assert code == 0, said
    assert f"PyTorch comes from {address}" in said
    assert "filament-9.0" not in said and said.index("accelerant") < said.index("torch-2.13.0")

    wheel_maker.make(index / "torch", "torch", "2.13.0", needs="filament>=2")
    subprocess.run([environment_python, "-m", "pip", "uninstall", "-q", "-y", "torch"], check=True)
    code, said = install(environment_python, full, torch, FATHOM_TORCH_INDEX=address)
    assert code and "ERROR: Installing the packages failed" in said
    done = subprocess.run([environment_python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    assert "filament==1.0" in done.stdout


@pytest.mark.slow
def test_what_is_not_as_locked_is_found(environment_python, tmp_path):
    lock = wheel_maker.lock(tmp_path / "lock.txt", wheel_maker.make(tmp_path / "shelf", "plumbline"))
    code, said = install(environment_python, lock, "--check-only")
    assert code and "ERROR: plumbline 1.0 was to be installed and is missing." in said
    assert install(environment_python, lock, "--quiet") == (0, "")
    lock.write_text(lock.read_text().replace("==1.0", "==2.0"))
    code, said = install(environment_python, lock, "--check-only")
    assert code and "plumbline 2.0 was to be installed, but the installed version is 1.0" in said
    lock.write_text(lock.read_text().replace("==2.0", "==1.0"))
    (packages_folder,) = (tmp_path / "venv").glob("[lL]ib/**/site-packages")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in packages_folder.glob("plumbline*"):
        path.rename(elsewhere / path.name)
    (packages_folder / "elsewhere.pth").write_text(f"{elsewhere}\n")
    code, said = install(environment_python, lock, "--check-only")
    assert code and "outside the environment" in said


def test_an_index_that_is_not_reached_is_named_without_its_password(variables, tmp_path):
    with socket.socket() as nobody:  # bound and not listening
        nobody.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{nobody.getsockname()[1]}"
        variables.setenv("PIP_INDEX_URL", f"http://me:secret@{host}/simple")
        variables.setenv("PIP_RETRIES", "1")
        lock = tmp_path / "lock.txt"
        lock.write_text(wheel_maker.pin(wheel_maker.make(tmp_path, "plumbline")))
        with pytest.raises(installer.InstallError) as error:
            installer.install([lock])
    assert f"pip searched http://{host}/simple, where the connection failed" in str(error.value)
    assert "secret" not in str(error.value) and "object at" not in str(error.value)


@pytest.mark.slow
def test_a_password_that_makes_an_address_invalid_is_not_shown(variables, tmp_path, capsys):
    variables.setenv("PIP_INDEX_URL", "http://me:secret/x y@127.0.0.1:9/simple")
    lock = tmp_path / "lock.txt"
    lock.write_text(wheel_maker.pin(wheel_maker.make(tmp_path, "plumbline")))
    with pytest.raises(installer.InstallError) as error:
        installer.install([lock])
    assert "secret" not in str(error.value) + capsys.readouterr().out
    assert str(error.value).endswith(".") and "Exception:" not in str(error.value)


@pytest.mark.parametrize(
    ("set_to", "needs"),
    [
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "{0} {0}/wheels"}, False),
        ({"PIP_NO_INDEX": "true", "Pip_Find_Links": "{0}"}, False),
        ({"PIP_NO_INDEX": "1"}, True),
        ({"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "{0}"}, True),
        ({"PIP_FIND_LINKS": "{0}"}, True),
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "{0} https://studio/wheels"}, True),
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "{0}", "PIP_find_links": "https://studio/wheels"}, True),
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "{0}", "FATHOM_TORCH_INDEX": "https://studio"}, True),
    ],
)
def test_folders_of_packages_alone_need_no_network(variables, tmp_path, set_to, needs):
    (tmp_path / "wheels").mkdir()
    for name, value in set_to.items():
        variables.setenv(name, value.format(tmp_path))
    assert installer.needs_network() is needs
    assert installer.needs_network("https://studio")


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in folders")
@pytest.mark.parametrize("kind", ["pipe", "folder", "absent", "no text"])
def test_what_is_no_lock_is_told_of_before_pip_begins(tmp_path, monkeypatch, kind):
    lock = tmp_path / "lock.txt"
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    elif kind == "no text":
        lock.write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(installer, "pip_settings", lambda: pytest.fail("pip was asked"))
    for work in (installer.install, installer.check):
        with pytest.raises(installer.InstallError, match=r"lock\.txt"):
            work([lock])
