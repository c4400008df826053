"""Tables as text: how columns are aligned, and what is shortened on a terminal."""

import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from layerscan import open_store, scan
from layerscan.cli.report import of_scan
from layerscan.cli.report_tables import print_report
from layerscan.cli.tables import Table, human
from layerscan.stores.collector import uncollected
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import many

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


@pytest.mark.alone
def test_a_table_of_900_layers_takes_a_tenth_of_the_scan(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path)
    for image in range(30):
        layers = [store.layer(None, *many("d", 3, size=100, seed=image))]
        while len(layers) < 30:
            layers.append(store.layer(layers[-1], *many("d", 3, size=100, seed=len(layers))))
        name = f"registry.example.com/fleet/app{image}"
        store.image(layers, names=[f"{name}:1"], pushed={name: None})
    found = scan(open_store("overlay2", store.root))
    assert len(found.costs) == 900
    holdings = found.store.holdings().holdings

    def shown() -> None:
        # As `layerscan scan` does it.
        with uncollected(), redirect_stdout(io.StringIO()) as out:
            print_report(of_scan(found, holdings), "table")
        assert len(out.getvalue().splitlines()) == 30 + 900 + 5

    # What both take of the processor, in turns: what else runs counts for neither.
    turns = range(5)
    ratio = min(_seconds(shown) / _seconds(lambda: scan(open_store("overlay2", store.root)))
                for _ in turns)  # fmt: skip
    assert ratio < 0.1


def _seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun
