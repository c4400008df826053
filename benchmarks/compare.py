"""Two commits against each other: ``python -m benchmarks.compare BASE [CANDIDATE]``.

Each commit is installed into an environment of its own below build/compare, which
is kept. Then they run in turns on the same trees and stores. Prints for each
group how many times as long as the candidate the base takes.
"""

import argparse
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import comb
from statistics import median

from benchmarks.contestants import Contestant
from benchmarks.duel import Duel
from benchmarks.groups import GROUPS
from benchmarks.report import seconds
from benchmarks.settings import CHECKOUT, CORPUS, SIZE, Size

_FOLDER = os.path.join(CHECKOUT, "build", "compare")
_COMPARED = {
    *("walk, warm", "walk, warm, flat", "walk, warm, deep", "walk, warm, linked"),
    *("layerscan du", "scan, one base", "start-up"),
}
_ROUNDS = {Size.SMALL: 15, Size.LARGE: 11}


def build(revision: str) -> str:
    """The Python of an environment with `revision` installed, made unless it is there."""
    named = ("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    commit = _call(f"there is no commit {revision}", "git", "-C", CHECKOUT, *named)
    folder = os.path.join(_FOLDER, commit[:12])
    python = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "ready")
    if not os.path.exists(ready):
        print(f"building {revision} ({commit[:12]})", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        source = f"layerscan[all] @ git+file://{CHECKOUT}@{commit}"
        # Older ones know no such source without a host.
        for what in ("pip>=25.1", source):
            _call(f"cannot build {revision}", python, "-m", "pip", "install", "--quiet", what)
        with open(ready, "w", encoding="ascii") as file:
            file.write(commit)
    return python


def _call(failure: str, *command: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, check=False, env=clean, text=True)
    if done.returncode != 0:
        sys.exit(f"bench-compare: {failure} {done.stderr[-1500:]}".rstrip())
    return done.stdout.strip()


def installed(contestant: Contestant, python: str) -> Contestant:
    """`contestant` with the layerscan of `python`; nothing of this checkout gets in."""
    return replace(contestant, command=(python, "-I", *contestant.command[1:]))


def compare(base: str, candidate: str) -> Iterator[str]:
    """Run all; a line of the table for each as soon as it is done."""
    yield f"{'group':<20}  {'base':>10}  {'candidate':>10}  base / candidate (middle half)"
    for group in GROUPS:
        if group.name not in _COMPARED:
            continue
        path = group.on[SIZE].make(CORPUS).path
        old, new = (installed(group.ours, python) for python in (base, candidate))
        if old.answer(path) != new.answer(path):
            sys.exit(f"bench-compare: {group.name}: base and candidate give different answers")
        duel = Duel(partial(new.run, path), partial(old.run, path))
        duel.more(_ROUNDS[SIZE])
        times = [seconds(median(side.seconds)) for side in (duel.peer, duel.ours)]
        low, high = duel.spread
        yield (
            f"{group.name:<20}  {times[0]:>10}  {times[1]:>10}  "
            f"{duel.ratio:.3f} ({low:.3f} to {high:.3f}){verdict(duel.ratios)}"
        )


def verdict(ratios: Sequence[float]) -> str:
    """Whether the candidate is faster or slower, where chance says so in one case of fifty.

    Of so many throws of a coin, how many on one side are too few.
    """
    count = len(ratios)
    faster = sum(ratio > 1 for ratio in ratios)
    fewer = min(faster, count - faster)
    if 2 * sum(comb(count, few) for few in range(fewer + 1)) / 2**count > 0.02:
        return ""
    return "  faster" if faster > fewer else "  SLOWER"


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description="Measure two commits in turns."
    )
    parser.add_argument("base", metavar="BASE", help="a commit, as git names it")
    parser.add_argument("candidate", metavar="CANDIDATE", nargs="?", default="HEAD")
    options = parser.parse_args()
    for line in compare(build(options.base), build(options.candidate)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
