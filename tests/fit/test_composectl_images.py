"""Which blobs composectl counts of an index, and by which platforms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError
from layerscan.fit.composectl_images import ImagesOfIndex
from layerscan.fit.contents import AppContents, BlobKind, Depth, read_app
from layerscan.fit.policies import Policy
from layerscan.fit.sources import find_app
from layerscan.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Platform, platforms
from layerscan.registry import RegistryClient
from tests.builders.documents import LAYER
from tests.builders.fit_apps import App, Layer, encode
from tests.cli_runner import run, run_here

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

LAYERS = [Layer(name) for name in "abcdef"]
ARM64 = {"architecture": "arm64", "os": "linux"}


class Indexed(App):
    """An App of one image, behind an index with these entries: a platform, and what it has."""

    def __init__(self, *entries: tuple[Mapping[str, object] | None, str], **head: object) -> None:
        super().__init__({"web": {}}, metadata=None, layers_manifests=False)
        self.entries = entries
        self.head = {"schemaVersion": 2, "mediaType": OCI_INDEX} | head

    def _image(self, service: str) -> str:
        found = []
        for platform, name in self.entries:
            entry = self.put(self.manifest(name), OCI_MANIFEST)
            found.append(entry | ({} if platform is None else {"platform": platform}))
        head = {key: value for key, value in self.head.items() if value is not None}
        index = self.put(encode(head | {"manifests": found}), OCI_INDEX)
        return f"{self.repository}/{service}@{index['digest']}"

    def manifest(self, name: str) -> bytes:
        config = self.put(encode({"of": name}), OCI_CONFIG)
        layer = {"mediaType": LAYER, "digest": Layer(name).digest, "size": 1024}
        head = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
        return encode(head | {"config": config, "layers": [layer]})


def read(
    app: App, folder: Path, architecture: str = "arm64", policy: Policy = Policy.COMPOSECTL
) -> AppContents:
    with RegistryClient() as client:
        source = find_app(app.store(folder), client)
        matcher = policy.matcher(architecture)
        return read_app(*source, architecture=architecture, depth=Depth.IMAGES, matcher=matcher)


def layers(contents: AppContents) -> list[str]:
    return [blob.digest for blob in contents.tree() if blob.kind is BlobKind.LAYER]


def digests(names: str) -> list[str]:
    return [Layer(name).digest for name in names]


@pytest.mark.parametrize(
    ("architecture", "entries", "counted"),
    [
        ("arm64", [("arm64", ""), ("amd64", "")], "a"),
        # Every entry counts, two of one platform as well.
        ("arm64", [("arm64", ""), ("arm64", "v8"), ("aarch64", "8"), ("arm64", "v9")], "abc"),
        ("amd64", [("amd64", ""), ("amd64", "v1"), ("amd64", "v2"), ("x86_64", "")], "abd"),
        ("386", [("386", ""), ("i386", "x")], "ab"),
        ("arm", [("arm", "v5"), ("arm", "v7"), ("arm", ""), ("arm", "7"), ("armhf", "")], "bcde"),
        # Only unusual variants, or none of the architecture: the index alone.
        ("arm", [("arm", "v5"), ("arm", "v6"), ("arm", "v8"), ("armel", "")], ""),
        ("amd64", [("amd64", "v2")], ""),
        ("riscv64", [("arm64", ""), ("amd64", "")], ""),
        ("arm64", [], ""),
    ],
)
def test_entries_that_count(
    tmp_path: Path, architecture: str, entries: Sequence[tuple[str, str]], counted: str
) -> None:
    platforms = [
        ({"architecture": one, "os": "linux", "variant": variant}, name)
        for (one, variant), name in zip(entries, "abcdef", strict=False)
    ]
    found = read(Indexed(*platforms), tmp_path, architecture)
    assert layers(found) == digests(counted)
    kinds = [blob.kind for blob in found.blobs().values()]
    assert kinds.count(BlobKind.IMAGE_INDEX) == 1
    assert kinds.count(BlobKind.IMAGE_MANIFEST) == len(counted)
    assert kinds.count(BlobKind.CONFIG) == len(counted)
    told = "counts the index alone" if not counted else "the client counts all of them"
    assert any(told in note for note in found.notes) == (len(counted) != 1)


@pytest.mark.parametrize(
    ("platform", "counts"),
    [
        ({"architecture": "arm64"}, True),
        ({"architecture": "ARM64", "os": "Linux"}, True),
        ({"architecture": "arm64", "os": "windows"}, False),
        ({"architecture": "unknown", "os": "unknown"}, False),
        ({}, False),
    ],
)
def test_platform_of_an_entry(
    tmp_path: Path,
    platform: dict[str, object],
    counts: bool,  # noqa: FBT001
) -> None:
    assert layers(read(Indexed((platform, "a")), tmp_path)) == digests("a" if counts else "")


def test_index_without_its_media_type_counts_whole(tmp_path: Path) -> None:
    amd64 = {"architecture": "amd64", "os": "linux"}
    unknown = {"architecture": "unknown", "os": "unknown"}
    app = Indexed((ARM64, "a"), (amd64, "b"), (None, "c"), (unknown, "d"), mediaType=None)
    assert layers(read(app, tmp_path)) == digests("abcd")


def test_index_that_ends_the_client(tmp_path: Path, open_registry: OpenRegistry) -> None:
    class Nested(Indexed):
        def manifest(self, name: str) -> bytes:
            if name != "inner":
                return super().manifest(name)
            head = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
            return encode(head)

        def put(self, raw: bytes, kind: str) -> dict[str, object]:
            return super().put(raw, OCI_INDEX if b'"manifests": []' in raw else kind)

    for app, message in (
        (Indexed((ARM64, "a"), (None, "b")), "has no platform; push the image again with"),
        (Nested((ARM64, "inner")), "is an index itself; push the image again as one index"),
        (Nested((None, "inner"), mediaType=None), "is an index itself"),
    ):
        with pytest.raises(DocumentError, match=f"composectl cannot read this index: .*{message}"):
            read(app, tmp_path / message[:5])
    done = run(
        *("check", "--app", Indexed((ARM64, "a"), (None, "b")).push(open_registry)),
        *("--arch", "arm64", "--store-root", tmp_path, "--docker-root", tmp_path),
    )
    assert done.status == 2
    assert "composectl cannot read this index" in done.lines[-1]


def test_manifest_without_its_media_type_ends_the_client(tmp_path: Path) -> None:
    class Bare(App):
        def put(self, raw: bytes, kind: str) -> dict[str, object]:
            document = json.loads(raw) if raw[:1] == b"{" else {}
            if kind == OCI_MANIFEST and "annotations" not in document:
                raw = encode({key: one for key, one in document.items() if key != "mediaType"})
            return super().put(raw, kind)

    app = Bare({"web": {"arm64": LAYERS[:1]}})
    with pytest.raises(DocumentError, match="cannot read this manifest: it does not say its media"):
        read(app, tmp_path / "one")
    # Behind an index it can.
    app = Bare({"web": {"arm64": LAYERS[:1]}}, index=True)
    assert layers(read(app, tmp_path / "two")) == digests("a")


def test_manifest_by_itself_counts_whatever_it_is_for(tmp_path: Path) -> None:
    app = App({"web": {"amd64": LAYERS[:1]}})
    assert layers(read(app, tmp_path, "arm64")) == digests("a")


def test_entry_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    app = Indexed((ARM64, "a"))
    name = app.store(tmp_path)
    gone = app.put(app.manifest("a"), OCI_MANIFEST)["digest"]
    (tmp_path / "blobs" / "sha256" / str(gone).removeprefix("sha256:")).unlink()
    with RegistryClient() as client, pytest.raises(DocumentError, match="No such file"):
        read_app(
            *find_app(name, client),
            architecture="arm64",
            depth=Depth.IMAGES,
            matcher=ImagesOfIndex("arm64"),
        )


def test_variant_of_the_machine() -> None:
    usual, old = ImagesOfIndex("arm"), ImagesOfIndex("arm", "v6")
    assert usual.takes(Platform("arm", "linux", "v7"))
    assert not usual.takes(Platform("arm", "linux", "v6"))
    assert old.takes(Platform("arm", "linux", "v6"))
    assert not old.takes(Platform("arm", "linux"))


@pytest.mark.parametrize(
    ("machine", "taken"),
    [(("arm", "v6"), "a"), (("arm", "v7"), "b"), (("arm", ""), "b"), (("arm64", "v6"), "b")],
)
def test_variant_counts_where_the_machine_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: tuple[str, str], taken: str
) -> None:
    here = Platform(machine[0], "linux", machine[1])
    monkeypatch.setattr(platforms, "this_machine", lambda: here)
    arm = {"architecture": "arm", "os": "linux"}
    app = Indexed((arm | {"variant": "v6"}, "a"), (arm | {"variant": "v7"}, "b"))
    roots = ("--store-root", tmp_path, "--docker-root", tmp_path)
    options = ("--arch", "arm", "--policy", "composectl", "--format", "json")
    found = json.loads(run_here("check", "--app", app.store(tmp_path / "a"), *roots, *options).out)
    assert [layer["digest"] for layer in found["missing_layers"]] == digests(taken)


@pytest.mark.parametrize(
    ("variants", "taken", "named"),
    [(("", "v9"), "a", "none"), (("v9", ""), "b", "none"), (("v8", "v9"), "a", "v8")],
)
def test_other_policies_take_one_image(
    tmp_path: Path, variants: tuple[str, str], taken: str, named: str
) -> None:
    app = Indexed(
        *((ARM64 | {"variant": one}, name) for one, name in zip(variants, "ab", strict=True))
    )
    found = read(app, tmp_path, policy=Policy.EXACT)
    assert layers(found) == digests(taken)
    (note,) = found.notes
    assert note.endswith(f": has several images for arm64; took variant {named}")
