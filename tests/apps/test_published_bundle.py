"""The bundle of a published App, which may be anything."""

import gzip
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.apps import published
from layerscan.apps.published import (
    BundleFile,
    bundle_files,
    bundle_images,
)
from layerscan.errors import ComposeError, DocumentError, LayerscanError
from layerscan.reference import parse
from tests.builders.bundle_case import with_compose_file
from tests.builders.compose_apps import HEX
from tests.builders.members import member, tar

DIGEST = f"sha256:{HEX}"


# The bundle.


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_files_of_a_bundle(form: int) -> None:
    long = "d/" + "n" * 200
    raw = tar(
        member("d", kind=tarfile.DIRTYPE),
        member(long, b"12345"),
        member("s", kind=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("h", kind=tarfile.LNKTYPE, linkname="s"),
        member("f", kind=tarfile.FIFOTYPE),
        member("../up\x1b[31m"),
        form=form,
    )
    assert bundle_files(gzip.compress(raw), "b") == [
        BundleFile("d", "folder", 0o644, 0, ""),
        BundleFile(long, "file", 0o644, 5, ""),
        BundleFile("s", "symlink", 0o644, 0, "/etc/passwd"),
        BundleFile("h", "link", 0o644, 0, "s"),
        BundleFile("f", "other", 0o644, 0, ""),
        BundleFile("../up\\x1b[31m", "file", 0o644, 0, ""),
    ]


def test_a_file_of_less_than_no_bytes_is_refused() -> None:
    header = tarfile.TarInfo("docker-compose.yml")
    header.size = -1
    raw = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert bundle_fault(raw) == "b: is no gzip'd tar: a file of less than no bytes"


def test_only_files_have_a_size_whatever_a_header_says() -> None:
    header, _ = member("d", kind=tarfile.DIRTYPE)
    header.size = -5
    raw = header.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert bundle_files(gzip.compress(raw), "b") == [BundleFile("d", "folder", 0o644, 0, "")]


@pytest.mark.parametrize("name", ["docker-compose.yml", "./docker-compose.yml"])
def test_images_of_a_bundle(name: str) -> None:
    image = f"registry.example/acme/web@{DIGEST}"
    text = f"services: {{web: {{image: '{image}'}}, db: {{image: nginx@{DIGEST}}}}}"
    assert bundle_images(with_compose_file(text, name), "b") == {
        "web": parse(image),
        "db": parse(f"docker.io/library/nginx@{DIGEST}"),
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (gzip.compress(tar(member("a"))), "b: has no docker-compose.yml"),
        (
            gzip.compress(tar(member("docker-compose.yml", kind=tarfile.SYMTYPE, linkname="x"))),
            "b: has no docker-compose.yml",
        ),
        (
            with_compose_file("services: {web: {image: 'nginx:1'}}"),
            "b: docker-compose.yml:1: service web: nginx:1 is not pinned by a digest",
        ),
        (
            with_compose_file("services: {web: {image: ':'}}"),
            "b: docker-compose.yml:1: service web: no image reference: ':'",
        ),
        (with_compose_file(b"\xff"), "b: docker-compose.yml: is not UTF-8 at byte 0"),
        (with_compose_file(b"x" * (1 << 20 | 1)), "b: docker-compose.yml: is longer than 1048576"),
        (with_compose_file("a: ]"), "b: docker-compose.yml:1: is no YAML"),
    ],
    ids=range(7),
)
def test_a_bundle_without_pinned_images(raw: bytes, message: str) -> None:
    with pytest.raises((DocumentError, ComposeError)) as caught:
        bundle_images(raw, "b")
    assert str(caught.value).startswith(message)


def bundle_fault(raw: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        bundle_files(raw, "b")
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_is_no_bundle() -> None:
    whole = gzip.compress(tar(member("a", bytes(range(256)) * 4000)))
    for raw in (b"", b"x" * 1000, whole[:100], whole[:-2000], gzip.compress(b"x" * 2000), tar()):
        assert bundle_fault(raw).startswith("b: is no gzip'd tar: ")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    assert bundle_fault(bytes(damaged)).startswith("b: is no gzip'd tar: ")


@pytest.mark.parametrize("length", [199, 200, 201])
def test_so_much_of_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    def wrong(*_: object) -> None:
        raise ValueError("x" * length)

    monkeypatch.setattr(published, "_Unpacked", wrong)
    assert bundle_fault(b"") == f"b: is no gzip'd tar: {'x' * min(length, 200)}"


@pytest.mark.parametrize("length", [1, 4999, 5119])
def test_a_tar_that_ends_within_a_file_is_refused(length: int) -> None:
    whole = tar(member("a", bytes(5000)))
    raw = gzip.compress(whole[: 512 + length])
    assert bundle_fault(raw) == "b: is no gzip'd tar: unexpected end of data"


def test_a_tar_is_read_from_front_to_back() -> None:
    unpacked = published._Unpacked(gzip.compress(b"0123456789"), "b")
    assert unpacked.read(4) == b"0123"
    assert (unpacked.seek(4), unpacked.seek(6), unpacked.tell()) == (4, 6, 6)
    assert unpacked.read(9) == b"6789"
    with pytest.raises(tarfile.ReadError, match="leads back to what was read"):
        unpacked.seek(9)
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        unpacked.seek(11)


@given(st.binary(max_size=600))
def test_any_bytes_in_a_tar_are_a_list_or_an_error(noise: bytes) -> None:
    whole = tar(member("a" * 120, b"12345"), member("b", b"1"))
    for raw in (noise, noise + whole, whole[:512] + noise + whole[512:]):
        try:
            bundle_files(gzip.compress(raw, 1), "b")
        except LayerscanError as error:
            assert str(error).isprintable()  # noqa: PT017 - it may be a list as well


def test_a_bomb_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MAX_UNPACKED", 10 << 20)
    bomb = gzip.compress(tar(member("a", bytes(20 << 20)), member("b")))
    begun = time.process_time()
    assert bundle_fault(bomb) == f"b: unpacks to more than {10 << 20} bytes"
    assert time.process_time() - begun < 1


def test_a_name_as_long_as_a_bomb_is_never_in_memory() -> None:
    header = tarfile.TarInfo("a")
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        header.type, header.size = kind, 1 << 30
        raw = header.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)
        assert bundle_fault(gzip.compress(raw)).startswith("b: is no gzip'd tar: has a header of")


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MOST_FILES", 3)
    raw = gzip.compress(tar(*(member(str(number)) for number in range(4))))
    assert bundle_fault(raw) == "b: has more than 3 entries"


@given(
    st.lists(st.binary(max_size=300) | st.integers(0, 200_000).map(bytes), min_size=1, max_size=4),
    st.sampled_from([1, 257, 258, 512, 65_536]),
)
def test_members_are_read_as_python_reads_them(contents: list[bytes], size: int) -> None:
    raw = b"".join(map(gzip.compress, contents))
    size = max(size, sum(map(len, contents)) // 500)
    parts = read_in(raw, size)
    assert b"".join(parts) == gzip.decompress(raw)
    assert all(len(part) == size for part in parts[:-1])
    for cut in (raw[:-1], raw[:-8], raw[:10]):
        with pytest.raises(EOFError):
            read_in(cut, size)


def read_in(raw: bytes, size: int) -> list[bytes]:
    unpacked = published._Unpacked(raw, "b")
    return list(iter(lambda: unpacked.read(size), b""))


@pytest.mark.parametrize("members", [999, 1000, 1001])
def test_members_without_content_are_bounded(members: int) -> None:
    bundle = gzip.compress(b"") * (members - 1) + gzip.compress(bytes(1024))
    if members <= 1000:
        assert bundle_files(bundle, "b") == []
    else:
        with pytest.raises(DocumentError, match="it has more than 1000 members"):
            bundle_files(bundle, "b")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_endless_headers_of_one_file_are_refused(kind: bytes) -> None:
    header = tarfile.TarInfo("f")
    header.type, header.size = kind, 6
    extended = header.tobuf() + b"6 a=b\n".ljust(512, b"\0")
    with pytest.raises(DocumentError, match="too many headers for one file"):
        bundle_files(gzip.compress(extended * 3000), "b")
