"""Two commits against each other: ``python -m benchmarks.compare BASE [CANDIDATE]``.

Each commit is unpacked below build/compare and installed into an environment
of its own; both are kept. Then they run in turns on the same trees and stores.
Prints for each group how many times as long as the candidate the base takes.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from benchmarks import corpus, peers, settings, stores
from benchmarks.contest import Contestant, Duel, sure_range
from benchmarks.report import seconds
from benchmarks.settings import Size

_FOLDER = os.path.join(settings.CHECKOUT, "build", "compare")
_ROUNDS = {Size.SMALL: 15, Size.LARGE: 11}


class CompareError(Exception):
    """There is no such commit, or it cannot be built."""


def build(revision: str) -> str:
    """The Python of an environment with `revision` installed, made unless it is there.

    Raises:
        CompareError: see there.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    folder = os.path.join(_FOLDER, commit[:12])
    python = os.path.join(folder, "env", "bin", "python")
    ready = os.path.join(folder, "ready")
    if os.path.exists(ready):
        return python
    print(f"building {revision} ({commit[:12]})", file=sys.stderr)
    source = os.path.join(folder, "source")
    os.makedirs(source, exist_ok=True)
    # An archive and not a working tree: nothing of it stays in the repository.
    archive = os.path.join(folder, "source.tar")
    _git("archive", "--output", archive, commit)
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    venv.create(os.path.join(folder, "env"), with_pip=True, clear=True)
    _call(revision, python, "-m", "pip", "install", "--quiet", f"{source}[all]")
    with open(ready, "w", encoding="utf-8") as file:
        file.write(commit)
    return python


def _git(*arguments: str) -> bytes:
    return _call(" ".join(arguments), "git", "-C", settings.CHECKOUT, *arguments)


def _call(what: str, *command: str) -> bytes:
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, check=False, env=clean)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-1500:]
        raise CompareError(f"{what}: {said or f'status {done.returncode}'}")
    return done.stdout


def duels(base: str, candidate: str, size: Size, root: str) -> Iterator[tuple[str, Duel]]:
    """What is compared, by name: the candidate's Python and that of the base."""
    for shape, recipe in corpus.TREES[size].items():
        path = corpus.make(recipe, root)
        yield (
            f"walk, warm, {shape}",
            Duel(_walk("candidate", candidate, path), _walk("base", base, path)),
        )
    wide = corpus.make(corpus.TREES[size]["wide"], root)
    store = stores.make_store(stores.ONE_BASE[size], root)
    scan = ("scan", "-s", "overlay2", "-d", store, "-o", "-")
    for name, arguments, answer in (
        ("layerscan du", ("du", wide), peers.read_kib),
        ("scan, one base", scan, json.loads),
        ("start-up", ("--version",), lambda _: None),
    ):
        yield (
            name,
            Duel(
                _program("candidate", candidate, answer, arguments),
                _program("base", base, answer, arguments),
            ),
        )


# -I: nothing of this checkout or of PYTHONPATH gets in.


def _walk(name: str, python: str, path: str) -> Contestant:
    command = (python, "-I", peers.INSIDE, "layerscan", path)
    return Contestant(name, command, peers.read_inside, inside=True)


def _program(
    name: str, python: str, answer: Callable[[bytes], object], arguments: tuple[str, ...]
) -> Contestant:
    return Contestant(name, (python, "-I", "-m", "layerscan", *arguments), answer)


def compare(base: str, candidate: str, size: Size, root: str) -> Iterator[str]:
    """Run all duels; a line of the table for each as soon as it is done.

    Raises:
        CompareError: the two give different answers.
    """
    yield f"{'group':<20}  {'base':>10}  {'candidate':>10}  base / candidate (middle half)"
    for name, duel in duels(base, candidate, size, root):
        if duel.ours.run().answer != duel.peer.run().answer:
            raise CompareError(f"{name}: base and candidate give different answers")
        duel.more(_ROUNDS[size])
        low, high = duel.spread
        times = [seconds(median(those)) for those in (duel.peer_seconds, duel.our_seconds)]
        yield (
            f"{name:<20}  {times[0]:>10}  {times[1]:>10}  "
            f"{duel.ratio:.3f} ({low:.3f} to {high:.3f}){_verdict(duel)}"
        )


def _verdict(duel: Duel) -> str:
    low, high = sure_range(duel.ratios)
    if low > 1:
        return "  faster"
    return "  SLOWER" if high < 1 else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("base", metavar="BASE", help="a commit, as git names it")
    parser.add_argument("candidate", metavar="CANDIDATE", nargs="?", default="HEAD")
    options = parser.parse_args(argv)
    try:
        base, candidate = build(options.base), build(options.candidate)
        for line in compare(base, candidate, settings.size(), settings.corpus_root()):
            print(line, flush=True)
    except CompareError as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
