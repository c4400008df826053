"""Sources that are damaged or hostile: each gives one clear line."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import SourceError
from layerscan.registry import RegistryClient
from layerscan.sources import archive as archive_module
from layerscan.sources import open_source
from layerscan.sources.extents import FolderFiles
from tests.builders.documents import encoded, sha256
from tests.builders.image_archives import (
    Files,
    HardLink,
    Saved,
    Symlink,
    blob_path,
    docker_save,
    layout,
    write_folder,
    write_tar,
)
from tests.builders.images import Image, Layer
from tests.builders.sources_case import AMD64, fault, images, read_all
from tests.builders.zstd import zstd

if TYPE_CHECKING:
    from pathlib import Path

LAYER = AMD64.layers[1].blob
MANIFEST, CONFIG, LAYER_PATH = map(blob_path, (AMD64.document, AMD64.config, LAYER))


def without(path: str) -> Files:
    files = layout(AMD64)
    del files[path]
    return files


def changed(path: str, content: bytes | Symlink | HardLink) -> Files:
    return {**layout(AMD64), path: content}


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


LAYOUTS = [
    (without("index.json"), "is no OCI layout: it has no index.json"),
    (without(MANIFEST), f"{MANIFEST}: "),
    (without(CONFIG), f"{CONFIG}: "),
    (without(LAYER_PATH), f"{LAYER_PATH}: "),
    (changed("index.json", b"{"), "index.json: is not JSON"),
    (changed("index.json", b"[]"), "index.json: $: must be an object"),
    (changed("index.json", b"\xff"), "index.json: is not UTF-8"),
    (changed("index.json", b"[" * 100_000), "index.json: is nested too deeply"),
    (changed("index.json", b" " * (4 << 20) + b" "), "index.json: is longer than 4194304 bytes"),
    (changed("index.json", AMD64.document), "index.json: is no index of images"),
    (changed("index.json", b'{"schemaVersion": 2, "manifests": []}'), "has no image for Linux"),
    (changed(MANIFEST, AMD64.document + b" "), "it was fetched in part, or damaged"),
    (changed(MANIFEST, flipped(AMD64.document)), "it has another digest than its name"),
    (changed(CONFIG, flipped(AMD64.config)), "it has another digest than its name"),
    (changed(LAYER_PATH, LAYER[:-1]), "it was fetched in part, or damaged"),
    (changed(LAYER_PATH, LAYER + b"x"), "it was fetched in part, or damaged"),
    (changed(LAYER_PATH, flipped(LAYER)), f"it should have the digest {sha256(LAYER)}"),
    (changed(LAYER_PATH, Symlink("../../../../etc/passwd")), f"{LAYER_PATH}: "),
    (changed(CONFIG, Symlink("/etc/passwd")), f"{CONFIG}: "),
    (changed("index.json", Symlink("/etc/passwd")), "index.json: "),
]


@pytest.mark.parametrize(("files", "words"), LAYOUTS)
def test_damaged_layouts(files: Files, words: str, tmp_path: Path) -> None:
    folder = write_folder(files, tmp_path / "a")
    assert words in fault(f"oci:{folder}")
    archive = write_tar(files, tmp_path / "a.tar")
    message = fault(f"oci-archive:{archive}")
    assert words in message
    assert "root:" not in message


def test_symbolic_links_in_a_layout_are_not_followed(tmp_path: Path) -> None:
    files = layout(AMD64)
    files["elsewhere"] = LAYER
    files[LAYER_PATH] = Symlink("../../elsewhere")
    folder = write_folder(files, tmp_path / "a")
    assert "cannot be read: Too many levels of symbolic links" in fault(f"oci:{folder}")
    # Within an archive they lead to nothing but its own members.
    assert len(read_all(f"oci-archive:{write_tar(files, tmp_path / 'a.tar')}")) == 1


@pytest.mark.parametrize("path", ["index.json", MANIFEST, LAYER_PATH])
def test_a_fifo_or_folder_in_place_of_a_file(path: str, tmp_path: Path) -> None:
    folder = write_folder(without(path), tmp_path / "a")
    os.mkfifo(folder / path)
    assert f"{path}: is no regular file" in fault(f"oci:{folder}")
    (folder / path).unlink()
    (folder / path).mkdir()
    assert f"{path}: is no regular file" in fault(f"oci:{folder}")


def test_a_fifo_or_device_in_place_of_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for path in (tmp_path / "fifo", tmp_path / "link", "/dev/zero"):
        for transport in ("oci-archive", "docker-archive"):
            assert fault(f"{transport}:{path}") == f"{path}: is no regular file"


def test_an_archive_may_be_a_symbolic_link(tmp_path: Path) -> None:
    write_tar(layout(AMD64), tmp_path / "a.tar")
    (tmp_path / "link").symlink_to("a.tar")
    assert len(images(f"oci-archive:{tmp_path / 'link'}")) == 1


# Archives.


@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
def test_archives_cut_off_anywhere(packed: str, transport: str, tmp_path: Path) -> None:
    files = layout(AMD64) if transport == "oci-archive" else docker_save(Saved(AMD64))
    raw = write_tar(files, tmp_path / "a.tar", packed).read_bytes()
    step = max(len(raw) // 60, 1)
    # Without its end alone, of two empty blocks, a plain tar has all that counts.
    for end in range(0, len(raw) - (10240 if not packed else 1), step):
        (tmp_path / "a.tar").write_bytes(raw[:end])
        assert fault(f"{transport}:{tmp_path / 'a.tar'}").startswith(
            (f"{tmp_path / 'a.tar'}: ", f"{transport}:{tmp_path / 'a.tar'}: ")
        )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is no tar archive"),
        (b"hello" * 1000, "is no tar archive"),
        (gzip.compress(b"hello" * 1000), "is no tar archive"),
        (gzip.compress(b"hello") + b"x", "after its gzip data follows something"),
        (zstd.compress(b"hello" * 1000)[:-1], "its zstd data end too early"),
        (b"BZh9" + bytes(1000), "its bzip2 data are damaged"),
        (lzma.compress(b"hello" * 1000)[:-1], "its xz data end too early"),
        (lzma.compress(b"hello") + b"x", "after its xz data follows something"),
        (b"\x04\x22\x4d\x18" + bytes(1000), "is packed with lz4"),
    ],
)
def test_files_that_are_no_archive(raw: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(raw)
    assert words in fault(f"oci-archive:{tmp_path / 'a'}")
    assert words in fault(f"docker-archive:{tmp_path / 'a'}")


def test_a_damaged_header_in_the_midst(tmp_path: Path) -> None:
    archive = write_tar(layout(AMD64), tmp_path / "a.tar")
    with tarfile.open(archive) as opened:
        offset = opened.getmembers()[2].offset
    raw = bytearray(archive.read_bytes())
    raw[offset] ^= 1
    archive.write_bytes(raw)
    assert f"is damaged or cut off at byte {offset}" in fault(f"oci-archive:{archive}")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Symlink("../../../etc/passwd"), 'links to "../etc/passwd", out of the archive'),
        (Symlink("/etc/passwd"), 'links to "/etc/passwd", out of the archive'),
        (HardLink("../etc/passwd"), 'links to "../etc/passwd", out of the archive'),
        (HardLink("/etc/passwd"), 'links to "/etc/passwd", out of the archive'),
        (Symlink("none"), '/none", which is missing'),
        (HardLink("none"), 'links to "none", which is missing'),
        (HardLink(LAYER_PATH), "links to other links more than 8 times"),
        (Symlink(os.path.basename(LAYER_PATH)), "links to other links more than 8 times"),
        (Symlink(".."), "is missing"),
    ],
)
def test_links_in_archives(target: Symlink | HardLink, words: str, tmp_path: Path) -> None:
    archive = write_tar(changed(LAYER_PATH, target), tmp_path / "a.tar")
    assert words in fault(f"oci-archive:{archive}")


def test_hard_links_in_archives_are_followed(tmp_path: Path) -> None:
    files = {"elsewhere": LAYER, **changed(LAYER_PATH, HardLink("elsewhere"))}
    assert len(read_all(f"oci-archive:{write_tar(files, tmp_path / 'a.tar')}")) == 1


def test_of_members_of_one_name_the_last_counts(tmp_path: Path) -> None:
    path = write_tar({"index.json": b"{", **layout(AMD64)}, tmp_path / "a.tar")
    member = tarfile.TarInfo("./index.json")
    member.size = len(content := layout(AMD64)["index.json"])  # type: ignore[arg-type]
    with tarfile.open(path, "a") as archive:
        archive.addfile(member, io.BytesIO(content))  # type: ignore[arg-type]
    assert len(images(f"oci-archive:{path}")) == 1


def hostile_tar(*headers: tuple[bytes, bytes, int]) -> bytes:
    """Headers of a type, a name and a size, with nothing after them."""
    raw = b""
    for kind, name, size in headers:
        info = tarfile.TarInfo(name.decode())
        info.type = kind
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        block[124:136] = size.to_bytes(12, "big", signed=True)
        block[124] |= 0x80
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        raw += bytes(block)
    return raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (hostile_tar((b"0", b"a", 1 << 60)), "is no tar archive, damaged, or cut off"),
        (hostile_tar((b"0", b"a", -1024)) * 3, "has a member of less than no bytes"),
        (hostile_tar((b"0", b"a", -512)), "has a member of less than no bytes at byte 0"),
        (hostile_tar((b"0", b"a", -1)) + bytes(1024), "has a member of less than no bytes"),
        (hostile_tar((b"x", b"a", 1 << 30)) + bytes(1 << 20), "has a header of more than 16384"),
        (hostile_tar((b"L", b"a", 1 << 30)) + bytes(1 << 20), "has a header of more than 16384"),
        (hostile_tar((b"g", b"a", 1 << 60)) + bytes(1 << 20), "has a header of more than 16384"),
        (hostile_tar(*[(b"x", b"a", 0)] * 3000), "too many extended headers in a row"),
        (hostile_tar(*[(b"L", b"a", 0)] * 3000), "too many extended headers in a row"),
        (hostile_tar((b"x", b"a", -5)) + bytes(1 << 20), "is no tar archive, damaged"),
    ],
)
def test_hostile_headers(raw: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(raw)
    assert words in fault(f"oci-archive:{tmp_path / 'a.tar'}")


def test_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_MEMBERS", 4)
    archive = write_tar(layout(AMD64), tmp_path / "a.tar")
    assert fault(f"oci-archive:{archive}") == f"{archive}: has more than 4 members"


def test_a_packed_archive_that_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_tar(layout(AMD64), tmp_path / "a.tar.gz", "gzip")
    monkeypatch.setattr(archive_module, "MAX_UNPACKED", 2000)
    assert "unpacks to more than 2000 bytes; unpack it before" in fault(f"oci-archive:{archive}")
    monkeypatch.setattr(archive_module, "MAX_UNPACKED", 1 << 20)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    message = fault(f"oci-archive:{archive}")
    assert f"cannot be unpacked into {tmp_path / 'none'}: No such file or directory" in message


@pytest.mark.parametrize(
    ("says", "is_there", "used"),
    [(False, True, "large"), (False, False, "usual"), (True, True, "usual")],
)
def test_where_a_packed_archive_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, says: bool, is_there: bool, used: str
) -> None:
    for name in ("usual", "large")[: 1 + is_there]:
        (tmp_path / name).mkdir()
    monkeypatch.delenv("TMPDIR", raising=False)
    if says:
        monkeypatch.setenv("TMPDIR", str(tmp_path / "usual"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "usual"))
    monkeypatch.setattr(archive_module, "_TEMPORARY", str(tmp_path / "large"))
    file, length = archive_module.spooled([b"ab", b"c"], "it")
    try:
        assert (length, os.pread(file, 9, 0)) == (3, b"abc")
        assert os.readlink(f"/proc/self/fd/{file}").startswith(f"{tmp_path / used}/")
    finally:
        os.close(file)
    assert list((tmp_path / used).iterdir()) == []


def test_sparse_files_are_none(tmp_path: Path) -> None:
    sparse = tmp_path / "a.tar"
    with tarfile.open(sparse, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("index.json")
        member.pax_headers = {"GNU.sparse.size": "100", "GNU.sparse.map": "0,0"}
        archive.addfile(member)
    assert "index.json: is no regular file" in fault(f"oci-archive:{sparse}")


# docker save.


def saved(**changes: object) -> Files:
    """An archive whose manifest.json has other values, of which None takes away."""
    files = docker_save(Saved(AMD64))
    content = files["manifest.json"]
    assert isinstance(content, bytes)
    (entry,) = json.loads(content)
    entry.update(changes)
    files["manifest.json"] = encoded(
        [{key: value for key, value in entry.items() if value is not None}]
    )
    return files


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": b""}, "is no archive of docker save: it has no manifest.json"),
        ({"manifest.json": b"[]"}, "has no image for Linux"),
        ({"manifest.json": b"{}"}, "manifest.json: $: must be an array"),
        ({"manifest.json": b"[1]"}, "manifest.json: $[0]: must be an object"),
        ({"manifest.json": b"[{}]"}, 'manifest.json: $[0]: key "Config" is missing'),
        ({"manifest.json": b"["}, "manifest.json: is not JSON"),
        ({"manifest.json": Symlink("manifest.json")}, "links to other links"),
        ({"manifest.json": encoded([{}] * 201)}, "has more than 200 entries"),
        (saved(Config="../../etc/passwd"), "../../etc/passwd: is missing"),
        (saved(Config="/etc/passwd"), "etc/passwd: is missing"),
        (saved(Config="a\nb"), "is missing"),
        (saved(Config="x" * 100_000), "…: is missing"),
        (saved(Config=5), "$[0].Config: must be a string"),
        (saved(Config="manifest.json"), "must be an object"),
        (saved(Layers=None), "its config has 2 diff_ids for 0 layers"),
        (saved(Layers=[]), "its config has 2 diff_ids for 0 layers"),
        (saved(Layers=["manifest.json"]), "its config has 2 diff_ids for 1 layers"),
        (saved(Layers=["manifest.json"] * 3), "its config has 2 diff_ids for 3 layers"),
        (saved(Layers=["manifest.json"] * 2), "manifest.json: is damaged: it should have"),
        (saved(Layers=["none"] * 2), "none: is missing"),
        (saved(Layers="none"), "$[0].Layers: must be an array"),
        (saved(Layers=[1, 2]), "$[0].Layers[0]: must be a string"),
        (saved(RepoTags="none"), "$[0].RepoTags: must be an array"),
        (
            {**saved(), sha256(AMD64.config)[7:] + ".json": AMD64.config + b" "},
            "is damaged: it has another digest than its name",
        ),
    ],
)
def test_damaged_archives_of_docker_save(files: Files, words: str, tmp_path: Path) -> None:
    assert words in fault(f"docker-archive:{write_tar(files, tmp_path / 'a.tar')}")


def test_a_blob_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    image = Image.of(Layer(bytes(1 << 20), ""))
    folder = write_folder(layout(image), tmp_path / "a")
    with open_source(f"oci:{folder}", RegistryClient) as source:
        (found,) = source.images()
        with source.layer(found.layers[0]) as chunks:
            next(chunks)
            os.truncate(folder / blob_path(image.layers[0].blob), 1000)
            with pytest.raises(SourceError, match="became shorter while it was read"):
                list(chunks)


@pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, 5), (5000, 1), (1, -1)])
def test_parts_that_are_not_there(offset: int, length: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1234")
    with FolderFiles(str(tmp_path)).open("file") as extent:
        assert extent.section(1, 3) == b"234"
        with pytest.raises(SourceError, match=r"has 4 bytes: none from"):
            extent.section(offset, length)
