#!/usr/bin/env python3
"""Set up, run, test and build Fathom: ``python3 dev.py VERB``. Needs git and Python 3.11 or newer, nothing else.

    demo [--clip CLIP]                  run the main job; images of it go to demo-output/
    test [--all] [--blender 4.2 4.5 5.2] [...]
                                        run the tests, with --all the slow ones too; other arguments go to pytest
    lint                                ruff and mypy
    build                               the extension's zip, and a repository that serves it, by Blender's own tool,
                                        into build/ and build/repository/
    benchmark NAME [...]                a benchmark of development/benchmarks/; arguments go to it
    render-benchmark [--scene NAME]     clips with ground truth, into build/benchmark/
    render-training --clips N [...]     clips to train depth networks on, into build/training/
    lock                                resolve requirements/*.in into requirements/*.txt: versions, with checksums

Every verb first makes the environments that it needs (`development/environments.py`) and, on Debian, the system
packages that they need; existing ones are kept, so a second run starts at once. The demo needs no torch;
the tests and lint do, and add it to the same environment.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 -- an older Python should print this sentence, not a syntax error
    sys.exit("dev.py needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

from development import locks, verbs
from development.problems import Problem

VERBS = {
    "demo": verbs.demo,
    "test": verbs.test,
    "lint": verbs.lint,
    "build": verbs.build,
    "benchmark": verbs.benchmark,
    "render-benchmark": verbs.render_benchmark,
    "render-training": verbs.render_training,
    "lock": locks.lock,
}


def main(arguments: list[str]) -> int:
    """Run one verb; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    verb, *rest = arguments
    if verb not in VERBS:
        print(f"dev.py: there is no verb '{verb}'; it is one of {', '.join(VERBS)}.", file=sys.stderr)
        return 2
    try:
        return VERBS[verb](rest)
    except Problem as problem:
        print(f"dev.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
