"""What the entries of a table become: tar headers, as Go writes them, to the byte."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from layerscan.sources import toc_headers
from layerscan.sources.toc_entries import parts
from layerscan.sources.toc_headers import Header, encoded, xattr
from layerscan.sources.toc_model import Content

NEW_YEAR = 1_704_067_200


def read(raw: bytes) -> tarfile.TarInfo:
    with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024))) as tar:
        found = tar.next()
    assert found is not None
    return found


def header_of(**entry: object) -> tarfile.TarInfo:
    """The header of the only entry of a table, without what is in it."""
    table = json.dumps({"version": 1, "entries": [{"name": "a", "type": "fifo", **entry}]})
    return read(next(part for part in parts(table.encode()) if isinstance(part, bytes)))


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("dir", tarfile.DIRTYPE),
        ("reg", tarfile.REGTYPE),
        ("symlink", tarfile.SYMTYPE),
        ("hardlink", tarfile.LNKTYPE),
        ("char", tarfile.CHRTYPE),
        ("block", tarfile.BLKTYPE),
        ("fifo", tarfile.FIFOTYPE),
    ],
)
def test_what_an_entry_says(kind: str, flag: bytes) -> None:
    found = header_of(
        type=kind,
        mode=0o4755,
        uid=1001,
        gid=1002,
        linkName="to",
        userName="u",
        groupName="g",
        devMajor=7,
        devMinor=9,
        size=600,
    )
    assert (found.name, found.type, found.mode) == ("a", flag, 0o4755)
    assert (found.uid, found.gid, found.uname, found.gname) == (1001, 1002, "u", "g")
    assert (found.linkname, found.devmajor, found.devminor) == ("to", 7, 9)
    # Only files have content.
    assert found.size == (600 if kind == "reg" else 0)
    assert (found.mtime, found.pax_headers) == (0, {})


def test_what_an_entry_need_not_say() -> None:
    found = header_of()
    assert (found.mode, found.uid, found.gid, found.uname, found.gname) == (0, 0, 0, "", "")
    assert (found.linkname, found.devmajor, found.devminor, found.mtime) == ("", 0, 0, 0)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_content_is_padded(size: int) -> None:
    entry = {"name": "a", "type": "reg", "size": size, "digest": "sha256:" + "0f" * 32}
    table = json.dumps({"version": 1, "entries": [entry, {"type": "chunk"}, entry]})
    content = [Content(size, 0x0F0F0F0F0F0F0F0F)] if size else []
    head, tail = encoded(Header("a", toc_headers.FILE, size)), bytes(-size % 512)
    assert [*parts(table.encode())] == [head, *content, tail + head, *content, tail]


@pytest.mark.parametrize(
    ("time", "seconds", "record"),
    [
        ("", 0, None),
        ("0001-01-01T00:00:00Z", 0, None),
        ("2024-01-01T00:00:00Z", NEW_YEAR, None),
        ("2024-01-01T00:00:00.000Z", NEW_YEAR, None),
        ("2024-01-01T02:00:00+02:00", NEW_YEAR, None),
        ("2024-01-01T00:00:00.5Z", NEW_YEAR, f"{NEW_YEAR}.5"),
        ("2024-01-01T00:00:00.500Z", NEW_YEAR, f"{NEW_YEAR}.5"),
        ("2024-01-01T00:00:00.050Z", NEW_YEAR, f"{NEW_YEAR}.05"),
        ("2024-01-01T00:00:00.100200Z", NEW_YEAR, f"{NEW_YEAR}.1002"),
        ("2024-01-01T02:00:00.123456789+02:00", NEW_YEAR, f"{NEW_YEAR}.123456789"),
        ("1969-12-31T23:59:59.75Z", -1, "-0.25"),
        ("1969-12-31T23:59:58Z", -2, "-2"),
    ],
)
def test_times(time: str, seconds: int, record: str | None) -> None:
    found = header_of(modtime=time)
    assert found.pax_headers == ({} if record is None else {"mtime": record})
    assert found.mtime == (seconds if record is None else float(record))
    whole = f"{seconds}" if record is None else record
    for key, name in (("accesstime", "atime"), ("changetime", "ctime")):
        expected = {} if seconds == 0 else {name: whole}
        assert header_of(**{key: time}).pax_headers == expected


def test_attributes_are_records() -> None:
    found = header_of(xattrs={"user.a": "YQ==", "security.capability": "AQAAAg=="})
    assert found.pax_headers == {
        "SCHILY.xattr.user.a": "a",
        "SCHILY.xattr.security.capability": "\x01\0\0\x02",
    }
    assert header_of(xattrs=None).pax_headers == {}


# Bytes.


def test_a_short_header_is_that_of_ustar() -> None:
    header = Header("d/f", b"3", 0o17, 0o644, 8, 9, 10, "to", "u", "g", (11, 12))
    same = tarfile.TarInfo("d/f")
    same.type, same.size, same.mode, same.uid, same.gid, same.mtime = b"3", 0o17, 0o644, 8, 9, 10
    same.linkname, same.uname, same.gname, same.devmajor, same.devminor = "to", "u", "g", 11, 12
    assert encoded(header) == same.tobuf(tarfile.USTAR_FORMAT)


def test_the_header_of_records() -> None:
    records = {xattr("user.b"): b"2", xattr("user.a"): b"1"}
    raw = encoded(Header("a/b/c/", toc_headers.FOLDER, records=records))
    body = b"25 SCHILY.xattr.user.a=1\n25 SCHILY.xattr.user.b=2\n"
    assert raw[512:1024] == body.ljust(512, b"\0")
    assert raw[:100].rstrip(b"\0") == b"a/b/PaxHeaders.0/c"
    assert raw[156:157] == b"x"
    assert int(raw[124:135], 8) == len(body)
    # Go leaves the numbers of the device out.
    assert raw[329:345] == bytes(16)
    assert raw[1024:] == encoded(Header("a/b/c/", toc_headers.FOLDER))


def test_the_length_of_a_record_counts_its_own_digits() -> None:
    for length in range(1, 1100):
        raw = encoded(Header("a", toc_headers.FILE, records={"k": b"v" * length}))
        body = raw[512:-512].rstrip(b"\0")
        assert int(body.partition(b" ")[0]) == len(body) == int(raw[124:135], 8)


@pytest.mark.parametrize(
    ("field", "key", "most"),
    [
        ("uid", "uid", 8**7),
        ("gid", "gid", 8**7),
        ("size", "size", 8**11),
        ("mtime", "mtime", 8**11),
    ],
)
def test_numbers_that_do_not_fit_are_records(field: str, key: str, most: int) -> None:
    def raw(number: int) -> bytes:
        changes: Any = {field: number}
        return encoded(Header("a", toc_headers.FILE)._replace(**changes))

    assert len(raw(most - 1)) == 512
    assert getattr(read(raw(most - 1)), field) == most - 1
    for number in (most, -1):
        assert read(raw(number)).pax_headers[key] == str(number)
        # In the header itself stands a zero.
        assert raw(number)[1024:] == raw(0)


@pytest.mark.parametrize(
    ("field", "key", "most"),
    [("link", "linkpath", 100), ("user", "uname", 32), ("group", "gname", 32)],
)
def test_texts_that_do_not_fit_are_records(field: str, key: str, most: int) -> None:
    def raw(text: str) -> bytes:
        changes: Any = {field: text}
        return encoded(Header("a", toc_headers.FILE)._replace(**changes))

    assert len(raw("x" * most)) == 512
    assert read(raw("x" * (most + 1))).pax_headers == {key: "x" * (most + 1)}
    assert raw("x" * (most + 1))[1024:] == raw("x" * most)
    assert read(raw("\xe9x")).pax_headers == {key: "\xe9x"}
    assert raw("\xe9x")[1024:] == raw("x")


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("n" * 100, True),
        ("n" * 101, False),
        ("p" * 155 + "/" + "n" * 100, True),
        ("p" * 155 + "/" + "n" * 101, False),
        ("p" * 155 + "/" + "n" * 99 + "/", True),
        # A slash at the beginning or the end is no place to cut.
        ("/" + "n" * 100, False),
        ("n" * 100 + "/", False),
        ("\xe9", False),
    ],
)
def test_names_that_do_not_fit_are_records(name: str, fits: bool) -> None:  # noqa: FBT001
    raw = encoded(Header(name, toc_headers.FILE))
    assert (len(raw) == 512) == fits
    assert read(raw).name.rstrip("/") == name.rstrip("/")
    assert read(raw).pax_headers == ({} if fits else {"path": name})
