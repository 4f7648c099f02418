"""A stand-in for the Hugging Face hub: the part of its protocol that downloads speak, on this computer.

It serves a folder of ``owner/name/<files>``, each repository at the revision that ``revisions.json`` in that folder
names. As on the hub, files that end in ``.safetensors`` are kept by their sha256 and come, by a redirect to another
host, from a content server without the token; the others are known by their git id and come at once. Faults are
attributes of `Faults`, set while it serves. By hand: ``python tests/inference/support/hub.py FOLDER --port N``.
"""

import argparse
import contextlib
import hashlib
import json
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REVISIONS = "revisions.json"
PIECE = 1 << 14


@dataclass
class Faults:
    """What goes wrong, as long as it is set."""

    cut_after: int | None = None
    """Bytes of a content after which the connection is cut."""
    cuts: int = 1 << 30
    """How many connections are cut."""
    corrupt: set = field(default_factory=set)
    """Paths whose content comes with a wrong byte."""
    wrong_checksum: set = field(default_factory=set)
    """Paths of which the metadata tell another checksum."""
    without_checksum: bool = False
    """Whether the metadata leave sizes and checksums out, as some mirrors do."""
    status: dict = field(default_factory=dict)
    """Part of a request's path -> HTTP status it is answered with."""
    failures: int = 1 << 30
    """How many requests `status` is answered to."""
    gated: set = field(default_factory=set)
    """Repositories for which a token is asked for."""
    tokens: set = field(default_factory=set)
    """Tokens that may read them."""
    pause: float = 0.0
    """Seconds between two pieces of a content."""
    no_ranges: bool = False
    """Whether a content always comes from its start."""
    silent: bool = False
    """Whether contents never come."""
    newest: str | None = None
    """Another revision that the repositories' heads have moved on to."""
    other_commit: bool = False
    """Whether the hub answers with another revision than it was asked for."""


@dataclass
class Request:
    """A request that came, and the bytes of content that went out for it."""

    method: str
    path: str
    status: int = 0
    sent: int = 0
    range: str | None = None
    authorization: str | None = None
    agent: str = ""


class Hub:
    """The server; a context manager that serves while it is entered."""

    def __init__(self, folder, port=0, echo=False):
        self.folder, self.faults, self.log, self.echo = Path(folder), Faults(), [], echo
        self.server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._sums = {}

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def endpoint(self):
        """What HF_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def content(self):
        """The content server's address, which is another host."""
        return f"http://localhost:{self.port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def sent(self, path=""):
        """Bytes of content that went out, of files whose path ends so."""
        return sum(request.sent for request in self.log if request.path.endswith(path))

    def revision(self, repository):
        known = json.loads((self.folder / REVISIONS).read_text())
        return known.get(repository)

    def sums(self, path):
        """Size, sha256 and git id of a file."""
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._sums:
            content = path.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            self._sums[key] = len(content), hashlib.sha256(content).hexdigest(), git
        return self._sums[key]


def is_large(path):
    """Whether the hub keeps a file outside git."""
    return str(path).endswith((".safetensors", ".bin"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def do_POST(self):
        self._form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer(body=True)

    def log_message(self, *_):
        pass

    def send_error(self, code, *_, **__):  # the base class answers malformed requests with it
        self._reply(code)

    def _answer(self, body):
        parts = urlsplit(self.path)
        self._body, self._query, path = body, parse_qs(parts.query), unquote(parts.path)
        self._request = Request(
            method=self.command,
            path=path,
            range=self.headers.get("Range"),
            authorization=self.headers.get("Authorization"),
            agent=self.headers.get("User-Agent", ""),
        )
        self.hub.log.append(self._request)
        try:
            self._route(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if self.hub.echo:
            print(self._request, file=sys.stderr, flush=True)

    def _route(self, path):
        faults = self.hub.faults
        for part, status in faults.status.items():
            if part in path and faults.failures > 0:
                faults.failures -= 1
                return self._error(status, "Something is wrong with the hub")
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            return self._head_info(match[1])
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path):
            return self._info(*match.groups())
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/paths-info/([^/]+)", path):
            return self._paths_info(*match.groups())
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(*match.groups())
        if match := re.fullmatch(r"/content/([^/]+/[^/]+)/(.+)", path):
            return self._content(self.hub.folder / match[1] / match[2], match[2])
        return self._error(404, "Not found")

    def _may_read(self, repository, revision):
        """Whether the request may go on; else it has been answered."""
        faults, token = self.hub.faults, (self._request.authorization or "").removeprefix("Bearer ")
        known = self.hub.revision(repository)
        if known is None:  # the hub does not tell strangers which repositories there are not
            self._error(404 if token else 401, "Repository not found", "RepoNotFound")
        elif repository in faults.gated and token not in faults.tokens:
            self._error(403 if token else 401, f"Access to model {repository} is restricted.", "GatedRepo")
        elif revision != known:
            self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        else:
            return True
        return False

    def _head_info(self, repository):
        known = self.hub.revision(repository)
        if self._may_read(repository, known):
            told = {"sha": self.hub.faults.newest or known, "lastModified": "2025-01-31T12:00:00.000Z"}
            self._json({"_id": "0", "id": repository, "modelId": repository, "private": False, "tags": [], **told})

    def _info(self, repository, revision):
        if not self._may_read(repository, revision):
            return
        files = sorted(p for p in (self.hub.folder / repository).rglob("*") if p.is_file())
        commit = "f" * 40 if self.hub.faults.other_commit else revision
        siblings = [self._sibling(repository, path) for path in files]
        facts = {"_id": "0", "id": repository, "modelId": repository, "sha": commit, "private": False, "tags": []}
        self._json({**facts, "gated": repository in self.hub.faults.gated, "siblings": siblings})

    def _sibling(self, repository, path):
        name = path.relative_to(self.hub.folder / repository).as_posix()
        if "blobs" not in self._query or self.hub.faults.without_checksum:
            return {"rfilename": name}
        size, sha256, git = self._told(path, name)
        facts = {"rfilename": name, "size": size, "blobId": git}
        if is_large(name):
            facts["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 135}
        return facts

    def _paths_info(self, repository, revision):
        if not self._may_read(repository, revision):
            return
        answer = []
        for name in parse_qs(self._form).get("paths", []):
            path = self.hub.folder / repository / name
            if path.is_file():
                size, sha256, git = self._told(path, name)
                lfs = {"lfs": {"oid": sha256, "size": size, "pointerSize": 135}} if is_large(name) else {}
                answer.append({"type": "file", "path": name, "size": size, "oid": git, **lfs})
        self._json(answer)

    def _told(self, path, name):
        """Size and checksums as the metadata tell them."""
        size, sha256, git = self.hub.sums(path)
        return (size, "0" * 64, "0" * 40) if name in self.hub.faults.wrong_checksum else (size, sha256, git)

    def _resolve(self, repository, revision, name):
        if not self._may_read(repository, revision):
            return None
        path = self.hub.folder / repository / name
        if not path.is_file():
            return self._error(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": revision})
        size, sha256, git = self._told(path, name)
        if not is_large(name):
            return self._content(path, name, {"X-Repo-Commit": revision, "ETag": f'"{git}"'})
        return self._reply(
            302,
            headers={
                "Location": f"{self.hub.content}/content/{repository}/{name}",
                "X-Repo-Commit": revision,
                "X-Linked-Size": str(size),
                "X-Linked-ETag": f'"{sha256}"',
                "X-Xet-Hash": hashlib.sha256(sha256.encode()).hexdigest(),
                "Link": f'<{self.hub.endpoint}/api/models/{repository}/xet-read-token/{revision}>; rel="xet-auth"',
            },
        )

    def _content(self, path, name, headers=None):
        if not path.is_file():
            return self._error(404, "Not found")
        faults, size, start = self.hub.faults, path.stat().st_size, 0
        if faults.silent:
            time.sleep(30)
        match = re.fullmatch(r"bytes=(\d+)-", self._request.range or "")
        headers = {"Accept-Ranges": "bytes", **(headers or {})}
        if match and not faults.no_ranges:
            start = int(match[1])
            if start >= size:
                return self._reply(416, headers={"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        self._head(206 if start or (match and not faults.no_ranges) else 200, size - start, headers)
        return self._send(path, name, start) if self._body else None

    def _send(self, path, name, start):
        faults = self.hub.faults
        left = faults.cut_after if faults.cut_after is not None and faults.cuts > 0 else None
        with open(path, "rb") as file:
            file.seek(start)
            while piece := file.read(PIECE if left is None else min(PIECE, left)):
                if name in faults.corrupt and file.tell() >= path.stat().st_size:
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                self.wfile.write(piece)
                self._request.sent += len(piece)
                left = left if left is None else left - len(piece)
                time.sleep(faults.pause)
        if left == 0:
            faults.cuts -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _json(self, data):
        self._reply(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _error(self, status, message, code=None, headers=None):
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self._reply(status, json.dumps({"error": message}).encode(), {"Content-Type": "application/json", **headers})

    def _reply(self, status, content=b"", headers=None):
        self._head(status, len(content), headers or {})
        if self._body:
            self.wfile.write(content)

    def _head(self, status, length, headers):
        self._request.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()


def main():
    parser = argparse.ArgumentParser(description="Serve a folder of models as the hub does; Ctrl-C ends.")
    parser.add_argument("folder", type=Path, help="as support/tiny_models.py writes it")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Hub(options.folder, options.port, echo=True) as hub:
        print(f"HF_ENDPOINT={hub.endpoint}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
