"""What the artist set for Fathom as a whole: the worker's Python and its packages, and where Fathom's own data lie."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..inference.contract import environment, environment_setup, installer, torch_builds
from ..inference.contract.environment import MissingEnvironment, PackageSet
from ..inference.contract.environment_setup import Steps
from ..inference.contract.records import RecordError
from ..inference.contract.torch_builds import Build
from ..inference.contract.web_address import without_secrets
from .beside import Beside
from .disk_status import Seen

ADDON = __package__.rpartition(".")[0]
"""Name under which Blender knows the extension, such as ``bl_ext.user_default.fathom``."""


def data_folder() -> Path:
    """The data folder: the preference, else as `inference.contract.environment.data_folder`."""
    return environment.data_folder(_get("data_folder"))


def worker_python() -> Path:
    """The Python that runs the worker; of our own environments the one that serves every estimator, if it is there."""
    return environment.find_python(_get("python"), home=data_folder())


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What estimates run in, and what Fathom installed.

    Attributes
    ----------
    python : Path or None
        The worker's; `problem` says why there is none.
    problem : MissingEnvironment or None
    own : 'full', 'light' or None
        The set of packages of our own environment that `python` is of.
    states : dict
        See `inference.contract.environment.states`.
    can_be_removed : bool
        Whether there is an environment, finished or not, that Fathom made.
    needs_network : bool
        Whether packages come from a server.
    weights_folder : Path or None
        The studio's folder of weights, where one is named.
    """

    python: Path | None
    problem: MissingEnvironment | None
    own: PackageSet | None
    states: dict[PackageSet, environment.State]
    can_be_removed: bool
    needs_network: bool
    weights_folder: Path | None = None

    def has(self, packages: PackageSet) -> bool:
        """Whether our own environments have a set of packages; those of all estimators serve for less, too."""
        return self.states["full"] == "ready" or self.states[packages] == "ready"


def look() -> Environment:
    """See what is there now."""
    python = own = problem = None
    states: dict[PackageSet, environment.State] = {"full": "missing", "light": "missing"}
    try:
        states = environment.states(data_folder())
        python = worker_python()
        own = own_packages(python)
    except MissingEnvironment as error:
        problem = error
    weights_folder = None
    with contextlib.suppress(OSError, RecordError):  # the list of weights says what is wrong
        weights_folder = environment.weights_folder(data_folder())
    return Environment(
        weights_folder=weights_folder,
        python=python,
        problem=problem,
        own=own,
        states=states,
        can_be_removed=environment_setup.are_there(data_folder()),
        needs_network=installer.needs_network(torch_index()),
    )


_seen = Seen(lambda _settings: look(), holds=2.0)


def known() -> Environment | None:
    """`look` as far as is known, None where nothing is yet: no file is looked at, panels ask."""
    variables = (os.environ.get(name) for name in ("FATHOM_PYTHON", "FATHOM_HOME", environment.WEIGHTS))
    return _seen.of((_get("python"), _get("data_folder"), torch_index(), *variables))


def at_hand() -> Environment | None:
    """`known` where panels are drawn, which call an operator's poll as well; in background a look."""
    return look() if bpy.app.background else known()


def own_environment(packages: PackageSet = "light") -> Path:
    """The folder of the environment that Fathom installs for a set of packages."""
    return environment.own_environment(data_folder(), environment.requirements_of(packages))


def own_packages(python: Path) -> PackageSet | None:
    """The set of packages that one of our own environments has, by its interpreter; None for any other Python."""
    sets: tuple[PackageSet, ...] = ("full", "light")
    return next((name for name in sets if python == environment.python_of(own_environment(name))), None)


def chosen_packages() -> PackageSet:
    """The set of packages that the artist wants to have installed."""
    return "full" if _value("packages") == "FULL" else "light"


def torch_index() -> str:
    """Address of the package index that PyTorch is to come from; empty: as pip's settings say."""
    return str(_value("torch_index") or "").strip()


def torch_build() -> Build:
    """The build of PyTorch to install; where Fathom chooses it, that asks pip and the driver, for seconds."""
    wanted = _wanted_build()
    if isinstance(wanted, Build):
        return wanted
    found = torch_builds.choose(environment_setup.base_python())
    _chosen.learn(wanted, found)
    return found


def known_torch_build() -> Build | None:
    """`torch_build` as far as is known, None where nothing is yet: nothing is asked here, panels ask."""
    wanted = _wanted_build()
    return wanted if isinstance(wanted, Build) else _chosen.of(wanted)


def _wanted_build() -> Build | tuple[str | None, ...]:
    """The build that the preferences say; else what its choice depends on, which is found once in a session."""
    index = torch_index()
    if index:
        return Build(index, f"PyTorch comes from {without_secrets(index)}.")
    if _value("finds_torch") is False:
        return Build("", "PyTorch comes from where pip's settings have all packages come from.")
    return tuple(map(os.environ.get, (installer.TORCH_INDEX, "PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")))


_chosen: Beside[tuple[str | None, ...], Build] = Beside(
    lambda _wanted: torch_builds.choose(environment_setup.base_python())
)


def install(packages: PackageSet) -> Steps:
    """The steps that make the environment for a set of packages, see `environment_setup.create`; others go at the end.

    Where Fathom chooses the build of PyTorch, that is found first, which takes seconds.
    """
    yield from _made(environment_setup.create, packages)
    if look().states[packages] == "ready":  # the environments of earlier versions, and of less packages, have served
        environment_setup.remove_others(own_environment(packages))


def repair(packages: PackageSet) -> Steps:
    """The steps that check an environment, and make it again where it is damaged, see `environment_setup.repair`.

    Where nothing may be downloaded, it is checked all the same.
    """
    yield from _made(environment_setup.repair, packages, offline=install_offline_reason(look()))


def _made(make: Callable[..., Steps], packages: PackageSet, **options: Any) -> Steps:
    build = torch_build() if packages == "full" else None
    yield from make(
        own_environment(packages),
        python=environment_setup.base_python(),
        requirements=environment.requirements_of(packages),
        needed_bytes=sizes(packages)[1] * 1e9,
        torch_index=build.index if build else "",
        **options,
    )


def sizes(packages: PackageSet) -> tuple[float, float]:
    """Approximate gigabytes of a set of packages: to download, and on disk; with the build that is known by now."""
    build = known_torch_build() if packages == "full" else None
    return build.sizes if build is not None and build.sizes else environment_setup.sizes(packages)


def describe_size(packages: PackageSet) -> str:
    """What installing a set of packages takes, for the artist."""
    download, disk = sizes(packages)
    return f"about {download:g} GB to download, {disk:g} GB on disk"


def describe_packages(packages: PackageSet) -> str:
    """Which estimators a set of packages is for, and what it takes."""
    what = (
        "every estimator, with PyTorch for neural networks" if packages == "full" else "Automatic, Parallax and Quick"
    )
    return f"For {what}: {describe_size(packages)}"


PACKAGES = (
    ("LIGHT", "Basic", "For Parallax and Quick"),
    ("FULL", "All Estimators", "For every estimator, with PyTorch for neural networks"),
)
"""The sets to choose from, as an enum's items; the identifiers are the sets' names in capitals."""


INSTALLED = "Everything that these packages are for is installed"


def here(sentence: str) -> str:
    """A sentence that sends the artist to Fathom's preferences, or says to install, as it stands beside those."""
    return sentence.replace(f" in {environment.WHERE}", "")


DOCUMENTATION = Path(__file__).resolve().parent.parent / "docs" / "README.md"
"""The page to begin with of the documentation that comes with the extension."""

OFFLINE = "Packages and weights are downloaded from the Internet, and Blender's online access is off"


def offline_reason() -> str | None:
    """Why nothing may be downloaded, in one sentence; None where it may."""
    if bpy.app.online_access:
        return None
    if is_kept_offline():
        return "Blender was started offline, so nothing can be downloaded: start it without --offline-mode."
    return f"{OFFLINE}: switch on Preferences > System > Network > Allow Online Access."


def install_offline_reason(state: Environment | None) -> str | None:
    """Why no packages may be had, likewise; folders of them serve without the Internet."""
    return offline_reason() if state is None or state.needs_network else None


def is_kept_offline() -> bool:
    """Whether Blender was started so that online access cannot be allowed."""
    return bool(getattr(bpy.app, "online_access_override", False))


def render_farm() -> Any:
    """The group of preferences of the render farm; None where the extension is not enabled as an add-on."""
    return _value("farm")


def _value(name: str) -> Any:
    """A preference; None where the extension is not enabled as an add-on."""
    addon = bpy.context.preferences.addons.get(ADDON)
    return getattr(addon.preferences, name, None) if addon and addon.preferences else None


def _get(name: str) -> str | None:
    """A preference that is a path; None where it is empty."""
    value = _value(name)
    return bpy.path.abspath(value) if value else None
