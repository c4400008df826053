"""Platforms: which of them a machine runs, and how much it likes each."""

from __future__ import annotations

import os
import struct
import sys
from types import SimpleNamespace

import pytest

from layerscan.errors import LayerscanError
from layerscan.oci import Platform, platforms
from layerscan.oci.platforms import (
    fits,
    is_plain,
    normalized,
    parse_platform,
    platform_text,
    preference,
    preferred,
    spelt,
    this_machine,
)


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows/amd64"])
def test_platform_is_spelt_as_it_was_read(text: str) -> None:
    assert spelt(parse_platform(text)) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/arm", "a/b/c/d", "linux/a b", "l/\n"])
def test_text_that_is_no_platform(text: str) -> None:
    with pytest.raises(LayerscanError, match="no platform: ") as caught:
        parse_platform(text)
    assert str(caught.value).isprintable()


def test_a_long_text_that_is_no_platform_is_told_by_its_beginning() -> None:
    with pytest.raises(LayerscanError, match=f"no platform: '{'x' * 80}'; it has the form"):
        parse_platform("x" * 81)


def liked(machine: str, *found: str) -> list[str]:
    """Those of `found` that a machine runs, the best first."""
    ranked = [
        (rank, text)
        for text in found
        if (rank := preference(parse_platform(text), parse_platform(machine))) is not None
    ]
    return [text for _, text in sorted(ranked)]


ALL = (
    "linux/386",
    "linux/amd64",
    "linux/arm/v5",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/arm64/v8",
    "linux/riscv64",
    "windows/amd64",
)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"]),
        ("linux/arm64", ["linux/arm64/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"]),
        ("linux/386", ["linux/386"]),
        ("linux/riscv64", ["linux/riscv64"]),
        ("linux/s390x", []),
    ],
)
def test_what_a_machine_runs_in_its_order(machine: str, expected: list[str]) -> None:
    assert liked(machine, *ALL) == expected


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/arm64", "linux/arm/v7"),
        ("linux/arm/v5", "linux/arm/v5"),
        # It runs none of them: the first.
        ("linux/s390x", "windows/amd64"),
    ],
)
def test_the_one_that_a_machine_runs_best(machine: str, expected: str) -> None:
    found = ("windows/amd64", "linux/386", "linux/arm/v5", "linux/arm/v7", "linux/amd64")
    assert preferred(found, parse_platform(machine), parse_platform) == expected


def test_absent_variant_is_the_usual_one() -> None:
    arm = parse_platform("linux/arm/v7")
    assert preference(Platform("arm", "linux"), arm) == preference(arm, arm) == 0
    assert fits(Platform("arm", "linux"), arm)
    for text in ("linux/amd64/v1", "linux/arm64/v8"):
        found = parse_platform(text)
        assert fits(found._replace(variant=""), found)
    assert fits(Platform("arm64", "linux", "v8"), parse_platform("linux/arm64"))
    assert fits(Platform("arm", "linux", "v6"), parse_platform("linux/arm"))
    assert not fits(Platform("arm", "linux", "v6"), arm)
    assert not fits(Platform("arm", "windows"), arm)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", Platform("amd64", "linux")),
        ("aarch64", Platform("arm64", "linux")),
        ("armv8l", Platform("arm", "linux", "v8")),
        ("armv7l", Platform("arm", "linux", "v7")),
        ("armv6l", Platform("arm", "linux", "v6")),
        ("armv5tel", Platform("arm", "linux", "v5")),
        ("loongarch64", Platform("loong64", "linux")),
        ("riscv64", Platform("riscv64", "linux")),
        *((name, Platform("386", "linux")) for name in ("i386", "i486", "i586", "i686")),
        ("mips64", Platform("mips64le" if sys.byteorder == "little" else "mips64", "linux")),
    ],
)
def test_machine(monkeypatch: pytest.MonkeyPatch, machine: str, expected: Platform) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert this_machine() == expected
    assert platforms.preference(expected, this_machine()) == 0


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", Platform("386", "linux")),
        ("aarch64", Platform("arm", "linux", "v8")),
        ("armv7l", Platform("arm", "linux", "v7")),
        ("riscv64", Platform("riscv", "linux")),
        ("mips64", Platform("mipsle" if sys.byteorder == "little" else "mips", "linux")),
        ("ppc64", Platform("ppc", "linux")),
        ("sparc64", Platform("sparc", "linux")),
        ("s390x", Platform("s390", "linux")),
    ],
)
def test_system_of_32_bits_on_a_kernel_of_64(
    monkeypatch: pytest.MonkeyPatch, machine: str, expected: Platform
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setattr(struct, "calcsize", lambda _: 4)
    assert this_machine() == expected


def test_plain_words() -> None:
    assert is_plain(Platform("arm", "", "v7"))
    assert not is_plain(Platform("a\nb"))
    assert not is_plain(Platform("arm", "li/nux"))


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        (Platform("i386"), Platform("386", "linux")),
        (Platform("386", "linux", "x"), Platform("386", "linux")),
        (Platform("X86_64", "Linux"), Platform("amd64", "linux")),
        (Platform("x86-64", "linux", "V2"), Platform("amd64", "linux", "v2")),
        (Platform("amd64", "windows", "v1"), Platform("amd64", "windows")),
        (Platform("aarch64", "linux", "8"), Platform("arm64", "linux")),
        (Platform("arm64", "linux", "v8"), Platform("arm64", "linux")),
        (Platform("arm64", "linux", "v9"), Platform("arm64", "linux", "v9")),
        (Platform("armhf", "linux", "v6"), Platform("arm", "linux", "v7")),
        (Platform("armel"), Platform("arm", "linux", "v6")),
        (Platform("arm"), Platform("arm", "linux", "v7")),
        *((Platform("arm", "", n), Platform("arm", "linux", f"v{n}")) for n in "5678"),
        (Platform("arm", "linux", "4"), Platform("arm", "linux", "4")),
        (Platform("arm", "linux", "v5"), Platform("arm", "linux", "v5")),
        (Platform("riscv64", "linux", "8"), Platform("riscv64", "linux", "8")),
    ],
)
def test_one_name_of_several(platform: Platform, expected: Platform) -> None:
    assert normalized(platform) == expected


@pytest.mark.parametrize(
    ("platform", "text"),
    [
        (Platform("arm", "linux", "v7"), "linux/arm/v7"),
        (Platform("arm"), "arm"),
        (Platform(""), "unknown"),
        (Platform("a\nb", "linux"), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_platform_for_people(platform: Platform | None, text: str) -> None:
    assert platform_text(platform) == text


@pytest.mark.parametrize(("length", "plain"), [(63, True), (64, True), (65, False)])
def test_words_of_a_platform_are_short(length: int, plain: bool) -> None:  # noqa: FBT001
    assert is_plain(Platform("x" * length)) == plain
