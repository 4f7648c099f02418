"""Color; that it is Blender's is tested against Blender itself in tests/scene."""

import os

import numpy as np
import PyOpenColorIO
import pytest

from inference.common.failures import ClipError
from inference.media import color
from inference.media.color_config import BLENDERS_NAMES

VALUES = np.array([[[-0.2, 0.0, 0.18], [0.5, 1.0, 3.0], [np.nan, np.inf, -np.inf]]], np.float32)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configuration of the usual kind: the computer-graphics one that OCIO has built in."""
    path = tmp_path_factory.mktemp("ocio") / "config.ocio"
    path.write_text(PyOpenColorIO.Config.CreateFromBuiltinConfig("cg-config-latest").serialize(), encoding="utf-8")
    return path


def test_srgb_is_only_clamped(config):
    for path in (None, config):
        shown = color.to_display("sRGB", path)(VALUES.copy())
        np.testing.assert_allclose(shown.ravel(), [0, 0, 0.18, 0.5, 1, 1, 0, 1, 0], atol=1e-7)


def test_linear_needs_no_configuration_and_is_the_same_with_one(config, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    built_in = color.to_display("Linear Rec.709", None)(VALUES.copy())
    np.testing.assert_allclose(built_in[0, 0], [0, 0, 0.46136], atol=1e-4)
    by_ocio = color.to_display("Linear Rec.709 (sRGB)", config)(VALUES.copy())
    np.testing.assert_allclose(by_ocio, built_in, atol=2e-4)


def test_acescg_keeps_gray_gray(config):
    gray = np.full((2, 2, 3), 0.18, np.float32)
    np.testing.assert_allclose(color.to_display("ACEScg", config)(gray), 0.4614, atol=2e-3)


def test_a_configuration_that_calls_srgb_otherwise(tmp_path):
    config = PyOpenColorIO.Config.CreateFromBuiltinConfig("cg-config-latest")
    renamed = config.getColorSpace("sRGB - Texture")
    text = config.serialize()
    for name in (renamed.getName(), *renamed.getAliases()):
        text = text.replace(name, f"house_{name}")
    (tmp_path / "config.ocio").write_text(text, encoding="utf-8")
    gray = np.full((2, 2, 3), 0.18, np.float32)
    np.testing.assert_allclose(color.to_display("ACEScg", tmp_path / "config.ocio")(gray), 0.4614, atol=2e-3)


def test_the_environment_names_the_configuration(config, monkeypatch):
    monkeypatch.setenv("OCIO", str(config))
    assert color.to_display("ACEScg", None)(VALUES.copy()).shape == VALUES.shape


@pytest.mark.parametrize("space", sorted(set(BLENDERS_NAMES.values())))
def test_blenders_spaces_need_no_configuration(space, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    white = np.ones((1, 1, 3), np.float32)
    if space == "Linear CIE-XYZ D65":
        white *= np.float32([0.9505, 1.0, 1.089])
    for amount in (0.0, 1.0):
        shown = color.to_display(space, None)(white * np.float32(amount))
        np.testing.assert_allclose(shown, amount, atol=2e-3)


@pytest.mark.parametrize(
    ("space", "code"),
    [
        ("Rec.2100-PQ", 0.508078),  # SMPTE ST 2084 for 100 cd/m²
        ("Rec.2100-HLG", 0.6296),  # 100 cd/m² on a display of 1000
    ],
)
def test_hdr_video_is_white_at_100_nits_and_clipped_above(space, code, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    codes = np.repeat(np.float32([code - 0.05, code, 1.0])[None, :, None], 3, axis=2)
    darker, white, brightest = color.to_display(space, None)(codes)[0, :, 0]
    assert 0.6 < darker < 0.97
    assert white == pytest.approx(1, abs=0.01)
    assert brightest == 1


def test_deep_stills_of_hdr_video_and_data_are_as_blenders(monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    values = np.float32([[[0.4667, 0.3255, 0.3529]]])  # Blender's own results for this pixel, 5.0
    shown = color.to_display("Rec.2100-PQ", None, deep_still=True)(values)
    np.testing.assert_allclose(shown[0, 0], [0.7296, 0.2081, 0.3361], atol=1e-3)
    shown = color.to_display("Rec.2100-PQ", None)(values)
    np.testing.assert_allclose(shown[0, 0], [0.9989, 0.2984, 0.4704], atol=1e-3)
    shown = color.to_display("Non-Color", None, deep_still=True)(values)
    np.testing.assert_allclose(shown[0, 0], [0.7129, 0.6059, 0.6286], atol=1e-3)
    np.testing.assert_allclose(color.to_display("Non-Color", None)(values), values, atol=1e-6)


def test_a_space_that_is_not_built_in_says_what_to_do(monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    with pytest.raises(ClipError, match=r"ACEScq is not in .* that OCIO has built in; choose another, such as ACEScg"):
        color.to_display("ACEScq", None)


def test_spaces_are_found_by_the_identifiers_that_files_name(config, monkeypatch):
    monkeypatch.delenv("OCIO", raising=False)
    assert color.find("pq_rec2020_display", None) == "Rec.2100-PQ"
    assert color.find("g22_adobergb_scene", None) == "Gamma 2.2 Encoded AdobeRGB"
    assert color.find("no_such_space", None) is None
    assert color.find("pq_rec2020_display", config) == "Rec.2100-PQ - Display"
    assert color.find("hlg_rec2020_display", config) is None


def test_an_unknown_space_says_which_are_known(config):
    with pytest.raises(ClipError, match=r"ACEScq is not in .*config\.ocio; choose another, such as ACEScg"):
        color.to_display("ACEScq", config)


def test_a_missing_and_a_broken_configuration_are_named(tmp_path):
    with pytest.raises(ClipError, match=r"There is no OCIO configuration .*none\.ocio"):
        color.to_display("ACEScg", tmp_path / "none.ocio")
    (tmp_path / "broken.ocio").write_text("no configuration", encoding="utf-8")
    with pytest.raises(ClipError, match=r"broken\.ocio cannot be read"):
        color.to_display("ACEScg", tmp_path / "broken.ocio")


def test_images_are_not_changed_in_place(config):
    for space in ("sRGB", "Linear Rec.709 (sRGB)"):
        values = VALUES[:, :2].copy()
        color.to_display(space, config)(values)
        np.testing.assert_array_equal(values, VALUES[:, :2])


def test_a_configuration_whose_name_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    config = folder / "config.ocio"
    config.write_text(PyOpenColorIO.Config.CreateFromFile("ocio://studio-config-latest").serialize(), encoding="utf-8")
    image = np.full((2, 2, 3), 0.18, np.float32)
    assert np.allclose(
        color.to_display("ACEScg", str(config))(image), color.to_display("ACEScg", None)(image), atol=1e-3
    )
    with pytest.raises(ClipError, match=r"The color space .* is not in the OCIO configuration"):
        color.to_display(os.fsdecode(b"ac\xe9s"), str(config))
    config.write_text("nothing of the kind", encoding="utf-8")
    with pytest.raises(ClipError, match=r"cannot be read .*; use another configuration"):
        color.to_display("ACEScg", str(config))


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "other file", "group", "by another space"])
def test_a_table_that_is_no_file_is_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe.cube")
    (tmp_path / "text.cube").write_text("root:x:0:0\n")
    name = {"device": "/dev/zero", "folder": str(tmp_path), "other file": "text.cube"}.get(kind, "pipe.cube")
    table = PyOpenColorIO.FileTransform(name)
    config = PyOpenColorIO.Config.CreateFromBuiltinConfig("cg-config-latest")
    config.setSearchPath(str(tmp_path))

    def add(space, transform):
        scene = PyOpenColorIO.REFERENCE_SPACE_SCENE
        config.addColorSpace(PyOpenColorIO.ColorSpace(scene, space, toReference=transform))

    add("strange", PyOpenColorIO.GroupTransform([table]) if kind == "group" else table)
    add("other", PyOpenColorIO.ColorSpaceTransform("strange", "ACEScg"))
    (tmp_path / "config.ocio").write_text(config.serialize(), encoding="utf-8")
    told = "cannot convert strange to sRGB" if kind == "other file" else "for a table of .*, which is no file"
    with pytest.raises(ClipError, match=told):
        color.to_display("other" if kind == "by another space" else "strange", tmp_path / "config.ocio")
