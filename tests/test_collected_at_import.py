"""The compiled parts can be imported whenever Python collects garbage meanwhile."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.reader import SOURCES

# Imports the module in one child for each place of the import where something is
# allocated: there garbage is collected.
SWEEP = """
import gc, os, sys, traceback
from importlib import import_module, util
name = sys.argv[1]
import_module(name.rpartition(".")[0])
for place in range(1, 100_000):
    child = os.fork()
    if child == 0:
        gc.collect()
        before = gc.get_stats()[0]["collections"]
        # Only the youngest objects, the module among them.
        gc.set_threshold(place, 1_000_000, 1_000_000)
        import_module(name)
        os._exit(2 if gc.get_stats()[0]["collections"] == before else 0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        print(place, status)
        break
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.pyx")), ids=lambda path: path.stem)
def test_garbage_may_be_collected_anywhere_in_an_import(path: Path) -> None:
    name = ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts)
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, name], check=True, capture_output=True, text=True
    )
    place, status = map(int, done.stdout.split())
    # It ended since the import was over before anything was collected.
    assert status == 2, f"with {place} objects: {status}"
    assert place > 20
