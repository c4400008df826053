"""bbolt databases, read: whatever a writer wrote, and while it goes on writing."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.files.safefs import Fault
from layerscan.stores.containerd import bolt
from layerscan.stores.containerd.bolt import Bucket, Database
from layerscan.stores.containerd.bolt import fnv64a as own_fnv64a
from tests.builders.bolt import PAGE_SIZE, Tree, database, fnv64a, meta, reseal
from tests.builders.bolt_case import NAME, chance, fault, plain, read
from tests.builders.bolt_contents import get, items

if TYPE_CHECKING:
    from pathlib import Path


def look_up_all(bucket: Bucket, tree: Tree) -> None:
    """Every key leads to what the tree has there."""
    for key, value in tree.items():
        if isinstance(value, bytes):
            assert get(bucket, key) == value
            with pytest.raises(Fault, match="is a value, not a bucket"):
                bucket.bucket(key)
        else:
            inner = bucket.bucket(key)
            assert inner is not None
            look_up_all(inner, value)


KEYS = st.binary(min_size=1, max_size=40)
VALUES = st.binary(max_size=60) | st.builds(bytes, st.sampled_from([300, 5000, 9000]))
TREES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=8),
    lambda inner: st.dictionaries(KEYS, VALUES | inner, max_size=12),
    max_leaves=30,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(tree=TREES, page_size=st.sampled_from([512, 1024, 4096, 16384]), inline=st.booleans())
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, *, tree: Tree, page_size: int, inline: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    content = database(tree, page_size=page_size, txid=9, inline=inline)
    for copied in (True, False):
        with read(folder, content, copied=copied) as found:
            assert plain(found.root) == tree
            assert found._meta.txid == 9
            assert list(found.root.keys()) == sorted(tree)
            look_up_all(found.root, tree)
            found.check_unmoved()


def test_large_bucket_has_several_levels_of_pages(tmp_path: Path) -> None:
    tree = {b"%06d" % number: b"value %d" % number for number in range(0, 60_000, 2)}
    content = database(tree)
    for copied in (True, False):
        with read(tmp_path, content, copied=copied) as found:
            root = found.root
            # The first ones from the top down, the others by an index of all.
            for number in chance(1).sample(range(60_000), 500):
                assert get(root, b"%06d" % number) == tree.get(b"%06d" % number)
                assert root.has(b"%06d" % number) == (number % 2 == 0)
            assert get(root, b"") is None
            assert get(root, b"zzz") is None
            assert plain(root) == tree


def test_of_a_large_database_only_what_is_asked_for_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bolt, "_LONGEST_COPY", 1 << 16)
    tree = {b"a": {b"%06d" % number: bytes(50) for number in range(50_000)}, b"b": {b"c": b"1"}}
    read_bytes = []
    real = os.pread

    def pread(file: int, length: int, start: int) -> bytes:
        data = real(file, length, start)
        read_bytes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", pread)
    content = database(tree)
    with read(tmp_path, content) as found:
        assert found.root.record(b"b", b"c") == (b"1",)
    assert sum(read_bytes) < 100_000 < len(content)


def test_record_is_the_values_of_a_small_bucket(tmp_path: Path) -> None:
    large = {b"%04d" % number: bytes(100) for number in range(2000)}
    small: Tree = {b"b": b"1", b"bb": b"22", b"c": {b"d": b""}}
    tree: Tree = {b"a": small, b"large": large, b"value": b""}
    for inline in (True, False):
        for copied in (True, False):
            content = database(tree, inline=inline)
            with read(tmp_path, content, copied=copied) as found:
                root = found.root
                assert root.record(b"a", b"bb", b"b", b"none", b"c") == (b"22", b"1", b"", b"")
                assert root.record(b"none", b"b") is None
                with pytest.raises(Fault, match="bucket b'large' is not small"):
                    root.record(b"large", b"b")
                with pytest.raises(Fault, match="is a value, not a bucket"):
                    root.record(b"value", b"b")


@pytest.mark.parametrize("length", [300, 490, 600, 3000, 5000, 9000])
def test_record_may_be_longer_than_what_is_read_first(tmp_path: Path, length: int) -> None:
    tree = {b"a": {b"b": b"1", b"long": bytes(length)}}
    for copied in (True, False):
        with read(tmp_path, database(tree, inline=False), copied=copied) as found:
            assert found.root.record(b"a", b"b", b"long") == (b"1", bytes(length))


def test_what_is_absent_is_none(tmp_path: Path) -> None:
    with read(tmp_path, database({b"a": {b"b": {}}})) as found:
        root = found.root
        assert get(root, b"x") is None
        assert root.bucket(b"x") is None
        assert root.bucket(b"a", b"x", b"y") is None
        inner = root.bucket(b"a", b"b")
        assert inner is not None
        assert list(items(inner)) == []


def test_only_buckets(tmp_path: Path) -> None:
    with read(tmp_path, database({b"a": b"1", b"b": {b"c": b"2"}, b"d": b"3"})) as found:
        buckets = list(found.root.buckets())
        assert [(key, get(inner, b"c")) for key, inner in buckets] == [(b"b", b"2")]


def test_hash_is_fnv() -> None:
    # Of the FNV reference vectors.
    assert own_fnv64a(b"") == fnv64a(b"") == 0xCBF29CE484222325
    assert own_fnv64a(b"foobar") == 0x85944171F73967E8


# Meta pages.


def two_states(older: Tree, newer: Tree) -> bytearray:
    """A file whose first meta page leads to one tree, and the second, newer, to another."""
    old, new = database(older, txid=6), database(newer, txid=7)
    both = bytearray(old)
    shift = len(old) // PAGE_SIZE
    # The pages of the newer one come after those of the older.
    for start in range(3 * PAGE_SIZE, len(new), PAGE_SIZE):
        page = bytearray(new[start : start + PAGE_SIZE])
        page[:8] = struct.pack("<Q", start // PAGE_SIZE - 3 + shift)
        both += page
    assert len(new) == 4 * PAGE_SIZE
    both[PAGE_SIZE : 2 * PAGE_SIZE] = meta(1, PAGE_SIZE, shift, shift + 1, 7)
    return both


def test_newer_meta_page_counts(tmp_path: Path) -> None:
    with read(tmp_path, bytes(two_states({b"old": b""}, {b"new": b""}))) as found:
        assert (found._meta.txid, plain(found.root)) == (7, {b"new": b""})


def test_older_meta_page_counts_while_the_newer_is_half_written(tmp_path: Path) -> None:
    data = two_states({b"old": b""}, {b"new": b""})
    data[PAGE_SIZE + 70] ^= 1
    with read(tmp_path, bytes(data)) as found:
        assert (found._meta.txid, plain(found.root)) == (6, {b"old": b""})


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_second_meta_page_is_found_without_the_first(tmp_path: Path, page_size: int) -> None:
    data = bytearray(database({b"a": b"1"}, page_size=page_size, txid=7))
    data[:page_size] = bytes(page_size)
    with read(tmp_path, bytes(data)) as found:
        assert plain(found.root) == {b"a": b"1"}


@pytest.mark.parametrize("page_size", [256, 1000, 131_072])
def test_meta_pages_of_a_size_that_no_machine_has_do_not_count(
    tmp_path: Path, page_size: int
) -> None:
    pages = [meta(which, page_size, 2, 3, 7).ljust(page_size, b"\0") for which in (0, 1)]
    data = b"".join(pages).ljust(1 << 19, b"\0")
    assert fault(tmp_path, data) == "is no bbolt database, or damaged: no meta page is valid"


def test_meta_page_of_another_version_does_not_count(tmp_path: Path) -> None:
    data = bytearray(database({}))
    for start in (0, PAGE_SIZE):
        data[start + 20] = 3
    reseal(data)
    assert "no meta page is valid" in fault(tmp_path, bytes(data))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 79, PAGE_SIZE - 1])
def test_file_too_short_for_a_database(tmp_path: Path, length: int) -> None:
    content = database({b"a": b""})[:length] if length < 80 else bytes(length)
    assert fault(tmp_path, content) == "is no bbolt database, or damaged: no meta page is valid"


# Files that are none, and files that change.


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(database({}))
    (tmp_path / NAME).symlink_to("real")
    refused = pytest.raises(Fault, match="is a symbolic link, which is not followed here")
    with refused, read(tmp_path):
        pass


def test_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(Fault, match="is no regular file"), read(tmp_path):
        pass


def test_a_disk_that_gives_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NAME).write_bytes(database({b"a": b"1"}))

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", refuse)
    refused = pytest.raises(Fault, match=f"{NAME}: .*Input/output error")
    with refused, read(tmp_path):
        pass


def test_missing_file_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught, read(tmp_path):
        pass
    assert caught.value.gone


def test_huge_database_is_read_page_by_page(tmp_path: Path) -> None:
    count = 1 << 30
    content = database({b"a": b"1"})
    root = len(content) // PAGE_SIZE - 1
    with open(tmp_path / NAME, "wb") as file:
        file.write(meta(0, PAGE_SIZE, root, count, 1) * 2 + content[2 * PAGE_SIZE :])
        file.truncate(count * PAGE_SIZE)
    with read(tmp_path) as found:
        assert plain(found.root) == {b"a": b"1"}


def test_no_lock_and_no_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = []
    real_open = os.open

    def watched(path: str, flag: int, *args: object, **more: object) -> int:
        flags.append(flag)
        return real_open(path, flag, *args, **more)  # type: ignore[arg-type]

    (tmp_path / NAME).write_bytes(database({b"a": b"1"}))
    before = (tmp_path / NAME).stat()
    monkeypatch.setattr(os, "open", watched)
    with read(tmp_path) as found:
        plain(found.root)
    assert not any(flag & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) for flag in flags)
    after = (tmp_path / NAME).stat()
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


@pytest.fixture
def after_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Runs a change after all of the file was read."""
    real = Database._read

    def install(change: Callable[[], object]) -> None:
        def read_and_change(database: Database, start: int, length: int) -> bytes:
            data = real(database, start, length)
            if start == 0:
                change()
            return data

        monkeypatch.setattr(Database, "_read", read_and_change)

    return install


AfterReading = Callable[[Callable[[], object]], None]


def test_transaction_that_ends_meanwhile_is_read(
    tmp_path: Path, after_reading: AfterReading
) -> None:
    states = [database({b"n": b"%d" % number}, txid=number) for number in (6, 7, 8)]
    after_reading(lambda: states and (tmp_path / NAME).write_bytes(states.pop(0)))
    with read(tmp_path, database({b"n": b"5"}, txid=5)) as found:
        assert (found._meta.txid, plain(found.root)) == (8, {b"n": b"8"})
        found.check_unmoved()
        assert found.is_newest()


def test_database_that_never_rests(
    tmp_path: Path, after_reading: AfterReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(bolt, "sleep", pauses.append)
    txids = iter(range(6, 1000))
    after_reading(lambda: (tmp_path / NAME).write_bytes(database({}, txid=next(txids))))
    never = pytest.raises(Fault, match="kept changing while it was read")
    with never as caught, read(tmp_path, database({}, txid=5)):
        pass
    assert caught.value.gone
    # Twenty times, with what a commit takes in between.
    assert next(txids) == 6 + 20
    assert pauses == [0.002] * 20


def test_copy_is_what_it_was_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    with read(tmp_path, database({b"a": b"1"}, txid=5), copied=True) as found:
        (tmp_path / NAME).write_bytes(database({b"a": b"2"}, txid=6))
        assert not found.is_newest()
        found.check_unmoved()
        assert plain(found.root) == {b"a": b"1"}


def test_pages_read_one_by_one_are_checked_afterwards(tmp_path: Path) -> None:
    with read(tmp_path, database({b"a": b"1"}, txid=5), copied=False) as found:
        found.check_unmoved()
        (tmp_path / NAME).write_bytes(database({b"a": b"2"}, txid=6))
        assert not found.is_newest()
        with pytest.raises(Fault, match="kept changing while it was read"):
            found.check_unmoved()


def test_file_is_cut_under_the_reader(tmp_path: Path) -> None:
    tree = {b"%05d" % number: bytes(100) for number in range(20_000)}
    whole = database(tree)
    path = tmp_path / NAME
    path.write_bytes(whole)
    done = threading.Event()

    def cut_and_restore() -> None:
        cuts = chance(3)
        while not done.is_set():
            with open(path, "r+b") as file:
                file.truncate(cuts.randrange(len(whole)))
                file.seek(0)
                file.write(whole)

    worker = threading.Thread(target=cut_and_restore)
    worker.start()
    outcomes: set[object] = set()
    rounds = 0
    try:
        while len(outcomes) < 2 or rounds < 150:
            rounds += 1
            try:
                with read(tmp_path, copied=rounds % 2 == 0) as found:
                    outcomes.add(len(list(found.root.keys())))
            except Fault as broken:
                outcomes.add(broken.what.split(":")[0])
    finally:
        done.set()
        worker.join()
    assert outcomes <= {len(tree), "is damaged", "is no bbolt database, or damaged"}
    assert len(outcomes) > 1
