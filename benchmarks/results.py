"""What a run of the benchmarks found, as data: rows, and the file they are kept in.

Owns the row and its JSON; neither measures nor judges.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from benchmarks.peers import Role


class Standing(StrEnum):
    """How a contestant took part.

    `STAND_IN` is a tool that was not run: its figure is du's in the same run
    times a factor that was measured elsewhere.
    """

    OURS = "ours"
    RANKED = "ranked"
    STAND_IN = "stand-in"
    UNEQUAL = "not equal"
    ABSENT = "absent"
    REFUSED = "not measured"


@dataclass(frozen=True)
class Row:
    """A contestant in a group.

    Attributes:
        group: its name.
        contestant: its name.
        standing: see `Standing`.
        role: tool or yardstick.
        note: what was compared, or why there is no figure.
        seconds: median, or None.
        ratio: median by the median of ours in the same rounds, or None.
        spread: the middle half of the ratios of single rounds, or None.
        rate: directory entries a second, or None.
        peak: the most memory in bytes, or None.
        rounds: how many there were.
    """

    group: str
    contestant: str
    standing: Standing
    role: Role
    note: str = ""
    seconds: float | None = None
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    rate: float | None = None
    peak: int | None = None
    rounds: int = 0

    @property
    def is_measured(self) -> bool:
        """Whether it has a ratio that means something."""
        return self.ratio is not None and (self.is_ranked or self.standing is Standing.OURS)

    @property
    def is_ranked(self) -> bool:
        """Whether its ratio may be held against ours."""
        return self.standing in {Standing.RANKED, Standing.STAND_IN}


@dataclass(frozen=True)
class Results:
    """A whole run.

    Attributes:
        commit: what was measured; ends in ``+`` where files differ from it.
        machine: on what.
        size: small or large.
        when: UTC, ISO 8601.
        others: cores that other programs kept busy meanwhile.
        complete: whether all groups took part.
        rows: what was found.
        targets: a line for each target: name, whether met, words.
    """

    commit: str
    machine: str
    size: str
    when: str
    others: float
    complete: bool
    rows: tuple[Row, ...]
    targets: tuple[tuple[str, str, str], ...]

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def loads(text: str) -> Results:
    """Read what `Results.dumps` wrote."""
    document: dict[str, Any] = json.loads(text)
    rows = tuple(_row(row) for row in document.pop("rows"))
    targets = tuple((name, met, words) for name, met, words in document.pop("targets"))
    return Results(rows=rows, targets=targets, **document)


def _row(row: dict[str, Any]) -> Row:
    spread = row.pop("spread")
    standing, role = Standing(row.pop("standing")), Role(row.pop("role"))
    return Row(
        **row, standing=standing, role=role, spread=None if spread is None else tuple(spread)
    )


def write(results: Results, folder: str) -> None:
    """Keep `results` in `folder`: the last ones, and a line of the history.

    A run of the same commit, machine and size takes the place of the one
    before; with changed files (``+``) each run has its own line.
    """
    os.makedirs(folder, exist_ok=True)
    _replace(os.path.join(folder, "results.json"), results.dumps() + "\n")
    path = os.path.join(folder, "history.jsonl")
    kept = [one for one in history(folder) if not _is_again(one, results)]
    _replace(path, "".join(one.dumps() + "\n" for one in [*kept, results]))


def history(folder: str) -> Sequence[Results]:
    """All runs that were kept in `folder`, the oldest first."""
    return list(_lines(os.path.join(folder, "history.jsonl")))


def _lines(path: str) -> Iterable[Results]:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                yield loads(line)
    except FileNotFoundError:
        return


def _is_again(before: Results, now: Results) -> bool:
    same = (before.commit, before.machine, before.size, before.complete) == (
        now.commit,
        now.machine,
        now.size,
        now.complete,
    )
    return same and not now.commit.endswith("+")


def _replace(path: str, text: str) -> None:
    half = f"{path}.{os.getpid()}"
    with open(half, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(half, path)
