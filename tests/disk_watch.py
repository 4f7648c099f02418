"""Which paths Python looks at, and which processes it starts, while a test watches."""

import os
import sys
from contextlib import contextmanager
from unittest import mock

_EVENTS = ("open", "os.listdir", "os.scandir", "subprocess.Popen")
_CALLS = ("stat", "lstat", "readlink", "access")
_heard = {"names": None}


def _listen(event, arguments):
    if _heard["names"] is not None and event in _EVENTS:
        _heard["names"].append(str(arguments[0]))


sys.addaudithook(_listen)


@contextmanager
def watched():
    """A list that grows by every path that is looked at, and by every program that is started."""
    names = _heard["names"] = []

    def heard(function):
        def look(path, *arguments, **options):
            names.append(os.fspath(path) if not isinstance(path, int) else "")
            return function(path, *arguments, **options)

        return look

    try:
        with mock.patch.multiple(os, **{name: heard(getattr(os, name)) for name in _CALLS}):
            yield names
    finally:
        _heard["names"] = None
