"""The bounds of what is read: what is at each is taken, what is above is refused.

Where a bound is lowered here or in other tests, its own figure is in `FIGURES`.
"""

from __future__ import annotations

import gzip
import json
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan import jsondoc, oci
from layerscan.apps import environment, ignore, interpolation, published
from layerscan.cli import registry_options, tables
from layerscan.digest import sha256
from layerscan.errors import ComposeError, DocumentError, ReferenceSyntaxError
from layerscan.files.writing import write_file
from layerscan.fit import contents
from layerscan.oci import Descriptor, Manifest, blobs, platforms
from layerscan.publishing import preparation
from layerscan.publishing.preparation import Settings
from layerscan.reference import parse
from layerscan.sources import toc_headers, toc_json, toc_model
from layerscan.sources.toc_model import TableFault
from layerscan.stores import storage_conf
from layerscan.stores.containers_storage import records
from layerscan.text import quoted, shown
from tests.builders.bounds_case import MOST, refused_if

if TYPE_CHECKING:
    from pathlib import Path

KIBIBYTE, MEBIBYTE, GIBIBYTE = 1 << 10, 1 << 20, 1 << 30

FIGURES = {
    "apps.bundle.DEEPEST": 100,
    "apps.bundle.LONGEST_IGNORE_FILE": 256 * KIBIBYTE,
    "apps.bundle.MOST_FILES": 100_000,
    "apps.bundle._MOST_LINKS": 40,
    "apps.document.LONGEST_APP_MANIFEST": 50 * KIBIBYTE,
    "apps.document.LONGEST_FOR_OLD_CLIENTS": 2010,
    "apps.document.MOST_ARCHITECTURES": 6,
    "apps.environment.LONGEST_FILE": 256 * KIBIBYTE,
    "apps.environment.LONGEST_VALUES": MEBIBYTE,
    "apps.environment._LONGEST_BLANK": 512,
    "apps.ignore.MOST_PATTERNS": 10_000,
    "apps.ignore.MOST_WAYS": 256,
    "apps.images.LONGEST_COMPOSE_FILE": MEBIBYTE,
    "apps.interpolation.DEEPEST": 50,
    "apps.interpolation.LONGEST_RESULT": MEBIBYTE,
    "apps.published.MAX_BUNDLE": 64 * MEBIBYTE,
    "apps.published.MAX_COMPOSE_FILE": MEBIBYTE,
    "apps.published.MAX_UNPACKED": GIBIBYTE,
    "apps.published.MOST_FILES": 100_000,
    "apps.published._LONGEST_NAME": 4096,
    "apps.published._LONGEST_READ": MEBIBYTE,
    "apps.yamltree.DEEPEST": 100,
    "apps.yamltree.LONGEST_TEXT": 8 * MEBIBYTE,
    "apps.yamltree.MOST_NODES": 200_000,
    "fit.device_file.MAX_DEVICE": 64 * MEBIBYTE,
    "jsondoc.MOST_STRINGS": 1_000_000,
    "fit.device_file._MOST_INSTALLED": 1000,
    "fit.device_file._MOST_VOLUMES": 100,
    "fit.disks._LONGEST_NUMBER": 64,
    "fit.live._LONGEST_REFERENCE": 4096,
    "fit.live._MOST_BLOBS": 1_000_000,
    "fit.sources._LONGEST_APP_MANIFEST": 64 * KIBIBYTE,
    "jsondoc.MAX_INTEGER": MOST,
    "prediction.cache._LONGEST": 4096,
    "prediction.cache._MOST_NOTES": 10,
    "prediction.filesystems.names._MOST_DIGITS": 12,
    "prediction.layers.MAX_LAYER": 64 * GIBIBYTE,
    "layersmeta.MAX_DOCUMENT": 64 * MEBIBYTE,
    "oci.blobs.MOST_FILES": 1000,
    "oci.MAX_CONFIG": 8 * MEBIBYTE,
    "oci.MAX_MANIFEST": 4 * MEBIBYTE,
    "oci.MOST_IMAGES": 200,
    "oci._MOST_ENTRIES": 10_000,
    "oci.images.DEEPEST": 8,
    "registry.auth._LONGEST_TOKEN_ANSWER": MEBIBYTE,
    "registry.challenge._LONGEST": 16 * KIBIBYTE,
    "registry.credential_helper._LONGEST_ANSWER": MEBIBYTE,
    "registry.faults.MAX_ERROR_BODY": 64 * KIBIBYTE,
    "registry.login_files._LONGEST_FILE": MEBIBYTE,
    "registry.credential_helper.HELPER_SECONDS": 60,
    "registry.faults._MOST_ERRORS_TOLD": 3,
    "registry.retry.ATTEMPTS": 5,
    "registry.retry.FIRST_DELAY": 0.5,
    "registry.retry.LONGEST_DELAY": 60,
    "registry.transport.MOST_REDIRECTS": 5,
    "registry.transport._CONNECT_SECONDS": 15,
    "registry.transport._IDLE_SECONDS": 60,
    "registry.transport._SLOT_SECONDS": 600,
    "registry.upload.CHUNK": 8 * MEBIBYTE,
    "registry.upload._LARGEST_CHUNK": GIBIBYTE,
    "scanning.scanner._ATTEMPTS": 4,
    "sources.archive.MAX_UNPACKED": 1 << 40,
    "sources.archive.MOST_MEMBERS": 100_000,
    "sources.archive._MOST_LINKS": 8,
    "sources.archive._LONGEST_HEADER": 16 * KIBIBYTE,
    "sources.containers_storage._LONGEST_LINE": 16 * MEBIBYTE,
    "sources.containers_storage._MOST_SPLIT": 8 * GIBIBYTE,
    "sources.decompress._XZ_MEMORY": 256 * MEBIBYTE,
    "sources.docker_archive._MOST_NAMES": 10_000,
    "sources.names.MOST_SHOWN": 20,
    "sources.toc_zstd_chunked._MOST_SPLIT": GIBIBYTE,
    "sources.toc_json.LONGEST": 4 * MEBIBYTE,
    "sources.toc_json._MOST_MEMBERS": 100,
    "sources.toc_entries.MOST_ENTRIES": 524_288,
    "sources.toc_zstd_chunked.MOST_LINES": 1_000_000,
    "sources.decompress.MOST_MEMBERS": 1_000_000,
    "sources.decompress._FREE_MEMBERS": 10_000,
    "sources.decompress._FREE_PACKED": 4 * MEBIBYTE,
    "jsondoc._FREE_BRACKETS": 100_000,
    "jsondoc._FREE_COMMAS": 500_000,
    "registry.pace.FLOOR": 4096,
    "registry.pace.GRACE_SECONDS": 120,
    "registry.pace.DOCUMENT_SECONDS": 300,
    "sources.toc_model.MAX_CONTENT": 1 << 60,
    "sources.toc_model.MAX_TABLE": 64 * MEBIBYTE,
    "sources.toc_zstd_chunked._GAP": 64 * KIBIBYTE,
    "stores.containerd.bolt._DEEPEST": 32,
    "stores.containerd.bolt._LONGEST_COPY": 32 * MEBIBYTE,
    "stores.containerd.bolt._LONGEST_PAGE": MEBIBYTE,
    "stores.containerd.records._LONGEST_NAME": 4096,
    "stores.containers_storage.documents._MOST_MANIFESTS": 100,
    "stores.containers_storage.records._LONGEST": 64 * MEBIBYTE,
    "stores.engine_files._LONGEST_SETTINGS": MEBIBYTE,
    "stores.overlay2.distribution._LONGEST": MEBIBYTE,
    "stores.overlay2.distribution._MOST_ENTRIES": 50,
    "stores.overlay2.imagedb._LONGEST_REPOSITORIES": 64 * MEBIBYTE,
    "stores.overlay2.layerdb._LONGEST": 4096,
    "stores.readings._MOST_LAYERS": 1000,
    "stores.storage_conf._MOST_ADDITIONAL": 64,
    "tar.tarsplit._MOST_COUNTED": 512 * MEBIBYTE,
    "files.writing._MOST_LINKS": 40,
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_of_a_bound(name: str) -> None:
    module, _, bound = name.rpartition(".")
    assert getattr(import_module(f"layerscan.{module}"), bound) == FIGURES[name]


@pytest.mark.parametrize("length", [254, 255, 256])
def test_a_reference(length: int) -> None:
    for text in ("a.b/" + "x" * length, ("a." * 128)[: length - 1] + "b/x"):
        with refused_if(length > 255, ReferenceSyntaxError, "longer than 255 characters"):
            parse(text)


@pytest.mark.parametrize("length", [1, 127, 128, 129])
def test_a_tag(length: int) -> None:
    with refused_if(length > 128, ReferenceSyntaxError):
        assert parse("x:" + "t" * length).tag == "t" * length


@pytest.mark.parametrize("links", [39, 40, 41])
def test_links_to_what_is_written(tmp_path: Path, links: int) -> None:
    for number in range(links):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    with refused_if(links > 40, match="leads over too many symbolic links"):
        write_file(str(tmp_path / str(links)), b"written")
        assert (tmp_path / "0").read_bytes() == b"written"


@pytest.mark.parametrize("length", [99, 100, 101])
def test_text_in_messages(length: int) -> None:
    whole = length <= 100
    text = "x" * length
    assert shown(text) == (repr(text) if whole else repr(text[:100]) + "…")
    assert quoted(text) == (f'"{text}"' if whole else f'"{text[:100]}\\u2026"')
    assert shown(text[2:].encode()[1:]) == repr(text[3:].encode())[:100] + "…" * (not whole)


@pytest.mark.parametrize("number", [63, 64, 65])
def test_additional_stores(number: int) -> None:
    listed = {"additionalimagestores": [f"/{store}" for store in range(number)]}
    with refused_if(number > 64, match="additionalimagestores: has more than 64 entries"):
        settings = storage_conf._settings({"storage": {"options": listed}}, "x")
        assert len(settings.additional) == number


@pytest.mark.parametrize("size", [0, 1, MOST - 1, MOST, MOST + 1])
def test_sizes_in_records_of_layers(size: int) -> None:
    with refused_if(size > MOST, DocumentError, "must be at most"):
        assert records._size({"size": size}, "size", jsondoc.Place("x")) == size


@pytest.mark.parametrize("length", [63, 64, 65])
def test_times_in_records_of_layers(length: int) -> None:
    with refused_if(length > 64, DocumentError, "is too long"):
        records._layer({"created": "1" * length}, "x", jsondoc.Place("x"))


@pytest.mark.parametrize("size", [0, MOST - 1, MOST, MOST + 1, 10 * MOST])
def test_the_size_of_an_apps_index(size: int) -> None:
    digest = f"sha256:{'1' * 64}"
    named = {published.INDEX_DIGEST: digest, published.INDEX_SIZE: str(size)}
    found = contents._bundle_index(Descriptor("x", digest, 1, annotations=named))
    assert [blob.size for blob in found] == [size] * (size <= MOST)


@pytest.mark.parametrize("number", [MOST - 1, MOST, MOST + 1, 10 * MOST, 100 * MOST])
def test_numbers_in_documents(number: int) -> None:
    with refused_if(number > MOST, DocumentError):
        place = jsondoc.Place("x")
        found = jsondoc.mapping(jsondoc.decode(b'{"a": %d}' % number, "x"), place)
        assert jsondoc.integer(found, "a", place) == number


@pytest.mark.parametrize("number", [1, 63, 64, 65, 10**9 + 1])
def test_connections(number: int) -> None:
    with refused_if(number > 64, Exception, "is no number from 1 to 64"):
        assert registry_options._connections(str(number)) == number


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (MEBIBYTE - 52, "1023.9 KiB"),
        (MEBIBYTE - 51, "1.0 MiB"),
        (MEBIBYTE, "1.0 MiB"),
        (GIBIBYTE - 1, "1.0 GiB"),
        (1 << 40, "1.0 TiB"),
        (1 << 50, "1.0 PiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_units(count: int, text: str) -> None:
    assert tables.human(count) == text


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_parts_of_a_platform(parts: int) -> None:
    with refused_if(parts not in (2, 3), match="no platform"):
        platforms.parse_platform("/".join(["x"] * parts))


@pytest.mark.parametrize("number", [5, 6, 7])
def test_architectures_of_an_app(number: int) -> None:
    images: Any = {"web": SimpleNamespace(images={f"a{one}": () for one in range(number)})}
    with refused_if(number > 6, DocumentError, "of which clients take 6"):
        names, _ = preparation._architectures(images, Settings(None, {}))
        assert len(names) == number


@pytest.mark.parametrize("number", [2, 3, 4])
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(blobs, "MOST_FILES", 3)
    for one in range(number):
        (tmp_path / str(one)).touch()
    with refused_if(number > 3, DocumentError, "has more than 3 files"):
        assert len(blobs.DryRunFolder(str(tmp_path))._files(0)) == number


@pytest.mark.parametrize("length", [99, 100, 101])
def test_a_table(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    class Layer:
        archive_size = 1000

    class Blob:
        def section(self, _layer: object, _offset: int, wanted: int) -> bytes:
            return bytes(wanted)

    monkeypatch.setattr(toc_model, "MAX_TABLE", 100)
    source: Any = Blob()
    layer: Any = Layer()
    with refused_if(length > 100, TableFault, "only 100 are read"):
        assert len(toc_model.section(source, layer, 0, length) or b"") == length
    with refused_if(length > 99, TableFault):
        assert toc_model.section(source, layer, 901, length)
    packed = gzip.compress(bytes(length))
    with refused_if(length > 100, TableFault, "more than 100 bytes, unpacked"):
        assert b"".join(toc_model.unpacked(packed, limit=100, name="x")) == bytes(length)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize(
    ("mark", "free", "each"), [("[", 1000, 64), ("{", 1000, 64), (",", 1000, 16)]
)
def test_values_of_a_document_for_its_length(
    monkeypatch: pytest.MonkeyPatch, more: int, mark: str, free: int, each: int
) -> None:
    monkeypatch.setattr(jsondoc, "_FREE_BRACKETS", 1000)
    monkeypatch.setattr(jsondoc, "_FREE_COMMAS", 1000)
    length = 64_000
    most = free + length // each
    text = '"' + (mark * (most + more)).ljust(length - 2) + '"'
    for given in (text, text.encode()):
        with refused_if(more > 0, DocumentError, "so many values for its 64000 bytes"):
            assert jsondoc.decode(given, "x") == text[1:-1]


@pytest.mark.parametrize("number", [3, 4, 5])
def test_values_of_a_table(number: int) -> None:
    values = toc_json.Values([b"1 " * 5], "x", most=4)
    with refused_if(number > 4, DocumentError, "has more than 4 entries"):
        assert [values.value() for _ in range(number)] == [1] * number


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("n" * 99, 1),
        ("n" * 100, 1),
        ("n" * 101, 0),
        ("p/" + "n" * 100, 2),
        ("p/" + "n" * 101, 0),
        ("p" * 155 + "/" + "n" * 100, 2),
        ("p" * 156 + "/n", 0),
        ("p" * 154 + "/n", 2),
    ],
)
def test_names_of_a_tars_headers(name: str, fields: int) -> None:
    kept: dict[str, bytes] = {}
    path, prefix = toc_headers._path(name, kept)
    assert bool(path) + bool(prefix) == (fields or 1)
    assert kept == ({} if fields else {"path": name.encode()})


@pytest.mark.parametrize("end", [8**7, 8**11])
def test_numbers_of_a_tars_headers(end: int) -> None:
    for number in (0, end - 1, end, end + 1):
        kept: dict[str, bytes] = {}
        digits = toc_headers._number(number, end, "key", kept)
        assert int(digits[:-1], 8) == (number if number < end else 0)
        assert kept == ({} if number < end else {"key": b"%d" % number})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_lines_of_an_ignore_file(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(ignore, "MOST_PATTERNS", 2)
    with refused_if(number > 2, ComposeError, "has more than 2 lines"):
        ignore.IgnoreRules("a\n" * number, "f")


@pytest.mark.parametrize("length", [9, 10, 11])
def test_what_variables_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int) -> None:
    monkeypatch.setattr(interpolation, "LONGEST_RESULT", 10)
    with refused_if(length > 10, ComposeError, "more than 10 characters result"):
        assert interpolation.interpolate("$A", {"A": "x" * length}).text == "x" * length
    monkeypatch.setattr(environment, "LONGEST_VALUES", 10)
    (tmp_path / ".env").write_text(f"A={'x' * (length - 1)}\nB=y\n")
    with refused_if(length > 10, ComposeError, "the values have more than 10 characters"):
        environment.load_environment(str(tmp_path / ".env"), root=str(tmp_path), process={})


@pytest.mark.parametrize("length", [511, 512, 513])
def test_blanks_of_an_env_file(tmp_path: Path, length: int) -> None:
    (tmp_path / ".env").write_text(f"A=x{' ' * length}# why\n")
    with refused_if(length > 512, ComposeError, "has a blank of more than 512 characters"):
        environment.load_environment(str(tmp_path / ".env"), root=str(tmp_path), process={})


@pytest.mark.parametrize("length", [4095, 4096, 4097])
def test_an_unpacked_bundle(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(published, "MAX_UNPACKED", 4096)
    monkeypatch.setattr(published, "_LONGEST_READ", 4097)
    unpacked = published._Unpacked(gzip.compress(bytes(length)), "b")
    with refused_if(length > 4096, DocumentError, "unpacks to more than 4096 bytes"):
        assert len(unpacked.read(4097)) == length


@pytest.mark.parametrize("number", [2, 3, 4])
def test_layers_of_documents_of_images(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(oci, "_MOST_ENTRIES", 3)
    entry = {"mediaType": "l", "digest": sha256(b""), "size": 0}
    manifest = {"schemaVersion": 2, "config": entry, "layers": [entry] * number}
    index = {"schemaVersion": 2, "manifests": [entry] * number}
    config = {"rootfs": {"diff_ids": [sha256(b"")] * number}}
    with refused_if(number > 3, DocumentError, r"m: \$.layers: has more than 3 entries"):
        read = oci.loads(json.dumps(manifest).encode(), "m")
        assert isinstance(read, Manifest)
        assert len(read.layers) == number
    with refused_if(number > 3, DocumentError, r"i: \$.manifests: has more than 3 entries"):
        assert len(oci.loads(json.dumps(index).encode(), "i").manifests) == number
    with refused_if(number > 3, DocumentError, "has more than 3 entries"):
        assert len(oci.loads_config(json.dumps(config).encode(), "c").diff_ids) == number
