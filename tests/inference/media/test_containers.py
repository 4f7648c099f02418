"""What is a movie, and what only says so: playlists, addresses, and images beyond the memory."""

import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from inference.common.failures import ClipError
from inference.media import containers, declared, timeline
from inference.media.clip import open_clip
from inference.media.source import describe
from tests.footage_maker import movie, numbered

if sys.platform == "linux":
    import resource
from tests.marks import rest_slow


@pytest.fixture
def listener():
    """A server on this machine; ``heard`` has the first line of everything that asks it."""
    heard = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    over = threading.Event()

    def serve():
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                heard.append(connection.recv(100))

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1], heard
    over.set()
    thread.join()
    server.close()


def lists(port, other):
    """Files that name another file, or an address."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
    address = f"http://127.0.0.1:{port}/a.ts"
    return {
        "hls of a file": hls.format(f"file://{other}"),
        "hls of a neighbor": hls.format(other.name),
        "hls of an address": hls.format(address),
        "hls with a key": hls.format(other.name).replace(
            "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{address}"\n#EXTINF'
        ),
        "concat": f"ffconcat version 1.0\nfile '{other}'\n",
        "concat of an address": f"ffconcat version 1.0\nfile '{address}'\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{address}'
        '</BaseURL><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"><SegmentList>'
        f'<SegmentURL media="{address}"/></SegmentList></Representation></AdaptationSet></Period></MPD>',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="{address}"/></svg>',
        "reference": f"[Reference]\r\nRef1={address}\r\n",
        "text": "any text\n" * 100,
    }


@pytest.mark.parametrize("kind", lists(0, containers.Path("a.ts")))
@pytest.mark.parametrize("suffix", rest_slow(["mp4", "m3u8", "mov", "txt", "mpd", "sdp", "ffconcat"], fast=2))
def test_a_list_of_other_files_opens_none(tmp_path, listener, kind, suffix):
    port, heard = listener
    other = movie(tmp_path / "other.ts", range(5))
    path = tmp_path / f"clip.{suffix}"
    path.write_text(lists(port, other)[kind])
    with pytest.raises(ClipError, match=r"is no movie|has no image in it|is coded in a way"):
        describe(path)
    assert not heard


@pytest.mark.parametrize("name", ["concat:a.mp4|b.mp4", "subfile,,start,0,end,0,,:a.mp4", "http:a.mp4", "data:,a.mp4"])
def test_a_name_that_reads_like_an_address_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    movie(tmp_path / "whole.mp4", range(6)).rename(tmp_path / name)
    with containers.opened(name) as container:
        assert len(container.streams.video) == 1


def test_a_name_that_reads_like_a_pattern_is_a_name(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"x{number}.psd.png"), numbered(number))
    path = tmp_path / "x%d.psd.mov"
    with pytest.raises(ClipError, match=r"There is no movie|There is nothing at"):
        describe(path)
    path.write_bytes((tmp_path / "x1.psd.png").read_bytes())
    with pytest.raises(ClipError, match="is an image of a kind that is not read"):
        describe(path)


def test_attachments_and_subtitles_are_passed_over(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("passwd.txt", "text/plain", b"root:x:0:0\n" * 100)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_clip(describe(path)) as clip:
        assert len(list(clip.read())) == 5
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mkv"]


@pytest.fixture
def little_memory(monkeypatch):
    """Have so many bytes free."""

    def has(free):
        monkeypatch.setattr(declared, "free_bytes", lambda: free)

    return has


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_a_movie_beyond_the_memory_is_refused_by_its_header(tmp_path, name, little_memory):
    path = movie(tmp_path / name, range(5))
    little_memory(64 * 48 * 10)
    with pytest.raises(ClipError, match=r"declares 64 x 48 pixels, which take .* GB of memory"):
        describe(path)


def test_where_memory_is_short_fewer_threads_decode(tmp_path, little_memory):
    path = movie(tmp_path / "clip.mp4", range(5))
    little_memory(64 * 48 * (24 + 1.5 * 5.5))
    with containers.opened(str(path)) as container:
        stream = containers.video_stream(container, str(path), 0)
        containers.bound_memory(stream, str(path))
        assert stream.codec_context.thread_count == 1
        assert len(list(container.decode(stream))) == 5


def grown(path, size):
    """A movie of six frames whose last three are of another size than its header says."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(6):
            image = numbered(number) if number < 3 else np.zeros((size[1], size[0], 3), np.uint8)
            packet = av.Packet(cv2.imencode(".jpg", image)[1].tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def test_frames_that_grow_midway_are_named_and_beyond_the_memory_not_decoded(tmp_path, little_memory):
    path = grown(tmp_path / "clip.mkv", (640, 480))
    with (
        open_clip(describe(path)) as clip,
        pytest.raises(ClipError, match="is 640 x 480 pixels and the clip is 64 x 48"),
    ):
        list(clip.read())
    little_memory(2_000_000)
    with open_clip(describe(path)) as clip, pytest.raises(ClipError, match="cannot be decoded after frame"):
        list(clip.read())


def test_more_frames_than_blender_counts(tmp_path):
    path = movie(tmp_path / "clip.mkv", [0, 1, 2 * timeline.MOST_FRAMES])
    with pytest.raises(ClipError, match=r"has 209714\d frames by its header, and Blender counts to 1048574"):
        describe(path)


def test_a_coding_that_nobody_knows(tmp_path):
    path = movie(tmp_path / "clip.mov", range(5))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzq1"))
    with pytest.raises(ClipError, match="is coded in a way that is not known"):
        describe(path)


def test_a_size_that_only_a_damaged_header_has_is_not_taken_for_memory(little_memory):
    little_memory(1 << 40)
    containers.pass_on_memory(av.MemoryError(12, "Cannot allocate memory"))
    little_memory(1 << 20)
    with pytest.raises(MemoryError):
        containers.pass_on_memory(av.MemoryError(12, "Cannot allocate memory"))


def test_a_stream_that_begins_midway_is_one_sentence(tmp_path):
    path = movie(tmp_path / "clip.flv", range(40), codec="flv")
    data = bytearray(path.read_bytes())
    at, tags = 13, 0
    while at + 11 < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        tags += kind == 9
        if kind == 9 and tags > 20:
            data[at] = 8  # sound, of which the header says nothing
        at += 11 + size + 4
    path.write_bytes(data)
    try:
        with open_clip(describe(path)) as clip:
            assert len(list(clip.read())) <= 40
    except ClipError as error:
        assert str(path) in error.what


def boxed(data, name, at, form, *values):
    """An MP4 with other values in a box."""
    changed = bytearray(data)
    struct.pack_into(form, changed, data.index(name) + 4 + at, *values)
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "at", "form", "values"),
    [
        (b"mdhd", 12, ">II", (1, 2**31 - 1)),
        (b"mdhd", 12, ">II", (0, 0)),
        (b"mdhd", 12, ">II", (2**32 - 1, 1)),
        (b"mvhd", 12, ">II", (2**32 - 1, 2**32 - 1)),
        (b"stts", 8, ">II", (2**31 - 1, 2**31 - 1)),
        (b"stts", 8, ">II", (5, 0)),
        (b"elst", 4, ">I", (2**32 - 1,)),
        (b"elst", 8, ">Ii", (2**32 - 1, 2**31 - 1)),
        (b"stsz", 8, ">I", (2**32 - 1,)),
        (b"tkhd", 76, ">II", (2**32 - 1, 2**32 - 1)),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
def test_absurd_times_and_tables_end_in_a_sentence_or_in_frames(tmp_path, name, at, form, values):
    path = movie(tmp_path / "clip.mp4", range(5))
    path.write_bytes(boxed(path.read_bytes(), name, at, form, *values))
    try:
        with open_clip(describe(path)) as clip:
            for _ in zip(clip.read(), range(20)):
                pass
    except ClipError as error:
        assert "clip.mp4" in error.what


LISTED = 20_000_000
OPENED = """
import resource
import sys
from inference.common.failures import ClipError
from inference.media import containers, declared
from inference.media.source import describe
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
declared.free_bytes = lambda: 300 << 20
containers._LEAST_ROOM = 0
try:
    describe(sys.argv[1])
except (ClipError, MemoryError) as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base, resource.getrlimit(resource.RLIMIT_AS)[0], error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process has")
def test_tables_of_millions_of_frames_take_no_more_memory_than_is_free(tmp_path):
    """A file of three kilobytes whose header lists frames of a byte each, which would take 1.4 GB."""
    path = movie(tmp_path / "clip.mp4", range(12))
    data = boxed(path.read_bytes(), b"stsz", 4, ">II", 1, LISTED)
    data = boxed(data, b"stsc", 8, ">III", 1, LISTED, 1)
    path.write_bytes(boxed(data, b"stts", 8, ">II", LISTED, 1))
    ended = subprocess.run([sys.executable, "-c", OPENED, path], capture_output=True, text=True, check=True)
    kilobytes, limit, said = ended.stdout.split(maxsplit=2)
    assert int(kilobytes) < 400_000 and str(path) in said
    assert int(limit) == resource.getrlimit(resource.RLIMIT_AS)[0], "the limit is taken back"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process has")
def test_movies_that_are_opened_at_once_leave_no_limit(tmp_path):
    path = movie(tmp_path / "clip.mp4", range(5))
    before = resource.getrlimit(resource.RLIMIT_AS)
    with ThreadPoolExecutor(8) as threads:
        for container in threads.map(containers.opened, [str(path)] * 40):
            container.close()
    assert resource.getrlimit(resource.RLIMIT_AS) == before
