"""Which images an index stands for: every form of index, and what stands beside images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.digest import sha256
from layerscan.errors import AbsentError, DocumentError
from layerscan.fit.composectl_images import ImagesOfIndex
from layerscan.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Config,
    Descriptor,
    Index,
    Manifest,
    Platform,
)
from layerscan.oci.image_manifests import layer_type
from layerscan.oci.images import Listing, TooManyError, Why, list_images
from layerscan.oci.matchers import ForLinux, UnusableIndexError

if TYPE_CHECKING:
    from collections.abc import Collection

TAR = "application/vnd.oci.image.layer.v1.tar+gzip"
AMD64, ARM64 = Platform("amd64", "linux"), Platform("arm64", "linux")
UNKNOWN = Platform("unknown", "unknown")


class Shelf:
    """Documents in memory, and how often each was read; see `Reader`."""

    def __init__(self) -> None:
        self.documents: dict[str, Manifest | Index] = {}
        self.configs: dict[str, Config] = {}
        self.read: list[str] = []

    def document(self, descriptor: Descriptor) -> Manifest | Index:
        self.read.append(descriptor.digest)
        if descriptor.digest not in self.documents:
            raise AbsentError(f"{descriptor.digest}: is missing")
        return self.documents[descriptor.digest]

    def config(self, descriptor: Descriptor) -> Config:
        self.read.append(descriptor.digest)
        if descriptor.digest not in self.configs:
            raise AbsentError(f"{descriptor.digest}: is missing")
        return self.configs[descriptor.digest]

    def image(
        self,
        platform: Platform,
        *,
        config_type: str = OCI_CONFIG,
        layers: str = TAR,
        artifact_type: str = "",
        kind: str = OCI_MANIFEST,
        annotations: dict[str, str] | None = None,
    ) -> Descriptor:
        number = str(len(self.documents)).encode()
        config = Descriptor(config_type, sha256(b"config" + number), 7)
        self.configs[config.digest] = Config(platform, (sha256(b"tar" + number),))
        layer = Descriptor(layers, sha256(b"layer" + number), 9)
        manifest = Manifest(kind, config, (layer,), (), annotations or {}, artifact_type)
        found = Descriptor(kind, sha256(b"manifest" + number), 11)
        self.documents[found.digest] = manifest
        return found

    def index(self, *entries: Descriptor, kind: str = OCI_INDEX) -> Descriptor:
        found = Descriptor(kind, sha256(b"index%d" % len(self.documents)), 13)
        self.documents[found.digest] = Index(kind, entries)
        return found

    def listed(self, top: Descriptor, wanted: Collection[str] | None = None) -> Listing:
        return list_images(top, self, ForLinux(wanted))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def platforms(listing: Listing) -> list[str]:
    return ["/".join(filter(None, one.platform)) for one in listing.images]


def reasons(listing: Listing) -> list[Why]:
    return [one.why for one in listing.passed_over]


@pytest.mark.parametrize("kind", [OCI_INDEX, DOCKER_LIST])
def test_an_index_that_says_its_platforms_needs_no_config(shelf: Shelf, kind: str) -> None:
    one, two = shelf.image(AMD64), shelf.image(ARM64, kind=DOCKER_MANIFEST)
    top = shelf.index(one._replace(platform=AMD64), two._replace(platform=ARM64), kind=kind)
    listing = shelf.listed(top)
    assert platforms(listing) == ["amd64/linux", "arm64/linux"]
    assert shelf.read == [top.digest, one.digest, two.digest]
    assert [one.indexes for one in listing.images] == [(top,), (top,)]
    assert listing.notes("web") == []


def test_what_is_not_wanted_is_not_read(shelf: Shelf) -> None:
    one, two = shelf.image(AMD64), shelf.image(ARM64)
    top = shelf.index(one._replace(platform=AMD64), two._replace(platform=ARM64))
    listing = shelf.listed(top, {"arm64"})
    assert platforms(listing) == ["arm64/linux"]
    assert one.digest not in shelf.read
    assert listing.has == "linux/amd64, linux/arm64"


def test_the_entry_says_the_platform_whatever_the_config_does(shelf: Shelf) -> None:
    top = shelf.index(shelf.image(AMD64)._replace(platform=ARM64))
    listing = list_images(top, shelf, ForLinux({"arm64"}), configs=True)
    assert platforms(listing) == ["arm64/linux"]
    assert listing.notes("web") == [
        "web: the index says linux/arm64, the image's config linux/amd64: the index counts"
    ]
    assert platforms(shelf.listed(top, {"amd64"})) == []


@pytest.mark.parametrize("platform", [None, Platform(""), Platform("", "linux")])
def test_without_a_platform_the_config_says_it(shelf: Shelf, platform: Platform | None) -> None:
    top = shelf.index(shelf.image(ARM64)._replace(platform=platform), shelf.image(AMD64))
    assert platforms(shelf.listed(top)) == ["arm64/linux", "amd64/linux"]
    assert platforms(shelf.listed(top, {"arm64"})) == ["arm64/linux"]


def test_a_manifest_by_itself(shelf: Shelf) -> None:
    (image,) = shelf.listed(shelf.image(ARM64)).images
    assert (image.platform, image.indexes) == (ARM64, ())
    with pytest.raises(AbsentError):
        shelf.listed(Descriptor(OCI_MANIFEST, sha256(b"gone"), 1))


def test_indexes_within_indexes(shelf: Shelf) -> None:
    inner = shelf.index(shelf.image(AMD64)._replace(platform=AMD64))
    outer = shelf.index(inner, shelf.image(ARM64)._replace(platform=ARM64))
    listing = shelf.listed(outer)
    assert platforms(listing) == ["amd64/linux", "arm64/linux"]
    assert [len(one.indexes) for one in listing.images] == [2, 1]
    for _ in range(9):
        outer = shelf.index(outer)
    with pytest.raises(TooManyError, match="8 indexes within each other"):
        shelf.listed(outer)


def test_an_index_that_contains_itself(shelf: Shelf) -> None:
    itself = Descriptor(OCI_INDEX, sha256(b"itself"), 1)
    shelf.documents[itself.digest] = Index(OCI_INDEX, (itself, shelf.image(AMD64)))
    assert platforms(shelf.listed(itself)) == ["amd64/linux"]


def test_one_manifest_for_two_platforms_is_two_images(shelf: Shelf) -> None:
    image = shelf.image(AMD64)
    twice = shelf.index(*(image._replace(platform=one) for one in (AMD64, ARM64, AMD64)))
    assert platforms(shelf.listed(twice)) == ["amd64/linux", "arm64/linux"]


BESIDE = {
    "attestation": (Why.ATTESTATION, {}, {"platform": UNKNOWN}),
    "attestation by annotation": (
        Why.ATTESTATION,
        {},
        {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
    ),
    "artifact by its entry": (Why.NO_IMAGE, {}, {"artifact_type": "text/x"}),
    "artifact": (Why.NO_IMAGE, {"artifact_type": "application/spdx+json"}, {}),
    "empty config": (Why.NO_IMAGE, {"config_type": EMPTY_CONFIG}, {}),
    "signature": (
        Why.NO_IMAGE,
        {"layers": "application/vnd.dev.cosign.simplesigning.v1+json"},
        {},
    ),
    "chart": (Why.NO_IMAGE, {"layers": "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}, {}),
    "App": (Why.NO_IMAGE, {"annotations": {"compose-app": "v1"}}, {}),
}


@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("platform", [None, AMD64])
def test_what_stands_beside_an_image_is_passed_over(
    shelf: Shelf, kind: str, platform: Platform | None
) -> None:
    why, how, entry = BESIDE[kind]
    beside = shelf.image(Platform(""), **how)._replace(platform=platform)  # type: ignore[arg-type]
    beside = beside._replace(**entry)  # type: ignore[arg-type]
    top = shelf.index(shelf.image(ARM64)._replace(platform=ARM64), beside)
    listing = shelf.listed(top)
    assert (platforms(listing), reasons(listing)) == (["arm64/linux"], [why])
    # Nothing with a Linux platform is passed over without a note.
    noted = [note for note in listing.notes("web") if note.endswith(": passed over")]
    assert len(noted) == (listing.passed_over[0].platform == AMD64)


@pytest.mark.parametrize(
    "config_type",
    ["", "application/octet-stream", "text/html", "application/json", "application/vnd.x"],
)
def test_any_other_type_of_config_is_an_images(shelf: Shelf, config_type: str) -> None:
    image = shelf.image(AMD64, config_type=config_type)
    assert platforms(shelf.listed(image)) == ["amd64/linux"]
    assert platforms(shelf.listed(shelf.index(image))) == ["amd64/linux"]


@pytest.mark.parametrize(
    ("media_type", "encrypted", "elsewhere"),
    [
        ("", False, False),
        (TAR, False, False),
        ("application/vnd.docker.container.image.rootfs.diff+x-gtar", False, False),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", False, True),
        ("application/vnd.oci.image.layer.v1.tar+zstd+encrypted", True, False),
    ],
)
def test_types_of_layers(media_type: str, *, encrypted: bool, elsewhere: bool) -> None:
    assert layer_type(media_type) == (encrypted, elsewhere)


def test_what_is_not_there_is_left_out_with_a_note(shelf: Shelf) -> None:
    gone = Descriptor(OCI_MANIFEST, sha256(b"gone"), 1, ARM64)
    no_config = shelf.image(Platform("arm", "linux", "v7"))
    shelf.configs.clear()
    top = shelf.index(
        shelf.image(AMD64)._replace(platform=AMD64),
        gone,
        Descriptor(OCI_INDEX, sha256(b"gone, too"), 1, Platform("s390x", "linux")),
        no_config,
    )
    listing = shelf.listed(top)
    assert platforms(listing) == ["amd64/linux"]
    assert reasons(listing) == [Why.ABSENT] * 3
    (note,) = listing.notes("web")
    assert note == (
        "web: left out, since it is not there: linux/arm64, linux/s390x, unknown; "
        "there is linux/amd64"
    )


def test_other_systems_are_not_for_linux(shelf: Shelf) -> None:
    windows = Platform("amd64", "windows")
    top = shelf.index(shelf.image(windows), shelf.image(windows)._replace(platform=windows))
    listing = shelf.listed(top)
    assert (platforms(listing), reasons(listing)) == ([], [Why.PLATFORM] * 2)


def test_what_there_is_for_messages(shelf: Shelf) -> None:
    windows, bare = Platform("arm64", "windows"), Platform("riscv64")
    found = [shelf.image(one)._replace(platform=one) for one in (AMD64, windows, bare)]
    gone = Descriptor(OCI_MANIFEST, sha256(b"gone"), 1, Platform("s390x", "linux"))
    gone_too = gone._replace(platform=Platform("arm", "linux", "v7"))
    listing = shelf.listed(shelf.index(*found, gone, gone_too), {"riscv64", "s390x", "arm"})
    assert listing.platforms == ["linux/amd64", "riscv64", "windows/arm64"]
    assert listing.architectures == {"amd64", "riscv64"}
    assert (
        listing.has == "linux/amd64, riscv64, windows/arm64; not there: linux/arm/v7, linux/s390x"
    )
    assert shelf.listed(shelf.index(found[0])).has == "linux/amd64"
    assert shelf.listed(shelf.index()).has == "none"


@pytest.mark.parametrize("system", ["linux", "", "windows"])
def test_what_is_passed_over_beside_images_for_linux_is_noted(shelf: Shelf, system: str) -> None:
    platform = Platform("arm64", system)
    artifact = shelf.image(platform, artifact_type="application/x")._replace(platform=platform)
    attestation = shelf.image(platform)._replace(
        platform=platform, annotations={"vnd.docker.reference.type": "attestation-manifest"}
    )
    listing = shelf.listed(shelf.index(shelf.image(AMD64), artifact, attestation))
    name = f"web: {system}/arm64" if system else "web: arm64"
    assert listing.notes("web") == [
        f'{name}: is an artifact of type "application/x", no image: passed over',
        f"{name}: is an attestation: passed over",
    ] * (system != "windows")


def test_an_image_for_linux_by_its_config_is_the_one_that_the_index_says(shelf: Shelf) -> None:
    for says, config, differs in [
        (Platform("amd64"), AMD64, False),
        (AMD64, AMD64._replace(variant="v2"), False),
        (AMD64, Platform(""), False),
        (AMD64, ARM64, True),
        (AMD64, Platform("amd64", "windows"), True),
    ]:
        top = shelf.index(shelf.image(config)._replace(platform=says))
        (image,) = list_images(top, shelf, ForLinux(), configs=True).images
        assert bool(image.note) == differs
        assert image.platform == says


def test_the_error_of_too_many_names_what_was_asked_for(shelf: Shelf) -> None:
    top = shelf.index(shelf.index(*(shelf.image(AMD64) for _ in range(201))))
    with pytest.raises(TooManyError, match=f"^{top.digest}: has more than 200 images"):
        shelf.listed(top)


# An architecture that nothing says.


def test_an_image_may_say_no_architecture(shelf: Shelf) -> None:
    silent = shelf.image(Platform(""))
    assert platforms(shelf.listed(silent)) == [""]
    assert platforms(shelf.listed(silent, {"arm64"})) == ["arm64"]
    # Of several that are asked for, which one it is, nobody knows.
    assert platforms(shelf.listed(silent, {"arm64", "amd64"})) == []


def test_one_that_says_it_goes_before_one_that_does_not(shelf: Shelf) -> None:
    top = shelf.index(shelf.image(Platform("")), shelf.image(ARM64)._replace(platform=ARM64))
    said = shelf.listed(top, {"arm64"})
    assert platforms(said) == ["arm64/linux"]
    assert [one[1:3] for one in said.passed_over] == [(Why.PLATFORM, "does not say what it is for")]
    assert platforms(shelf.listed(top, {"amd64"})) == ["amd64"]


# Bounds.


@pytest.mark.parametrize("number", [199, 200, 201])
def test_as_many_images_and_indexes_as_are_read(shelf: Shelf, number: int) -> None:
    images = shelf.index(*(shelf.image(AMD64) for _ in range(number)))
    # With the one that has them all.
    indexes = shelf.index(*(shelf.index() for _ in range(number - 1)), shelf.image(AMD64))
    for top, found in ((images, number), (indexes, 1)):
        if number > 200:
            with pytest.raises(TooManyError, match="more than"):
                shelf.listed(top)
        else:
            assert len(platforms(shelf.listed(top))) == found


@pytest.mark.parametrize("depth", [7, 8, 9])
def test_indexes_as_deep_as_they_are_read(shelf: Shelf, depth: int) -> None:
    top = shelf.image(AMD64)
    for _ in range(depth):
        top = shelf.index(top)
    if depth > 8:
        with pytest.raises(TooManyError, match="more than 8 indexes within each other"):
            shelf.listed(top)
    else:
        assert platforms(shelf.listed(top)) == ["amd64/linux"]


def test_more_images_than_are_read(shelf: Shelf) -> None:
    top = shelf.index(*(shelf.image(AMD64) for _ in range(201)))
    with pytest.raises(TooManyError, match="more than 200 images"):
        shelf.listed(top)
    entries = [shelf.image(AMD64)._replace(platform=AMD64) for _ in range(201)]
    assert platforms(shelf.listed(shelf.index(*entries), {"arm64"})) == []


@given(
    st.recursive(
        st.sampled_from([AMD64, ARM64, UNKNOWN, Platform(""), None]),
        lambda inner: st.lists(inner, max_size=5),
        max_leaves=12,
    )
)
def test_every_form_of_index_gives_the_same_images(form: object) -> None:
    """However images are nested, what is listed are those for Linux, in their order."""
    shelf = Shelf()
    expected: list[Platform] = []

    def build(part: object) -> Descriptor:
        if isinstance(part, list):
            return shelf.index(*map(build, part))
        # The config of all of them says amd64.
        platform = part if isinstance(part, Platform) else None
        if platform != UNKNOWN:
            expected.append(platform if platform and platform.architecture else AMD64)
        return shelf.image(AMD64)._replace(platform=platform)

    top = shelf.index(build(form))
    assert [one.platform for one in shelf.listed(top).images] == expected


# composectl.


def test_composectl_cannot_read_an_entry_without_a_platform(shelf: Shelf) -> None:
    top = shelf.index(shelf.image(AMD64))
    with pytest.raises(UnusableIndexError, match=r"composectl cannot .* has no platform"):
        list_images(top, shelf, ImagesOfIndex("amd64"))


def test_composectl_cannot_read_an_index_in_an_index(shelf: Shelf) -> None:
    inner = shelf.index(shelf.image(AMD64)._replace(platform=AMD64))
    top = shelf.index(inner._replace(platform=AMD64))
    with pytest.raises(DocumentError, match=r"composectl cannot read .* is an index itself"):
        list_images(top, shelf, ImagesOfIndex("amd64"))
    # One that is for another platform it does not look into.
    assert platforms(list_images(top, shelf, ImagesOfIndex("arm64"))) == []
