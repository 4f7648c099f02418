"""The worker's own command line, from Blender's: what it prints goes where Blender's output goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ..inference.contract import environment_setup
from ..inference.contract.client import MAIN, clean_environment
from ..inference.contract.environment import MissingEnvironment
from . import preferences

VERBS = {
    "refine": "refine a depth sequence: edges, noise, sky",
    "export": "write a depth sequence for other programs",
    "matte": "make mattes of the people in a clip",
    "models": "list, download, verify and remove the weights of networks",
    "doctor": "what is installed, what is missing, and how to install it",
    "estimators": "the estimators with every parameter, and whether they can run here",
}
"""The verbs that Blender's command line has from the worker's, and what each does."""
_WITHOUT_ENVIRONMENT = ("models",)


def run(arguments: Sequence[str]) -> int:
    """Run a verb of `VERBS` with its arguments, wait for it, and return its exit code.

    Where Blender may not go online, a download does not either, and says why. Weights can be listed without an
    environment. MissingEnvironment where the verb needs one that is not there.
    """
    verb, *rest = arguments
    try:
        python = preferences.worker_python()
    except MissingEnvironment:
        if verb not in _WITHOUT_ENVIRONMENT or rest[:1] in (["download"], ["verify"]):
            raise
        python = environment_setup.base_python()
    offline = preferences.offline_reason()
    if verb == "models" and rest[:1] == ["download"] and offline is not None and "--offline" not in rest:
        print(f"Fathom: {offline}", file=sys.stderr, flush=True)
        rest = [*rest, "--offline"]
    sys.stdout.flush()
    command = [str(python), "-I", "-u", str(MAIN), verb, *rest]
    return subprocess.run(command, env=clean_environment(preferences.data_folder()), check=False).returncode
