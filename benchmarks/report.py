"""The table and the picture of a run: ``python -m benchmarks.report [--docs]``.

Reads what pytest-benchmark wrote; nothing here measures.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from benchmarks import picture, settings

RUN = os.path.join(settings.OUT, "pytest-benchmark.json")
DOCS = os.path.join(settings.CHECKOUT, "docs", "measurements")
BEGIN, END = "<!-- benchmark table -->", "<!-- /benchmark table -->"
_CAPTION = "How many times as long as layerscan others take"
_COLUMNS = (
    "group",
    "contestant",
    "median",
    "times ours",
    "middle half",
    "bound",
    "entries/s",
    "memory",
)


@dataclass(frozen=True)
class Row:
    """A contestant in a group.

    Attributes:
        group: its name.
        contestant: its name.
        role: ``ours``, ``tool`` or ``yardstick``.
        seconds: median.
        memory: the most of all runs, in bytes.
        entries: directory entries that it looked at, or None.
        ratio: median by the median of ours in the same rounds.
        spread: the middle half of the ratios of single rounds, or nothing.
        bound: of the ratio, and whether it was missed, or nothing.
    """

    group: str
    contestant: str
    role: str
    seconds: float
    memory: int
    entries: int | None
    ratio: float = 1.0
    spread: tuple[float, ...] = ()
    bound: str = ""

    def cells(self) -> Iterator[str]:
        """Of the table."""
        is_ours = self.role == "ours"
        yield self.group if is_ours else ""
        yield f"**{self.contestant}**" if is_ours else self.contestant
        yield seconds(self.seconds)
        yield "1" if is_ours else f"{self.ratio:.2f}"
        yield " to ".join(f"{ratio:.2f}" for ratio in self.spread)
        yield self.bound
        yield f"{self.entries / self.seconds:,.0f}" if self.entries else ""
        yield f"{self.memory / (1 << 20):.0f} MiB"


def rows(run: dict[str, Any]) -> Iterator[Row]:
    """All that was measured, ours first in each group."""
    for group, found in groupby(run["benchmarks"], key=lambda one: one["group"]):
        members = [(one["extra_info"], one["stats"]["median"]) for one in found]
        ours = [info["ours"] for info, _ in members]
        data = [second for one in ours for second in one["data"]]
        memory, entries = max(one["memory"] for one in ours), members[0][0]["entries"]
        yield Row(group, ours[0]["name"], "ours", median(data), memory, entries)
        for info, middle in members:
            yield Row(
                group,
                info["contestant"],
                "yardstick" if info["yardstick"] else "tool",
                middle,
                info["memory"],
                entries,
                info["ratio"],
                tuple(info["spread"]),
                info["bound"],
            )


def table(run: dict[str, Any]) -> str:
    """The table, and on what it was measured."""
    lines: list[Sequence[str]] = [_COLUMNS, ["---"] * 2 + ["--:"] * 3 + ["---"] + ["--:"] * 2]
    lines += [list(row.cells()) for row in rows(run)]
    machine, commit = run["machine_info"], run["commit_info"]
    cpu = machine["cpu"]
    measured_on = (
        f"Commit {commit['id'][:12]}{'+' * commit['dirty']}, size {machine['size']}, "
        f"{cpu.get('brand_raw', machine['machine'])}, {cpu['count']} cores, "
        f"Linux {machine['release'].partition('-')[0]}, Python {machine['python_version']}, "
        f"{machine['file_system']}; other programs kept {machine['other_cores']} cores busy."
    )
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", measured_on])


def seconds(value: float) -> str:
    """A time for people: milliseconds below a second."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def put(path: str, text: str) -> None:
    """Put `text` between the markers of the page `path`."""
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path}: has no place for a table")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    """Print the table of the last run, and draw it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report")
    parser.add_argument("--docs", action="store_true", help="put both into docs/measurements")
    in_docs = parser.parse_args().docs
    try:
        with open(RUN, encoding="utf-8") as file:
            run = json.load(file)
    except FileNotFoundError:
        sys.exit("there are no results yet: make bench")
    print(table(run))
    picture.draw(list(rows(run)), os.path.join(DOCS if in_docs else settings.OUT, "benchmarks.svg"))
    if in_docs:
        page = os.path.join(DOCS, "benchmarks.md")
        put(page, f"{table(run)}\n\n![{_CAPTION}](benchmarks.svg)")


if __name__ == "__main__":
    main()
