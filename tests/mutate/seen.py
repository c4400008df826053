"""Which files of tests run which lines of the Python sources, and how long they take.

Made once with coverage.py, the program's own processes included, and kept in
build/mutate/seen.json. What changed since is looked at again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING

from tests.mutate.workplace import OUTPUT, PROJECT, PYTEST, Workplace, own_folders

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FILE = OUTPUT / "seen.json"
# A file of tests that takes longer than this, watched, is not used.
_LONGEST = 600.0


@dataclass(frozen=True)
class Seen:
    """What a file of tests runs.

    `lines` has the numbers of lines by source; `trouble` says why it is not used,
    and `state` what the sources and the tests were.
    """

    file: str
    state: str
    seconds: float
    trouble: str = ""
    lines: dict[str, list[int]] = field(default_factory=dict)


def look(workplaces: Sequence[Workplace]) -> list[Seen]:
    """What each file of tests runs; files that cannot be used are left out."""
    known = {}
    if _FILE.exists():
        known = {row["file"]: Seen(**row) for row in json.loads(_FILE.read_text())}
    sources = state(*sorted((PROJECT / "src").rglob("*.py")))
    lock = Lock()
    free: SimpleQueue[Workplace] = SimpleQueue()
    for place in workplaces:
        free.put(place)

    def one(file: str) -> Seen:
        now = sources + state(PROJECT / file)
        if file in known and known[file].state == now:
            return known[file]
        place = free.get()
        try:
            seen = watch(place, file, now)
        finally:
            free.put(place)
        print(f"  {file}: {seen.seconds:.1f} s {seen.trouble}", file=sys.stderr)
        with lock:
            known[file] = seen
            _FILE.write_text(json.dumps([asdict(each) for each in known.values()]))
        return seen

    tests = sorted((PROJECT / "tests").rglob("test_*.py"))
    files = [str(path.relative_to(PROJECT)) for path in tests]
    with ThreadPoolExecutor(len(workplaces)) as threads:
        found = list(threads.map(one, files))
    return [seen for seen in found if not seen.trouble]


def state(*paths: object) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with open(str(path), "rb") as file:
            whole.update(file.read() + b"\0")
    return whole.hexdigest()[:16]


def noted(folder: Path) -> dict[str, list[int]]:
    """The lines in coverage.py's files in a folder, by source."""
    from coverage import CoverageData
    from coverage.exceptions import DataError

    lines: dict[str, set[int]] = {}
    for file in sorted(folder.glob("data.*")):
        data = CoverageData(str(file))
        # A process that a test killed while it ended has left half a file.
        with suppress(DataError):
            data.read()
            for source in data.measured_files():
                lines.setdefault(source, set()).update(data.lines(source) or ())
    return {source: sorted(numbers) for source, numbers in sorted(lines.items())}


def watch(place: Workplace, file: str, now: str) -> Seen:
    """Run a file of tests, and note the lines that it ran."""
    folder = place.root / "build" / "coverage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Tests that become another user note lines as well.
    folder.chmod(0o777)
    settings = folder / "settings"
    settings.write_text(
        f"[run]\nsource = {place.package}\ndata_file = {folder}/data\n"
        "parallel = true\npatch = subprocess, _exit\n"
    )
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}"]
    begun = time.monotonic()
    try:
        with own_folders() as folders:
            watched = subprocess.run(
                [*command, *PYTEST, "--maxfail=0", folders, file],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=place.root,
                env=place.environment(),
                timeout=_LONGEST,
            )
    except subprocess.TimeoutExpired:
        return Seen(file, now, _LONGEST, "takes too long")
    seconds = time.monotonic() - begun
    (folder / "log").write_bytes(watched.stdout + watched.stderr)
    lines = {
        source.removeprefix(f"{place.root}/"): numbers for source, numbers in noted(folder).items()
    }
    # What fails only because it is watched has all the same run these lines.
    trouble = ""
    if watched.returncode not in (0, 5):
        begun = time.monotonic()
        result = place.test([file], seconds=_LONGEST)
        seconds = time.monotonic() - begun
        trouble = "" if result.passed else f"fails without any fault: {result.by}"
    return Seen(file, now, round(seconds, 1), trouble, lines)
