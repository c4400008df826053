"""Which images a scan is about: every way to name one."""

import pytest

from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.reference import parse
from layerscan.scanning.selection import Choice, Chosen, Selection, absence, choose, want
from layerscan.stores.model import Image

DIGEST = "sha256:" + "d" * 64
OTHER = "sha256:" + "e" * 64


def image(image_id: str, *names: str, architecture: str = "amd64", digits: str = "0") -> Image:
    """An image whose id begins with `image_id`."""
    return Image(
        image_id="sha256:" + image_id.ljust(64, digits),
        names=tuple(sorted(map(parse, names))),
        architecture=architecture,
        os="linux",
        variant="",
        layers=(),
        digests={},
    )


NGINX = image("a1", "nginx:1.25", f"nginx@{DIGEST}")
LATEST = image("a2", "nginx:latest")
LOCAL = image("b1", "localhost:5000/acme/edge:2", "acme/edge:2", architecture="arm64")
PORTED = image("b2", "127.0.0.1:5000/edge:latest", architecture="arm64")
SIX = image("b3", "[::1]:5000/edge:6")
DANGLING = image("c1")
BEEF = image("f00d", "beef:latest")
IMAGES = [NGINX, LATEST, LOCAL, PORTED, SIX, DANGLING, BEEF]


def chosen(*texts: str, architecture: str | None = None) -> list[Image]:
    choice = choose(IMAGES, Selection(tuple(map(want, texts)), architecture))
    assert choice.absent == ()
    return [one.image for one in choice.chosen]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", LATEST),
        ("nginx:latest", LATEST),
        ("library/nginx", LATEST),
        ("index.docker.io/library/nginx", LATEST),
        ("nginx:1.25", NGINX),
        ("docker.io/nginx:1.25", NGINX),
        ("library/nginx:1.25", NGINX),
        ("docker.io/library/nginx:1.25", NGINX),
        (f"nginx@{DIGEST}", NGINX),
        (f"docker.io/nginx@{DIGEST}", NGINX),
        (f"docker.io/library/nginx@{DIGEST}", NGINX),
        # The digest says it all: Docker takes any tag beside it.
        (f"nginx:1.25@{DIGEST}", NGINX),
        (f"nginx:none@{DIGEST}", NGINX),
        ("localhost:5000/acme/edge:2", LOCAL),
        ("acme/edge:2", LOCAL),
        ("docker.io/acme/edge:2", LOCAL),
        ("127.0.0.1:5000/edge", PORTED),
        ("127.0.0.1:5000/edge:latest", PORTED),
        ("[::1]:5000/edge:6", SIX),
    ],
)
def test_every_form_of_reference_finds_its_image(text: str, expected: Image) -> None:
    assert chosen(text) == [expected]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("nginx:*", [LATEST, NGINX]),
        ("docker.io/library/nginx:*", [LATEST, NGINX]),
        ("*/edge:?", [SIX, LOCAL]),
        ("[nb]*:latest", [BEEF, LATEST]),
        ("localhost*", [LOCAL]),
        ("[[]::1]:5000/*", [SIX]),
        ("*@sha256:*", [NGINX]),
    ],
)
def test_a_pattern_finds_every_image_with_such_a_name(pattern: str, expected: list[Image]) -> None:
    assert sorted(chosen(pattern)) == sorted(expected)


@pytest.mark.parametrize("pattern", ["NGINX:*", "nginx:1.2", "*.25x", "[a-b]"])
def test_a_pattern_that_no_name_fits_is_absent(pattern: str) -> None:
    choice = choose(IMAGES, Selection((want(pattern),)))
    assert (choice.chosen, [one.text for one in choice.absent]) == ((), [pattern])


def test_digests_count_of_the_repositories_that_a_pattern_names() -> None:
    choice = choose(IMAGES, Selection((want("localhost:*"),)))
    assert [one.repositories for one in choice.chosen] == [("localhost:5000/acme/edge",)]


@pytest.mark.parametrize(
    "text", [NGINX.image_id, NGINX.image_id.removeprefix("sha256:"), "a1", "sha256:a1", "a10000"]
)
def test_image_id_whole_or_its_beginning(text: str) -> None:
    assert chosen(text) == [NGINX]


def test_image_without_a_name_is_found_by_its_id() -> None:
    assert chosen("c1") == [DANGLING]


def test_one_hex_digit_is_enough_where_it_is_unique() -> None:
    assert chosen("c") == [DANGLING]


@pytest.mark.parametrize("text", ["a", "sha256:a"])
def test_beginning_of_several_ids_is_refused(text: str) -> None:
    with pytest.raises(LayerscanError) as caught:
        chosen(text)
    assert str(caught.value) == (f"image id {text} is the beginning of 2 images: give more of it")


def test_a_name_comes_before_an_id() -> None:
    named = image("dead", "beef:latest")
    by_id = image("beef")
    for text, expected in (("beef", named), ("beef0", by_id), ("sha256:beef", by_id)):
        choice = choose([by_id, named], Selection((want(text),)))
        assert [one.image for one in choice.chosen] == [expected]


def test_an_image_asked_for_twice_is_one_with_the_repositories_of_both() -> None:
    def repositories(*texts: str) -> tuple[str, ...]:
        (one,) = choose(IMAGES, Selection(tuple(map(want, texts)))).chosen
        return one.repositories

    here, there = "docker.io/acme/edge", "localhost:5000/acme/edge"
    assert repositories("acme/edge:2") == (here,)
    assert repositories("localhost:5000/acme/edge:2") == (there,)
    assert repositories("localhost:5000/acme/edge:2", "acme/edge:2") == (here, there)
    assert repositories("b1") == (here, there)
    assert repositories("c1") == ("",)


@pytest.mark.parametrize(
    "text",
    [
        "nginx:1.26",
        "edge",
        "localhost:5001/acme/edge:2",
        f"nginx@{OTHER}",
        f"nginx:1.25@{OTHER}",
        "f" * 64,
        "sha256:" + "f" * 64,
        "abc",
    ],
)
def test_image_that_is_not_there_is_absent(text: str) -> None:
    choice = choose(IMAGES, Selection((want(text), want("c1"))))
    assert [wanted.text for wanted in choice.absent] == [text]
    assert [one.image for one in choice.chosen] == [DANGLING]


@pytest.mark.parametrize(
    "text", ["", "UPPER", "a b", "nginx:", "sha256:", "g" * 64 + ":x y", "../x"]
)
def test_text_that_can_be_no_image_is_refused(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError, match="no image reference"):
        want(text)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("nginx:2", f"nginx:1.25, nginx:latest, nginx@{DIGEST}"),
        ("127.0.0.1:5000/edge:9", "127.0.0.1:5000/edge:latest"),
        ("other", ""),
        ("f" * 64, ""),
    ],
)
def test_hint_names_what_the_repository_has(text: str, there: str) -> None:
    hint = f"; of that repository it holds {there}" if there else ""
    assert absence(want(text), IMAGES) == f"image {text} is not in the store{hint}"


def test_hint_names_five_of_many() -> None:
    names = tuple(parse(f"edge:{number}") for number in range(9))
    said = absence(want("edge:9"), [IMAGES[0]._replace(names=names)])
    assert said.endswith(" it holds edge:0, edge:1, edge:2, edge:3, edge:4")


# Architectures and the default.


def test_only_the_architecture_asked_for() -> None:
    def of(architecture: str) -> list[Image]:
        choice = choose(IMAGES, Selection(architecture=architecture))
        return [one.image for one in choice.chosen]

    assert of("arm64") == [PORTED, LOCAL]
    assert LOCAL not in of("amd64")
    assert chosen("nginx", "acme/edge:2", architecture="arm64") == [LOCAL]


def test_architecture_that_no_image_has_names_those_that_are_there() -> None:
    with pytest.raises(LayerscanError) as caught:
        choose(IMAGES, Selection(architecture="riscv64"))
    assert str(caught.value) == "no image has architecture riscv64; there are: amd64, arm64"
    with pytest.raises(LayerscanError, match=r"there are: amd64$"):
        chosen("nginx", architecture="arm64")


def test_architecture_of_an_empty_store_is_no_error() -> None:
    assert choose([], Selection(architecture="arm64")) == Choice((), ())


def test_default_is_every_image_with_a_name_by_label() -> None:
    labels = [one.label for one in choose(IMAGES, Selection()).chosen]
    assert labels == [
        "127.0.0.1:5000/edge:latest",
        "[::1]:5000/edge:6",
        "acme/edge:2",
        "beef:latest",
        "nginx:1.25",
        "nginx:latest",
    ]


def test_all_is_every_image() -> None:
    choice = choose(IMAGES, Selection(dangling=True))
    assert {one.image.image_id for one in choice.chosen} == {one.image_id for one in IMAGES}
    (dangling,) = (one for one in choice.chosen if one.image is DANGLING)
    assert (dangling.label, dangling.repositories) == ("c10000000000", ("",))


def test_nothing_asked_for_is_nothing_chosen() -> None:
    assert choose(IMAGES, Selection(wanted=())) == Choice((), ())


def test_label_is_a_name_by_tag_before_one_by_digest() -> None:
    def label(of: Image) -> str:
        return Chosen(of, ()).label

    assert label(NGINX) == "nginx:1.25"
    assert label(image("a", f"a@{DIGEST}", "z:1")) == "z:1"
    assert label(image("a", f"a@{DIGEST}")) == f"a@{DIGEST}"
    assert label(image("abcdef", digits="7")) == "abcdef777777"
