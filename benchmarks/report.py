"""The report: one table for the terminal, one for the docs, and where they go.

Owns the layout of tables and the markers between which docs/measurements/benchmarks.md and
README.md get theirs. ``python -m benchmarks.report`` puts the last run's
figures there again. Nothing here measures.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks import machine, results, settings
from benchmarks.peers import Role
from benchmarks.results import Results, Row, Standing
from benchmarks.targets import Verdict

if TYPE_CHECKING:
    from benchmarks.arena import Arena

BEGIN = "<!-- benchmark table -->"
END = "<!-- /benchmark table -->"
DOCS = os.path.join(settings.CHECKOUT, "docs", "measurements", "benchmarks.md")
README = os.path.join(settings.CHECKOUT, "README.md")
PICTURE = os.path.join(settings.CHECKOUT, "docs", "measurements", "benchmarks.svg")

_CAPTION = "How many times as long as layerscan others take"
_SUMMARY_HEADER = (
    "| | layerscan | du, tar, or the script it replaces | fastest other tool "
    "| bare loop in C, bare decompressor |"
)
_HEADER = ("group", "contestant", "median", "ratio", "entries/s", "memory", "equal?")


def results_of(arena: "Arena", verdicts: Iterable[Verdict], *, complete: bool) -> Results:
    """The run in `arena` as data."""
    return Results(
        commit=arena.commit,
        machine=machine.machine(arena.root),
        size=arena.size.value,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        others=round(arena.other_load.cores(), 2),
        complete=complete,
        rows=tuple(arena.rows()),
        targets=tuple((v.target.name, _met(v), str(v)) for v in verdicts),
    )


def _met(verdict: Verdict) -> str:
    if verdict.value is None:
        return "not measured"
    if not verdict.judged:
        return "not judged at this size"
    if verdict.out_of_reach:
        return "OUT OF REACH"
    return "met" if verdict.met else "MISSED"


def publish(found: Results) -> Iterator[str]:
    """Keep `found`, draw its picture, put its table into the docs; says what was done."""
    results.write(found, settings.OUT)
    yield f"written: {_here(os.path.join(settings.OUT, 'results.json'))} and history.jsonl"
    in_docs = found.complete and found.size == settings.Size.LARGE and settings.may_write_docs()
    yield _draw(found, PICTURE if in_docs else os.path.join(settings.OUT, "benchmarks.svg"))
    if not in_docs:
        yield "docs and README are left alone: figures there are of whole runs at SIZE=large"
        return
    for path, text in ((DOCS, markdown(found)), (README, summary(found))):
        picture = os.path.relpath(PICTURE, os.path.dirname(path))
        done = put_table(path, f"{text}\n\n![{_CAPTION}]({picture})")
        yield f"{'table put into' if done else 'no place for a table in'} {_here(path)}"


def _draw(found: Results, path: str) -> str:
    from benchmarks import picture

    try:
        picture.draw_ratios(found.rows, path)
    except (ModuleNotFoundError, picture.NothingToDrawError) as error:
        return f"no picture: {error}"
    return f"drawn: {_here(path)}"


def _here(path: str) -> str:
    return os.path.relpath(path, settings.CHECKOUT)


def put_table(path: str, text: str) -> bool:
    """Put `text` between the markers in the file `path`; whether it has them.

    Where only the first marker is there, the second is added.
    """
    try:
        with open(path, encoding="utf-8") as file:
            old = file.read()
    except FileNotFoundError:
        return False
    before, begin, after = old.partition(BEGIN)
    if not begin:
        return False
    rest = after.partition(END)[2] if END in after else after
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{rest}")
    return True


def table(found: Results) -> str:
    """The table for the terminal, and what came of the targets."""
    lines = [_HEADER, *(_cells(row) for row in found.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER) - 1)]
    text = []
    group = ""
    for line in lines:
        shown = ("" if line[0] == group else line[0], *line[1:])
        if line[0] != group and group:
            text.append("")
        group = line[0]
        padded = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(shown, widths, strict=False))
        ]
        text.append("  ".join([*padded, line[-1]]).rstrip())
    text += ["", f"{found.size}, {found.commit}, {found.machine}"]
    text += [f"other programs kept {found.others:.2f} cores busy meanwhile", ""]
    text += [f"{met:>12}  {words}" for _, met, words in found.targets]
    return "\n".join(text)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.group,
        row.contestant,
        seconds(row.seconds),
        _ratio(row),
        "" if row.rate is None else f"{row.rate:,.0f}",
        "" if row.peak is None else f"{row.peak / (1 << 20):.0f} MiB",
        _standing(row),
    )


def seconds(value: float | None) -> str:
    """A time for people: milliseconds below a second."""
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return ""
    text = f"{row.ratio:.2f}"
    if row.spread is None:
        return text
    low, high = row.spread
    return f"{text} ({low:.2f} to {high:.2f})"


def _standing(row: Row) -> str:
    if row.standing is Standing.OURS:
        return "ours"
    if row.standing is Standing.RANKED:
        return "yes"
    return f"{row.standing}: {row.note}"


def markdown(found: Results) -> str:
    """The table for the docs, without what could not be run."""
    shown = [row for row in found.rows if row.is_measured]
    lines = ["| group | contestant | median | takes … times ours | entries/s | memory |"]
    lines.append("|---|---|--:|--:|--:|--:|")
    group = ""
    for row in shown:
        name = row.contestant + (" ¹" if row.standing is Standing.STAND_IN else "")
        name = f"**{name}**" if row.standing is Standing.OURS else name
        cells = _cells(row)
        ratio = "1" if row.standing is Standing.OURS else f"{row.ratio:.2f}"
        first = "" if row.group == group else row.group
        group = row.group
        lines.append(f"| {first} | {name} | {cells[2]} | {ratio} | {cells[4]} | {cells[5]} |")
    return "\n".join([*lines, "", *_remarks(found, shown)])


def summary(found: Results) -> str:
    """The short table for the README: who else takes how many times as long as ours."""
    lines = [_SUMMARY_HEADER, "|---|--:|--:|--:|--:|"]
    for group in dict.fromkeys(row.group for row in found.rows):
        rows = [row for row in found.rows if row.group == group and row.is_measured]
        tools = [row for row in rows if row.is_ranked and row.role is Role.TOOL]
        if tools:
            first, *others = tools
            fastest = min(others, key=lambda row: row.ratio or 0.0, default=None)
            yardstick = next((row for row in rows if row.role is Role.YARDSTICK), None)
            cells = [_times(first), _times(fastest, named=True), _times(yardstick)]
            lines.append(f"| {group} | {seconds(rows[0].seconds)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_remarks(found, found.rows)])


def _times(row: Row | None, *, named: bool = False) -> str:
    """How many times as long as ours, for people."""
    if row is None:
        return ""
    mark = " ¹" if row.standing is Standing.STAND_IN else ""
    return f"{row.ratio:.2f} times" + (f" ({row.contestant}{mark})" if named else "")


def _remarks(found: Results, shown: Sequence[Row]) -> Iterator[str]:
    yield (
        f"Commit {found.commit}, {found.machine}; medians of runs that alternated; "
        f"other programs kept {found.others:.2f} cores busy meanwhile."
    )
    if any(row.standing is Standing.STAND_IN for row in shown):
        yield "¹ Not run: `du`'s time in this run, times a ratio that was measured elsewhere."
    for standing, head in (("MISSED", "Missed"), ("OUT OF REACH", "Out of reach on this machine")):
        those = [words for _, met, words in found.targets if met == standing]
        if those:
            yield f"\n{head}: {'; '.join(those)}."


def main() -> int:
    """Show the last run again, and put its figures into the docs."""
    try:
        with open(os.path.join(settings.OUT, "results.json"), encoding="utf-8") as file:
            found = results.loads(file.read())
    except FileNotFoundError:
        print("there are no results yet: make bench", file=sys.stderr)
        return 2
    print(table(found))
    for line in publish(found):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
