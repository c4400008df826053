"""A copy of the project that faults are put into, its build, and its tests.

The copy's package is found before the installed one by PYTHONPATH. Compiled parts
are built without optimisation, which takes a tenth of the time.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).parent.parent.parent
OUTPUT = PROJECT / "build" / "mutate"
EXTENSIONS = ("_bolt", "_htree", "_tar", "_walk")
# Address space of a run: a fault that allocates without end does not take the machine's.
MEMORY = 12 << 30
# Examples are the same in each run, so that a result can be had again.
PYTEST = [
    *("-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:benchmark", "-p", "no:cacheprovider"),
    *("--hypothesis-seed=0", "-m", "not alone and not engine"),
]
_NO_TESTS = 5


@dataclass(frozen=True)
class Outcome:
    """How a run of tests ended; `by` says which test failed, or is empty."""

    passed: bool
    by: str


class Workplace:
    """A copy of the project in its own folder."""

    def __init__(self, name: str) -> None:
        self.root = OUTPUT / name
        self.package = self.root / "src" / "layerscan"
        self.sound = self.root / "build" / "sound"

    def fill(self) -> None:
        """Make the copy what the project is now, and build it."""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        found = subprocess.run(listed, check=True, capture_output=True, cwd=PROJECT).stdout
        wanted = {name for name in map(os.fsdecode, found.split(b"\0")) if name}
        for name in wanted:
            copy_changed(PROJECT / name, self.root / name)
        for folder in ("src", "tests"):
            for path in (self.root / folder).rglob("*.*"):
                gone = str(path.relative_to(self.root)) not in wanted
                if gone and path.suffix in (".py", ".pyx", ".pxd"):
                    path.unlink()
        self.build(EXTENSIONS)
        for built in self.package.rglob("*.so"):
            copy_changed(built, self.sound / built.relative_to(self.package))
        self.check()

    def build(self, extensions: Sequence[str]) -> bool:
        """Build the extensions in place; False if they cannot be compiled."""
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        switch = {"LAYERSCAN_BUILD_QUICK": ",".join(extensions)}
        done = subprocess.run(
            command, check=False, capture_output=True, cwd=self.root, env=self.environment(switch)
        )
        (self.root / "build" / "log").write_bytes(done.stdout + done.stderr)
        return done.returncode == 0

    def check(self) -> None:
        """Make sure that the tests use this copy."""
        script = (
            "import layerscan.tar._tar as t, layerscan._walk as w; print(t.__file__, w.__file__)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            cwd=self.root,
            env=self.environment(),
        )
        if not all(name.startswith(f"{self.package}/") for name in done.stdout.split()):
            sys.exit(f"the tests would not use the copy in {self.root} but {done.stdout}")

    def environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "CI" and not name.startswith("LAYERSCAN_")
        }
        return {**kept, "PYTHONPATH": str(self.root / "src"), **(more or {})}

    def write(self, file: str, text: str) -> None:
        """Put `text` into a file, and remove what Python keeps of it in compiled form."""
        path = self.root / file
        path.write_text(text, encoding="utf-8")
        for kept in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            kept.unlink()

    def restore(self, file: str) -> None:
        """Put back the project's text, and extensions that have no fault."""
        self.write(file, (PROJECT / file).read_text(encoding="utf-8"))
        if not file.endswith(".py"):
            for built in self.sound.rglob("*.so"):
                shutil.copy2(built, self.package / built.relative_to(self.sound))

    def test(self, files: Sequence[str], *, seconds: float) -> Outcome:
        """Run files of tests, in this order, up to the first failure."""
        shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)
        command = ["prlimit", f"--as={MEMORY}", sys.executable, *PYTEST]
        tested = self.root / "build" / "tested"
        with own_folders() as folders, tested.open("w+") as output:
            process = subprocess.Popen(
                [*command, folders, *files],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env=self.environment(),
                start_new_session=True,
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                return Outcome(passed=False, by=f"no end after {seconds:.0f} s")
            finally:
                end_group(process)
            output.seek(0)
            return outcome(status, output.read())


@contextmanager
def own_folders() -> Iterator[str]:
    """The argument by which a run of pytest makes its folders in one of its own.

    Else it removes those of other runs at the end, which may take long.
    """
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as folder:
        yield f"--basetemp={folder}"


def outcome(status: int, output: str) -> Outcome:
    if status in (0, _NO_TESTS):
        return Outcome(passed=True, by="")
    if status < 0:
        return Outcome(passed=False, by=signal.Signals(-status).name)
    for line in output.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return Outcome(passed=False, by=line.split(" ")[1])
    return Outcome(passed=False, by=f"pytest ended with status {status}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a run of tests started and left behind, and itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def copy_changed(source: Path, target: Path) -> None:
    """Copy a file if the copy is not there or not the same; a newer time is kept."""
    if source.is_symlink() or not source.exists():
        return
    if not target.exists() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        os.utime(target)
