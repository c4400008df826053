"""Reading the documents of images: what they are called where they are wrong, and passed over."""

from __future__ import annotations

import pytest

from layerscan.digest import sha256
from layerscan.errors import AbsentError, DocumentError
from layerscan.oci import (
    DOCKER_MANIFEST,
    EMPTY_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Index,
    Manifest,
    Platform,
    loads,
)
from layerscan.oci.image_manifests import what_else
from layerscan.oci.images import Listing, Why, list_images
from layerscan.oci.matchers import ForLinux, Matcher
from layerscan.oci.readers import BlobReader, UnreadableError

AMD64 = Platform("amd64", "linux")
TAR = "application/vnd.oci.image.layer.v1.tar"
CONFIG = Descriptor("c", sha256(b"config"), 6)


class Same:
    """Holds one document, whatever is asked for; see `Blobs`."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.asked: list[str] = []

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        assert limit >= len(self.raw)
        self.asked.append(descriptor.media_type)
        return self.raw


@pytest.mark.parametrize(
    ("platform", "where"),
    [(None, "web"), (AMD64, "web: linux/amd64"), (Platform(""), "web: unknown")],
)
def test_a_document_that_is_wrong_is_named_with_its_platform(
    platform: Platform | None, where: str
) -> None:
    blobs = Same(b"[]")
    reader = BlobReader(blobs, "web")
    descriptor = Descriptor(OCI_MANIFEST, sha256(b""), 0, platform)
    for read, name in ((reader.document, where), (reader.config, f"{where}: config")):
        with pytest.raises(DocumentError) as caught:
            read(descriptor)
        assert str(caught.value) == f"{name}: $: must be an object"
    # A config is a blob, whatever type it is given.
    assert blobs.asked == [OCI_MANIFEST, "application/octet-stream"]


class Failing:
    """Reads nothing; see `Reader`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def document(self, _: Descriptor) -> Manifest | Index:
        raise self.error

    def config(self, _: Descriptor) -> Config:
        raise self.error


def listed(error: Exception) -> Listing:
    entry = Descriptor(OCI_MANIFEST, sha256(b"entry"), 1, AMD64)
    index = Index(OCI_INDEX, (entry,))
    top = Descriptor(OCI_INDEX, sha256(b"top"), 1)
    return list_images(top, Failing(error), Matcher(), document=index)


def test_what_cannot_be_read_is_passed_over_where_others_may_be() -> None:
    why = DocumentError("is damaged")
    (one,) = listed(UnreadableError(why)).passed_over
    assert (one.why, one.what, one.error) == (Why.UNREADABLE, "is damaged", why)
    absent = AbsentError("is\nmissing")
    (one,) = listed(absent).passed_over
    assert (one.why, one.what, one.error) == (Why.ABSENT, "is\\nmissing", absent)
    with pytest.raises(DocumentError, match="is damaged"):
        listed(why)


@pytest.mark.parametrize("error", [AbsentError("x"), UnreadableError(DocumentError("x"))])
def test_what_was_asked_for_itself_must_be_there(error: Exception) -> None:
    top = Descriptor(OCI_INDEX, sha256(b"top"), 1)
    if isinstance(error, AbsentError):
        with pytest.raises(AbsentError):
            list_images(top, Failing(error), Matcher())
    else:
        (one,) = list_images(top, Failing(error), Matcher()).passed_over
        assert one.why is Why.UNREADABLE


def test_what_was_read_already_is_looked_at_like_all_else() -> None:
    top = Descriptor(OCI_MANIFEST, sha256(b"top"), 1)
    artifact = Manifest(OCI_MANIFEST, CONFIG, (), artifact_type="application/x")
    (one,) = list_images(top, Failing(AssertionError()), Matcher(), document=artifact).passed_over
    assert one.what == 'is an artifact of type "application/x", no image'


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (
            Descriptor("application/vnd.docker.distribution.manifest.v1+json", CONFIG.digest, 1),
            "is of Docker's schema 1, which does not tell its layers' diff_ids; push",
        ),
        (Descriptor("x/y", CONFIG.digest, 1), 'is of type "x/y", no image'),
    ],
)
def test_entries_of_other_types_are_passed_over(entry: Descriptor, what: str) -> None:
    top = Descriptor(OCI_INDEX, sha256(b"top"), 1)
    index = Index(OCI_INDEX, (entry,))
    (one,) = list_images(top, Failing(AssertionError()), Matcher(), document=index).passed_over
    assert one.why is Why.NO_IMAGE
    assert one.what.startswith(what)


def test_a_layers_manifest_is_passed_over() -> None:
    top = Descriptor(OCI_INDEX, sha256(b"top"), 1)
    index = Index(OCI_INDEX, (), (Descriptor(TAR, CONFIG.digest, 1),))
    listing = list_images(top, Failing(AssertionError()), Matcher(), document=index)
    assert [one.what for one in listing.passed_over] == [
        "is a layers manifest of a Compose App, no image"
    ]


# Matchers.


def test_a_matcher_takes_all_by_the_usual_rules() -> None:
    index = Index(OCI_INDEX, ())
    matcher = Matcher()
    assert matcher.takes(Platform("x", "windows"))
    assert not matcher.takes_top(index)
    assert matcher.takes_entry(CONFIG, index) is None
    assert matcher.assumed == ""


@pytest.mark.parametrize(
    ("wanted", "assumed", "taken"),
    [
        (None, "", ["amd64", "arm", ""]),
        (["arm"], "arm", ["arm"]),
        (["arm", "amd64"], "", ["amd64", "arm"]),
        ([], "", []),
    ],
)
def test_images_for_linux(wanted: list[str] | None, assumed: str, taken: list[str]) -> None:
    matcher = ForLinux(wanted)
    assert matcher.assumed == assumed
    for system, expected in (("linux", taken), ("", taken), ("windows", [])):
        platforms = [Platform(name, system) for name in ("amd64", "arm", "")]
        assert [one.architecture for one in platforms if matcher.takes(one)] == expected


# What is no image.


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        (Manifest("m", CONFIG, ()), None),
        (Manifest("m", CONFIG, (), (CONFIG,)), "is a Compose App, no image"),
        (Manifest("m", CONFIG, (), (), {"compose-app": "v1"}), "is a Compose App, no image"),
        (
            Manifest("m", CONFIG._replace(media_type=EMPTY_CONFIG), ()),
            f'is no image: its config is of type "{EMPTY_CONFIG}"',
        ),
        (Manifest("m", CONFIG._replace(size=0), ()), "is no image: its config is empty"),
        (Manifest("m", Descriptor("c", sha256(b"{}"), 2), ()), "is no image: its config is empty"),
        (
            Manifest("m", CONFIG, (CONFIG._replace(media_type="x"), CONFIG)),
            'is no image: its layers are of type "x", no tars',
        ),
        (Manifest("m", CONFIG, (CONFIG, CONFIG._replace(media_type=TAR))), None),
    ],
)
def test_what_a_manifest_is_beside_an_image(manifest: Manifest, what: str | None) -> None:
    assert what_else(manifest) == what


@pytest.mark.parametrize("says", [True, False])
def test_a_document_is_known_to_say_its_type_itself(*, says: bool) -> None:
    own = f'"mediaType": "{DOCKER_MANIFEST}",' if says else ""
    config = f'{{"digest": "{CONFIG.digest}", "size": 1}}'
    raw = f'{{"schemaVersion": 2, {own} "config": {config}}}'.encode()
    assert loads(raw, "x", media_type=DOCKER_MANIFEST).says_type == says


def test_a_config_has_no_more_than_it_says() -> None:
    raw = b'{"architecture": "arm", "os": "linux", "variant": "v7", "rootfs": {"diff_ids": null}}'
    found = BlobReader(Same(raw), "web").config(CONFIG)
    assert found == Config(Platform("arm", "linux", "v7"), ())
