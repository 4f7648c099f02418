"""Get Quick Depth, from a press to depth: its weights come from a server of the test's own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bpy
import numpy as np
import pytest
from bl_ext.dev.fathom.inference.contract.catalogue import QUICK
from bl_ext.dev.fathom.scene import depth_list, preferences

PATH = "data/models/tcmonodepth_tcsmallnet_192x320.onnx"


@pytest.fixture
def home(inference_python, empty_file, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_PYTHON", str(inference_python))
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(preferences, "offline_reason", lambda: None)
    return tmp_path / "home"


@pytest.fixture
def serve(monkeypatch):
    """Serve these bytes in the place of the weights; gives the paths that were asked for."""
    servers = []

    def start(content):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("FATHOM_WEIGHTS_MIRROR", f"http://127.0.0.1:{server.server_port}")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def press(clip, tmp_path):
    return bpy.ops.fathom.get_quick_depth(filepath=str(clip / "plate.1001.png"), output=str(tmp_path / "depth"))


def test_one_press_gets_the_weights_and_the_depth(home, serve, footage, clip, tmp_path):
    weights = footage / "learned" / "tcmonodepth_small_192x320.onnx"
    if not weights.is_file():
        pytest.skip("the weights of Quick are not among the test footage")
    asked = serve(weights.read_bytes())
    assert press(clip, tmp_path) == {"FINISHED"}
    assert len(asked) == 1 and asked[0].endswith(PATH)
    depth = depth_list.load(bpy.context.scene)
    assert (depth.sequence.estimator, depth.sequence.quantity) == ("quick", "relative_disparity")
    assert len(list(depth.folder.glob("disparity.*.exr"))) == 6
    assert bpy.context.scene.fathom.estimator == "quick"
    assert not (home / "download.log").exists()
    assert bpy.ops.fathom.get_quick_depth(filepath=str(clip / "plate.1001.png"), output=str(tmp_path / "other")) == {
        "FINISHED"
    }
    assert len(asked) == 1  # the weights are there


def test_weights_that_are_not_the_right_ones_are_said_and_nothing_is_estimated(home, serve, clip, tmp_path):
    serve(np.random.default_rng(1).bytes(790459))
    with pytest.raises(RuntimeError, match="damaged"):
        press(clip, tmp_path)
    assert not list((tmp_path / "depth").rglob("depth.json"))


def test_without_leave_to_go_online_nothing_is_asked_for(home, serve, clip, tmp_path, monkeypatch):
    asked = serve(b"")
    monkeypatch.setattr(preferences, "offline_reason", lambda: "Blender may not go online.")
    with pytest.raises(RuntimeError, match=r"not on this machine yet\. Blender may not go online\."):
        press(clip, tmp_path)
    assert asked == []


def test_what_the_button_names_is_what_the_estimator_declares():
    from ast import literal_eval, parse, walk
    from pathlib import Path

    # the worker's modules are not Blender's to import, so the declaration is read
    root = Path(__file__).resolve().parents[2] / "inference" / "estimators" / "quick" / "weights.py"
    said = {
        keyword.arg: literal_eval(keyword.value)
        for node in walk(parse(root.read_text(encoding="utf-8")))
        for keyword in getattr(node, "keywords", ())
        if keyword.arg in {"name", "title"} and getattr(node.func, "id", "") == "Licence"
    }
    assert said["name"] == QUICK.licence and said["title"] in QUICK.terms
    assert f'name="{QUICK.weights}"' in root.read_text(encoding="utf-8")


@pytest.mark.slow
def test_one_press_gets_a_network_for_automatic(home, serve, footage, clip, tmp_path):
    weights = footage / "learned" / "tcmonodepth_small_192x320.onnx"
    if not weights.is_file():
        pytest.skip("the weights of Quick are not among the test footage")
    asked = serve(weights.read_bytes())
    arguments = {"filepath": str(clip / "plate.1001.png"), "output": str(tmp_path / "depth")}
    assert bpy.ops.fathom.get_network(network="quick", **arguments) == {"FINISHED"}
    assert len(asked) == 1
    depth = depth_list.load(bpy.context.scene)
    (shot,) = depth.sequence.shots
    assert (depth.sequence.estimator, shot.estimators) == ("automatic", ("quick",)), "too short for Parallax"
    assert depth.quantity_of(shot) == "relative_disparity" and shot.reason.endswith("So the depth is Quick's alone.")
    assert bpy.context.scene.fathom.estimator == "automatic"


def test_a_network_that_there_is_not_is_an_error(home, clip, tmp_path):
    with pytest.raises(RuntimeError, match="There is no network nobody: choose one of video_depth_anything, quick"):
        bpy.ops.fathom.get_network(
            network="nobody", filepath=str(clip / "plate.1001.png"), output=str(tmp_path / "depth")
        )
    assert not (tmp_path / "depth").exists()
