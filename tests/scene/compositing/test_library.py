"""The asset library: made, known to the preferences, and taken away again."""

import bpy
import pytest
from bl_ext.dev.fathom.scene.compositing import library
from bl_ext.dev.fathom.scene.problems import Problem


def entries():
    return [(each.name, each.path) for each in bpy.context.preferences.filepaths.asset_libraries]


@pytest.fixture
def home(tmp_path, monkeypatch, empty_file):
    monkeypatch.setenv("FATHOM_HOME", str(tmp_path / "home"))
    before = entries()
    yield tmp_path / "home"
    library.remove()
    assert entries() == before


def test_it_holds_every_effect_with_its_preview_and_leaves_the_file_as_it_was(home, empty_file):
    mine = bpy.data.node_groups.new("Fog (Fathom)", "CompositorNodeTree")
    before = {kind: list(getattr(bpy.data, kind)) for kind in ("node_groups", "images", "textures", "scenes")}
    folder = library.install()
    assert {kind: list(getattr(bpy.data, kind)) for kind in before} == before
    assert mine.name == "Fog (Fathom)"
    assert library.is_installed() and entries()[-1] == (library.NAME, str(folder))
    with bpy.data.libraries.load(str(folder / "effects.blend"), assets_only=True) as (there, wanted):
        assert sorted(there.node_groups) == sorted(f"{asset.name} (Fathom)" for asset in library.ASSETS)
        wanted.node_groups = there.node_groups
    for group in wanted.node_groups:
        assert (
            group.asset_data.description
            and group.asset_data.catalog_id in (folder / "blender_assets.cats.txt").read_text()
        )
        assert tuple(group.preview.image_size) == (128, 128)
        names = [item for item in group.interface.items_tree if item.item_type == "SOCKET"]
        assert all(item.description for item in names), group.name
        numbers = [item for item in names if item.in_out == "INPUT" and item.socket_type == "NodeSocketFloat"]
        without = [n.name for n in numbers if not n.hide_value and n.min_value < -1e30 and n.max_value > 1e30]
        # places, angles and the lens's shift alone have no bound
        assert {*without} <= {"Base Height", "Camera Height", "Shift X", "Shift Y", "Rotation"}, group.name
    assert library.install() == folder and entries().count((library.NAME, str(folder))) == 1


def test_removing_takes_its_own_and_nothing_else(home):
    folder = library.install()
    (folder / "mine.blend").write_bytes(b"mine")
    bpy.ops.fathom.remove_assets()
    assert not library.is_installed()
    assert [path.name for path in folder.iterdir()] == ["mine.blend"]
    library.remove()  # again
    (folder / "mine.blend").unlink()
    library.remove()
    assert not folder.exists()


def test_catalogs_and_assets_of_the_artist_stay(home):
    folder = library.install()
    catalogs, file = folder / "blender_assets.cats.txt", folder / "effects.blend"
    mine = "11111111-2222-4333-8444-555555555555:Mine:Mine"
    catalogs.write_text(f"{catalogs.read_text()}# mine\n{mine}\n")
    library.install()
    assert mine in catalogs.read_text() and catalogs.read_text().count("Fathom:Fathom") == 1
    library.remove()
    assert catalogs.read_text() == f"VERSION 1\n\n# mine\n{mine}\n" and not file.exists()
    for content in ("a blend of mine", None):
        if content is None:
            own = bpy.data.node_groups.new("My Fog", "CompositorNodeTree")
            own.asset_mark()
            bpy.data.libraries.write(str(file), {own})
        else:
            file.write_text(content)
        before = file.read_bytes()
        for change in (library.install, library.remove):
            with pytest.raises(Problem, match="not Fathom's, My Fog" if content is None else "not the library"):
                change()
        assert file.read_bytes() == before
        file.unlink()
    catalogs.unlink()


def test_the_library_that_is_open_stays_as_it_is(home, empty_file):
    file = library.install() / "effects.blend"
    before = file.read_bytes()
    bpy.ops.wm.open_mainfile(filepath=str(file))
    for act in (library.install, library.remove):
        with pytest.raises(Problem, match=r"effects\.blend is open in this Blender: open another file first"):
            act()
    assert file.read_bytes() == before
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def test_a_folder_that_cannot_be_written_is_one_sentence(home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file")
    with pytest.raises(Problem, match="cannot be written"):
        library.install()
    assert not library.is_installed()
    home.unlink()


def test_a_library_that_was_saved_by_hand_is_neither_made_again_nor_removed(home, empty_file):
    file = library.install() / "effects.blend"
    bpy.ops.wm.open_mainfile(filepath=str(file))
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_empty=True)
    before = file.read_bytes()
    for call in (library.install, library.remove):
        with pytest.raises(Problem, match=r"effects\.blend was saved in Blender, .*: move it away first"):
            call()
    assert file.read_bytes() == before
    file.unlink()
