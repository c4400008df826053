"""A layer's blob becomes its tar: formats, damage, bounds."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import re
import struct
import time
import tracemalloc
import zlib
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.errors import SourceError
from layerscan.sources import decompress
from layerscan.sources.decompress import DamagedLayer, decompressed
from tests.builders.zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1 << 30


@pytest.fixture(params=["isal", "zlib"])
def unpacker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks gzip: the package, or the standard library where it is not installed."""
    monkeypatch.setattr(decompress, "is_installed", lambda name: name == request.param)


SKIPPABLE = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"
TEXT = b"".join(b"line %d of some text\n" % number for number in range(20_000))


def unpack(*chunks: bytes, limit: int = LIMIT) -> bytes:
    return b"".join(decompressed(iter(chunks), limit=limit, where="registry.example/a@sha256:1"))


def cut(raw: bytes, at: list[int]) -> list[bytes]:
    """`raw` in pieces, cut at some places; equal places make empty pieces."""
    places = [0, *sorted(place % (len(raw) + 1) for place in at), len(raw)]
    return [raw[a:b] for a, b in pairwise(places)]


def fault(*chunks: bytes, kind: type[SourceError] = DamagedLayer, limit: int = LIMIT) -> str:
    with pytest.raises(SourceError) as caught:
        unpack(*chunks, limit=limit)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith("registry.example/a@sha256:1: ")
    assert message.isprintable()
    return message


def zstd_checked(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize(
    ("raw", "tar"),
    [
        (gzip.compress(TEXT, mtime=0), TEXT),
        (zstd.compress(TEXT), TEXT),
        (TEXT, TEXT),
        (b"", b""),
        (b"ustar", b"ustar"),
        (gzip.compress(b"", mtime=0), b""),
        (zstd.compress(b""), b""),
        (
            gzip.compress(b"one", mtime=0)
            + gzip.compress(b"", mtime=0)
            + gzip.compress(b"two", mtime=0),
            b"onetwo",
        ),
        (zstd.compress(b"one") + SKIPPABLE + zstd.compress(b"two") + SKIPPABLE, b"onetwo"),
        (SKIPPABLE + zstd.compress(b"one"), b"one"),
        (SKIPPABLE, b""),
    ],
)
def test_formats_are_told_by_their_bytes(raw: bytes, tar: bytes) -> None:
    assert unpack(raw) == tar
    assert unpack(*(raw[at : at + 1] for at in range(min(len(raw), 3000))), raw[3000:]) == tar


@st.composite
def packed_members(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """A stream of one format: its members, and what it unpacks to."""
    contents = draw(
        st.lists(
            st.one_of(
                st.binary(max_size=200),
                st.builds(
                    lambda one, times: one * times, st.binary(max_size=9), st.integers(0, 9000)
                ),
            ),
            min_size=1,
            max_size=5,
        )
    )
    pack = draw(
        st.sampled_from([gzip.compress, lambda c: gzip.compress(c, 0), zstd.compress, zstd_checked])
    )
    return [pack(one) for one in contents], b"".join(contents)


@given(packed_members(), st.lists(st.integers(min_value=0), max_size=20))
@settings(max_examples=150)
def test_chunks_may_have_any_length(stream: tuple[list[bytes], bytes], at: list[int]) -> None:
    raw, tar = b"".join(stream[0]), stream[1]
    assert unpack(*cut(raw, at)) == tar


@pytest.mark.slow
@given(packed_members(), st.integers(min_value=0), st.lists(st.integers(min_value=0), max_size=5))
@settings(max_examples=150)
def test_what_is_cut_off_is_never_taken_for_whole(
    stream: tuple[list[bytes], bytes], end: int, at: list[int]
) -> None:
    members, tar = stream
    raw = b"".join(members)
    short = raw[: end % len(raw)]
    if len(short) in accumulate(map(len, members)):
        assert tar.startswith(unpack(*cut(short, at)))
    elif len(short) < len(members[0]) and not decompress.is_packed(short):
        # Too short to tell the format.
        assert unpack(*cut(short, at)) == short
    else:
        message = fault(*cut(short, at))
        assert "end too early" in message or "follows something" in message


@pytest.mark.slow
@given(packed_members(), st.integers(min_value=0), st.integers(1, 255))
@settings(max_examples=150)
def test_a_changed_byte_is_an_error_or_changes_nothing_unseen(
    stream: tuple[list[bytes], bytes], at: int, change: int
) -> None:
    raw = b"".join(stream[0])
    damaged = bytearray(raw)
    damaged[at % len(raw)] ^= change
    try:
        unpack(bytes(damaged))
    except SourceError as error:
        assert str(error).isprintable()  # noqa: PT017


@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, zstd_checked])
def test_truncation_at_every_byte(pack: Callable[[bytes], bytes]) -> None:
    raw = pack(b"some content, some content " * 9)
    for end in range(6, len(raw)):
        assert "end too early" in fault(raw[:end])


@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (gzip.compress(b"x", mtime=0) + b"garbage", "after its gzip data follows"),
        (gzip.compress(b"x", mtime=0) + bytes(512), "after its gzip data follows"),
        (gzip.compress(b"x", mtime=0) + zstd.compress(b"x"), "after its gzip data follows"),
        (zstd.compress(b"x") + b"garbage", "after its zstd data follows"),
        (zstd.compress(b"x") + gzip.compress(b"x", mtime=0), "after its zstd data follows"),
        (gzip.compress(b"x", mtime=0) + b"\x1f\x8b", "gzip data end too early"),
        (zstd.compress(b"x") + SKIPPABLE[:-1], "zstd data end too early"),
        (b"\x1f\x8b\x07" + gzip.compress(b"x", mtime=0)[3:], "gzip data are damaged"),
    ],
)
def test_what_follows_is_refused(raw: bytes, words: str) -> None:
    assert words in fault(raw)
    assert words in fault(*(raw[at : at + 1] for at in range(len(raw))))


@pytest.mark.usefixtures("unpacker")
def test_checksums_and_lengths_are_held() -> None:
    raw = gzip.compress(TEXT, mtime=0)
    for at in (-1, -5):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        assert re.search(
            "gzip data are damaged: [Ii]ncorrect (checksum|data check|length check)",
            fault(bytes(damaged)),
        )
    checked = bytearray(zstd_checked(TEXT))
    checked[-1] ^= 1
    assert "zstd data are damaged: Restored data doesn't match checksum" in fault(bytes(checked))


def test_a_lying_content_size_is_refused() -> None:
    raw = bytearray(zstd.compress(bytes(200)))
    # Frame header: magic, descriptor, then the content's length in a byte.
    assert raw[4] & 0xE0 == 0x20
    raw[5] += 1
    assert "zstd data are damaged" in fault(bytes(raw))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (lzma.compress(b"x"), "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        *((zlib.compress(b"x", level), "zlib") for level in (0, 6, 9)),
    ],
)
def test_formats_that_no_layer_has(raw: bytes, name: str) -> None:
    assert f"is packed with {name}; only gzip, zstd and plain tars" in fault(raw, kind=SourceError)


@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, bytes])
def test_the_limit(pack: Callable[[bytes], bytes]) -> None:
    raw = pack(TEXT)
    assert unpack(raw, limit=len(TEXT)) == TEXT
    message = fault(raw, kind=SourceError, limit=len(TEXT) - 1)
    assert "unpacks to more than" in message
    assert "--max-layer-size" in message


def gzip_bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(size >> 20)), packer.flush()])


def zstd_bomb(size: int) -> bytes:
    """Blocks of 4 bytes that each stand for 128 KiB (RFC 8878, section 3.1.1.2)."""
    blocks = [block_header(last=False) + b"\0"] * ((size >> 17) - 1)
    # No checksum, no length, a window of 128 KiB.
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(blocks) + block_header(last=True) + b"\0"


def block_header(*, last: bool) -> bytes:
    rle = 1
    return (int(last) | rle << 1 | (1 << 17) << 3).to_bytes(3, "little")


@pytest.mark.slow
@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize(("make", "size"), [(gzip_bomb, 512 << 20), (zstd_bomb, 4096 << 20)])
def test_a_bomb_is_stopped_in_little_memory(make: Callable[[int], bytes], size: int) -> None:
    bomb = make(size)
    seen: list[int] = []
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="unpacks to more than"):
            seen.extend(map(len, decompressed(iter([bomb]), limit=256 << 20)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(seen) <= decompress.PIECE
    assert sum(seen) > 255 << 20
    assert peak < 8 << 20


def test_a_window_that_is_too_large() -> None:
    def with_window(log: int) -> bytes:
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
        return packer.compress(b"x" * 1000) + packer.flush()

    assert unpack(with_window(27)) == b"x" * 1000
    message = fault(with_window(28), kind=SourceError)
    assert "window of more than 134217728 bytes" in message


@pytest.mark.usefixtures("unpacker")
def test_an_endless_gzip_header_takes_no_memory() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"\x1f\x8b\x08\x08" + bytes(6)
        for _ in range(500):
            yield b"n" * 65536

    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="packed bytes have only 0 of content"):
            list(decompressed(chunks(), limit=LIMIT))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("unpacker")
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_many_short_members_in_one_chunk(pack: Callable[[bytes], bytes]) -> None:
    # eStargz has a member for each file; what follows one must not be copied each time.
    members = 20_000
    raw = pack(bytes(512)) * members
    begin = time.process_time()
    assert unpack(raw) == bytes(512) * members
    assert time.process_time() - begin < 3


@pytest.mark.slow
@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("content", [0, 511])
def test_members_that_only_cost_time_are_refused(
    pack: Callable[[bytes], bytes], content: int
) -> None:
    part = pack(bytes(content)) * 1000
    message = fault(*[part] * 5000, kind=SourceError)
    assert "is packed in more than " in message
    # With 512 bytes each, as in the layers of eStargz, any number is taken.
    assert len(unpack(*[pack(bytes(512)) * 1000] * 11)) == 11_000 * 512


def test_members_without_content_are_taken_up_to_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decompress, "_FREE_MEMBERS", 5)
    empty, full = gzip.compress(b""), gzip.compress(bytes(512))
    assert unpack(empty * 5) == b""
    assert "in more than 5 parts for 0 bytes" in fault(empty * 6, kind=SourceError)
    assert len(unpack(full, empty * 5)) == 512
    assert "in more than 6 parts" in fault(full, empty * 6, kind=SourceError)
    monkeypatch.setattr(decompress, "MOST_MEMBERS", 3)
    assert len(unpack(full * 3)) == 3 * 512
    assert "in more than 3 parts" in fault(full * 4, kind=SourceError)


@pytest.mark.usefixtures("unpacker")
def test_blocks_without_content_are_refused() -> None:
    def empty_blocks() -> Iterator[bytes]:
        yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        while True:
            yield b"\x00\x00\x00\xff\xff" * 10_000

    with pytest.raises(SourceError, match="packed bytes have only 0 of content"):
        list(decompressed(empty_blocks(), limit=LIMIT))


def test_frames_to_skip_are_passed_over_by_their_length() -> None:
    gigabyte = SKIPPABLE[:4] + struct.pack("<I", 1 << 30)
    piece = bytes(1 << 20)
    assert unpack(zstd.compress(b"a"), gigabyte, *[piece] * 1024, zstd.compress(b"b")) == b"ab"
    assert "end too early" in fault(gigabyte, *[piece] * 1023, piece[1:])
    assert "end too early" in fault(SKIPPABLE[:7])
    frames = SKIPPABLE[:4] + bytes(4)
    assert "in more than 10000 parts" in fault(*[frames * 100_000] * 1000, kind=SourceError)


@pytest.mark.usefixtures("unpacker")
@pytest.mark.alone
@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_it_is_as_fast_as_the_bare_decompressor(name: str) -> None:
    generator = random.Random(1)  # noqa: S311 - the same text each time
    words = [generator.randbytes(generator.randint(2, 12)) for _ in range(3000)]
    tar = b"".join(generator.choices(words, k=1_500_000))
    raw = gzip.compress(tar, 6) if name == "gzip" else zstd.compress(tar)
    packed = decompress._gzip() if name == "gzip" else decompress._zstd()

    def bare() -> int:
        unpacker = packed.unpacker()
        stream, length = io.BytesIO(raw), 0
        while not unpacker.eof:
            part = stream.read(1 << 18) if unpacker.needs_input else b""
            length += len(unpacker.decompress(part, decompress.PIECE))
        return length

    def ours() -> int:
        stream = io.BytesIO(raw)
        chunks = iter(lambda: stream.read(1 << 18), b"")
        return sum(map(len, decompressed(chunks, limit=LIMIT)))

    assert ours() == bare() == len(tar)
    # Each takes some hundredths of a second: the more turns, the less other work counts.
    ratio = min(_seconds(ours) / _seconds(bare) for _ in range(40))
    assert ratio < 1.05


def _seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin
