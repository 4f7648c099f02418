"""The page as a whole: it stands by itself, says what it shows, and comes out whatever the shot is like."""

import base64
import gc
import os
import re
import subprocess
import sys
import weakref
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from inference.common.failures import Failure
from inference.contract import exit_codes
from inference.evaluation.report import gather, write
from inference.evaluation.report.figures import style
from inference.evaluation.report.shots import Estimate, ReportError, Series
from inference.evaluation.report.write import Report
from inference.evaluation.table import Column, Table

ROOT = Path(__file__).resolve().parents[4]


class Page(HTMLParser):
    """What a test asks of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.references, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        known = dict(attributes)
        self.references += [known[name] for name in ("src", "href", "srcset", "action", "data") if name in known]
        if tag == "img":
            self.images.append(known)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def table(rows=(("exact", 0.1, 3), ("flickering", 0.2, None))):
    columns = (Column(name="Estimate"), Column(name="RMSE", unit="m", better="lower"), Column(name="frames", digits=0))
    return Table(title="Against truth", reading="Means over all pixels.", columns=columns, rows=rows)


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A report of a shot with everything, and its folder."""
    return tmp_path_factory.mktemp("report") / "out"


@pytest.fixture
def everything(full, make):
    if not (full / "index.html").exists():
        series = Series(label="drift", unit="1/m", frames=(2, 3), values=np.array([0.1, 0.2]), reading="Lower is good.")
        estimates = (
            make.compared("exact", make.right, series=(series,)),
            make.compared("other", lambda frame: make.right(frame) * 1.1, borders=(5,)),
        )
        notes = ("2 frames were left out.",)
        write.write(
            Report(title="Two estimators", shots=(make(estimates=estimates),), tables=(table(),), notes=notes), full
        )
    return full


def test_a_page_loads_nothing_from_anywhere(everything):
    text = (everything / "index.html").read_text(encoding="utf-8")
    found = Page(text)
    assert found.references and all(each.startswith(("data:image/webp;base64,", "#")) for each in found.references)
    assert not {"script", "link", "iframe", "object", "embed", "video", "base"} & set(found.tags)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text, "and a browser would refuse to"


def test_a_page_holds_the_images_that_lie_beside_it(everything):
    images = Page((everything / "index.html").read_text(encoding="utf-8")).images
    held = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    beside = [path.read_bytes() for path in (everything / "figures").iterdir()]
    assert sorted(held) == sorted(map(style.for_page, beside)) and len(held) == 10


def test_every_figure_says_what_it_shows(everything):
    found = Page((everything / "index.html").read_text(encoding="utf-8"))
    assert found.tags.count("figure") == found.tags.count("figcaption") == 10
    assert all("a shot: exact, other" in image["alt"] for image in found.images)
    for words in ("bright is near", "Vertical streaks are flicker", "Drift: Lower is good.", "Low frequencies, left"):
        assert words in found.text


def test_numbers_stand_with_units_and_the_best_is_marked(everything):
    text = (everything / "index.html").read_text(encoding="utf-8")
    found = Page(text)
    assert "RMSE [m]" in found.text and "shift [1/m]" in found.text
    assert re.search(r'<td class="best">\s*0\.1000</td>', text) and re.search(r"<td>\s*0\.2000</td>", text)
    assert "0.333333" in found.text, "the scale that the estimates were aligned with"
    assert "–" in found.text, "what was not measured is no zero"
    assert "2 frames were left out." in found.text


def test_a_page_is_made_for_light_and_dark(everything):
    text = (everything / "index.html").read_text(encoding="utf-8")
    assert 'content="light dark"' in text and "prefers-color-scheme: dark" in text
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", part)) for part in text.split("prefers-color-scheme: dark", 1))
    for colors in (light, dark):
        for ground in ("ground", "card", "note", "best"):
            assert contrast(colors["ink"], colors[ground]) > 7
        assert contrast(colors["soft"], colors["card"]) > 4.5


def contrast(one, other):
    """Contrast of two colors as WCAG 2 defines it."""

    def luminance(color):
        values = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    bright, dim = sorted([luminance(one), luminance(other)], reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_names_cannot_become_part_of_the_page():
    evil = '<script>alert("x")</script>'
    report = Report(title=evil, shots=(), tables=(table(rows=((evil, 1.0, 1),)),), notes=(evil,))
    found = Page("".join(write.render_page(report, [])))
    assert "script" not in found.tags and found.text.count(evil) == 4  # twice as title, in the table, in the note


def test_a_shot_of_one_frame_has_images_and_no_time(make, tmp_path):
    shot = make(count=1, plate=False)
    file = write.write(Report(title="t", shots=(shot,)), tmp_path)
    found = Page(file.read_text(encoding="utf-8"))
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == [
        "shot1_errors.png",
        "shot1_sheet1_exact.png",
        "shot1_sheet2_flickering.png",
        "shot1_side_by_side.png",
    ]
    assert "The shot has one frame" in found.text and "The shot has no plate" in found.text


@pytest.mark.slow
def test_a_shot_of_three_frames_has_curves_and_no_spectrum(make, tmp_path):
    found = Page(write.write(Report(title="t", shots=(make(count=3),)), tmp_path).read_text(encoding="utf-8"))
    assert "A spectrum needs 4 frames and the shot has 3." in found.text
    assert (tmp_path / "figures" / "shot1_mean.png").exists()


@pytest.mark.slow
def test_depth_that_is_all_equal_or_has_no_value_makes_a_report_all_the_same(make, tmp_path):
    estimates = (
        Estimate(name="flat", disparity=lambda frame: np.full((4, 6), 2.0)),
        Estimate(name="empty", disparity=lambda frame: np.full((4, 6), np.nan)),
    )
    shot = make(count=2, plate=False, ground_truth=False, estimates=estimates)
    found = Page(write.write(Report(title="t", shots=(shot,)), tmp_path).read_text(encoding="utf-8"))
    assert "flat is 2 everywhere in this shot" in found.text
    assert "empty has no value anywhere in this shot" in found.text
    assert "pixels without a value in 2 frames" in found.text and len(found.images) == 6


def test_names_of_estimates_never_leave_the_folder(make, tmp_path):
    shot = make(count=1, plate=False, ground_truth=False, estimates=(Estimate(name="../../Ä b", disparity=make.right),))
    write.write(Report(title="t", shots=(shot,)), tmp_path / "in")
    assert [path.name for path in (tmp_path / "in" / "figures").iterdir()] == ["shot1_sheet1_b.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_second_report_takes_the_place_of_the_first(make, tmp_path):
    one = make(count=1, plate=False, estimates=(make.compared("a", make.right, 1),))
    two = make(count=1, plate=False, ground_truth=False, estimates=(Estimate(name="a", disparity=make.right),))
    write.write(Report(title="first", shots=(one, one)), tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"kept")
    file = write.write(Report(title="second", shots=(two,)), tmp_path)
    assert "second" in file.read_text(encoding="utf-8")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "mine.png" in names and not {name for name in names if name.startswith("shot2") or "errors" in name}


def test_only_files_of_a_reports_own_names_are_removed(make, tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    others = {"shot1_final.png", "shot010.png", "shotgun.png", "shot1_mean.png.bak"}
    for name in {*others, "shot7_mean.png", "shot2_sheet1_a.png"}:
        (figures / name).write_bytes(b"kept")
    write.write(Report(title="t", shots=()), tmp_path)
    assert {path.name for path in figures.iterdir()} == others
    assert {path.name for path in tmp_path.iterdir()} == {"figures", "index.html"}, "nothing is left beside it"


@pytest.mark.parametrize("kind", ["page", "link", "fifo", "folder"])
def test_a_page_that_is_no_report_is_not_written_over(tmp_path, kind):
    mine, page_there = tmp_path / "mine.html", tmp_path / "index.html"
    mine.write_text("<h1>My site</h1>")
    if kind == "page":
        page_there.write_text(mine.read_text())
    elif kind == "link":
        page_there.symlink_to(mine)
    elif kind == "fifo":
        os.mkfifo(page_there)
    else:
        page_there.mkdir()
    with pytest.raises(Failure, match=r"index\.html exists and is not part of a report") as failure:
        write.write(Report(title="t", shots=()), tmp_path)
    assert failure.value.code == exit_codes.BAD_OUTPUT
    assert mine.read_text() == "<h1>My site</h1>" and page_there.exists()


def test_figures_are_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shot1_mean.png").write_bytes(b"kept")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "figures").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure, match="figures exists and is not part of a report"):
        write.write(Report(title="t", shots=()), tmp_path / "report")
    assert (tmp_path / "elsewhere" / "shot1_mean.png").read_bytes() == b"kept"


def test_a_report_that_fails_leaves_the_earlier_one(make, tmp_path):
    write.write(Report(title="first", shots=(make(count=1, plate=False),)), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    broken = make(
        count=1, plate=False, ground_truth=False, estimates=(Estimate(name="a", disparity=lambda frame: None),)
    )
    with pytest.raises(ReportError):
        write.write(Report(title="second", shots=(make(count=1, plate=False), broken)), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_memory_holds_the_figures_of_one_shot(make, tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []

    def counted(shot, real=write._page):
        gc.collect()
        most.append(len(alive))
        made = real(shot)
        alive.add(made)
        return made

    monkeypatch.setattr(write, "_page", counted)
    write.write(Report(title="t", shots=(make(count=1, plate=False, ground_truth=False),) * 4), tmp_path)
    assert len(most) == 4 and max(most) <= 1, "the one before is still being written"


@pytest.mark.slow
def test_a_very_long_shot_shows_one_frame_in_several(make, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "_LINES", 4)
    file = write.write(Report(title="t", shots=(make(count=9, ground_truth=False),)), tmp_path)
    assert "the profile shows one frame in 3." in Page(file.read_text(encoding="utf-8")).text


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match=r"file.* cannot be written") as failure:
        write.write(Report(title="t", shots=()), tmp_path / "file" / "report")
    assert failure.value.code == exit_codes.BAD_OUTPUT


def test_matplotlib_keeps_its_cache_in_fathoms_folder_and_shots_need_no_matplotlib(tmp_path):
    code = """
import sys
from inference.evaluation.report import shots
from inference.evaluation.accuracy import metrics
assert "matplotlib" not in sys.modules and "jinja2" not in sys.modules
from inference.evaluation.report.figures import style
import matplotlib
print(matplotlib.get_configdir(), matplotlib.get_cachedir(), sep="\\n")
assert "matplotlib.pyplot" not in sys.modules
"""
    home = {"PYTHONPATH": str(ROOT), "FATHOM_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {str(tmp_path / "home" / "cache" / "matplotlib")}
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_what_a_killed_run_has_left_goes_after_a_day(tmp_path):
    old, new = tmp_path / ".report-a1b2c3d4", tmp_path / ".report-e5f6a7b8"
    theirs = tmp_path / ".report-theirs00" / "notes.txt"
    for folder in (old, new, theirs.parent):
        folder.mkdir()
        (folder / "shot1_mean.png").write_bytes(b"half")
        (folder / write.PAGE).write_bytes(b"half")
    theirs.write_text("theirs")
    for folder in (old, theirs.parent):
        os.utime(folder, (0, 0))
    write.write(Report(title="Clip", shots=(), tables=(table(),)), tmp_path)
    assert not old.exists() and new.is_dir()
    assert [path.name for path in theirs.parent.iterdir()] == ["notes.txt"]
