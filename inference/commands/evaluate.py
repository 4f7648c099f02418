"""``evaluate``: how close a depth sequence is to the truth."""

from __future__ import annotations

import argparse


def add_to(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("evaluate", help="compare a depth sequence with the truth", description=__doc__)
    verb.add_argument("depth", metavar="DEPTH_DIR", help="folder with a depth.json")
    verb.add_argument("--truth", metavar="DIR", required=True, help="folder with depth/ and camera.json")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the verb."""
    raise NotImplementedError
