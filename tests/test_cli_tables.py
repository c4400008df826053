"""Tables as text: how columns are aligned, and what is shortened on a terminal."""

import pytest

from layerscan.cli.tables import Table, human

NAME = "registry.example.com/fleet/player:1043"


def table(*names: str) -> Table:
    made = Table(["SIZE", "LAYERS"], ["ARCH", "IMAGE"])
    for number, name in enumerate(names):
        made.add(human(1000**number), str(number), "amd64", name)
    return made


def test_figures_are_to_the_right_and_texts_to_the_left() -> None:
    assert table("one", "another:1", "x").lines() == [
        "     SIZE  LAYERS  ARCH   IMAGE",
        "      1 B       0  amd64  one",
        "   1000 B       1  amd64  another:1",
        "976.6 KiB       2  amd64  x",
    ]


def test_nothing_is_shortened_where_there_is_no_terminal_or_room_enough() -> None:
    whole = table(NAME).lines()
    assert whole[1].endswith(f"  {NAME}")
    width = max(map(len, whole))
    assert table(NAME).lines(width) == whole
    assert table(NAME).lines(width - 1) != whole


@pytest.mark.parametrize("width", [58, 50, 41])
def test_a_long_name_loses_its_middle(width: int) -> None:
    heading, line = table(NAME).lines(width)
    assert heading == table(NAME).lines()[0]
    assert len(line) == width
    start, _, end = line.rpartition(" ")[2].partition("…")
    assert NAME.startswith(start)
    assert NAME.endswith(end)
    assert len(start) - len(end) in (0, 1)


@pytest.mark.parametrize("width", [0, 1, 20])
def test_figures_are_never_cut_and_of_a_name_twelve_columns_are_left(width: int) -> None:
    line = table(NAME).lines(width)[1]
    assert line == " 1 B       0  amd64  regist…:1043"


@pytest.mark.parametrize(
    ("name", "columns"),
    [("ä" * 20, 20), ("木" * 10, 20), ("a\u0308" * 20, 20)],
)
def test_columns_of_a_terminal_are_counted_not_characters(name: str, columns: int) -> None:
    made = Table([], ["APP", "IMAGE"])
    made.add(name, "x")
    heading, line = made.lines()
    assert heading == "APP" + " " * (columns - 1) + "IMAGE"
    assert line == f"{name}  x"


def test_a_name_of_wide_characters_fits_too() -> None:
    made = Table([], ["IMAGE"])
    made.add("木" * 50)
    (_, line) = made.lines(20)
    # Nineteen columns at the most: the ellipsis has one, each character two.
    assert line == f"{'木' * 5}…{'木' * 4}"


def test_what_a_store_says_cannot_play_with_the_terminal() -> None:
    made = Table(["SIZE"], ["KIND", "IMAGE"])
    made.add("1 B", "\x1b[2J", "two\nlines\x07")
    assert made.lines()[1] == " 1 B  \\x1b[2J  two\\nlines\\x07"


def test_a_table_of_figures_alone_and_one_without_rows() -> None:
    made = Table(["A", "B"], [])
    made.add("1", "20")
    assert made.lines(10) == ["A   B", "1  20"]
    assert Table(["A"], ["B"]).lines(10) == ["A  B"]
