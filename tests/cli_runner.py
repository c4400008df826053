"""Running the program as a user does, and the stores that such tests scan."""

import io
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO
from unittest import mock

import layerscan
from layerscan import cli
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import File, Link, Symlink, many
from tests.builders.user import as_nobody

# What would change what the program does, were it in the environment of the tests.
_UNWANTED = (
    "COLUMNS",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "NO_COLOR",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "TERM",
)
OPEN = 0o755
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(layerscan.__file__)))

PROGRAM = ["-W", "error::ResourceWarning", "-m", "layerscan"]


@dataclass(frozen=True)
class Result:
    """How a run ended: its exit status, stdout, and the lines of stderr.

    What was read and written, the last of these lines, is apart: it has the time in it.
    """

    status: int
    out: bytes
    lines: list[str]
    summary: str = field(default="", compare=False)

    @classmethod
    def of(cls, status: int, out: bytes, err: bytes) -> "Result":
        lines = err.decode().splitlines()
        told = [line for line in lines if line.startswith("layerscan: read ")]
        return cls(status, out, [line for line in lines if line not in told], "".join(told))

    @property
    def text(self) -> str:
        return self.out.decode()


def environment(**more: str) -> dict[str, str]:
    """The environment that the program runs in."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
    return {**kept, "PYTHONPATH": _HOME, "TERM": "xterm", **more}


def run(
    *arguments: object,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    cwd: str | os.PathLike[str] | None = None,
) -> Result:
    """Run the program to its end."""
    return python([*PROGRAM, *map(str, arguments)], env=env, stdout=stdout, cwd=cwd)


@contextmanager
def interruptible() -> Iterator[None]:
    """Programs that are started herein heed SIGINT, also if these tests themselves ignore it.

    They do where a shell without job control has put them into the background, and
    an ignored signal stays ignored in programs that are started. One that is caught
    does not, so it is caught here, without any effect.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def python(
    arguments: list[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    cwd: str | os.PathLike[str] | None = None,
) -> Result:
    """Run the interpreter to its end."""
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=240,
    )
    return Result.of(done.returncode, done.stdout or b"", done.stderr)


def shell(script: str, *arguments: object) -> Result:
    """Run a bash script; in it, ``layerscan`` is the program."""
    program = shlex.join([sys.executable, *PROGRAM])
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'layerscan() {{ {program} "$@"; }}\n{script}',
            "bash",
            *map(str, arguments),
        ],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=240,
    )
    return Result.of(done.returncode, done.stdout, done.stderr)


def run_here(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
    """Run the program in this process, for tests that need nothing of a process of its own.

    That takes a fifth of the time, in which an interpreter would start.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with (
            mock.patch.dict(os.environ, environment(**(env or {})), clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                status = cli.main([str(argument) for argument in arguments])
            except SystemExit as end:
                status = int(end.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return Result.of(int(status), out.buffer.getvalue(), err.buffer.getvalue())


def read_terminal(terminal: int) -> bytes:
    """All that is written to a pseudo-terminal until its other end is closed; closes it too."""
    shown = b""
    with open(terminal, "rb", buffering=0) as file:
        try:
            while part := file.read(65536):
                shown += part
        except OSError:
            # How Linux says that the other end is closed.
            pass
    return shown


def run_as_nobody(*arguments: object) -> Result:
    """Run the program as a user without rights: in a fork, the interpreter may be out of reach."""
    # All that it may import, as long as it can be read.
    for module in (
        "_walk",
        "files.writing",
        "layersmeta",
        "scanning.scanner",
        "stores",
        "cli.report",
    ):
        import_module(f"layerscan.{module}")

    def call() -> Result:
        out, err = io.BytesIO(), io.BytesIO()
        sys.stdout = io.TextIOWrapper(out, write_through=True)
        sys.stderr = io.TextIOWrapper(err, write_through=True)
        # The process ends after this, with these streams.
        status = cli.main([str(argument) for argument in arguments])
        return Result.of(int(status), out.getvalue(), err.getvalue())

    return as_nobody(call)


def error(text: object) -> str:
    return f"layerscan: error: {text}"


def warning(text: object) -> str:
    return f"layerscan: warning: {text}"


def undigested(image: str, where: str, *diff_ids: str) -> str:
    """What is said of layers that no chosen image gives a digest; `where` may be empty."""
    count = "layer" if len(diff_ids) == 1 else f"{len(diff_ids)} layers"
    return (
        f"image {image}: {count} without a digest{' in ' if where else ''}{where} (never pushed, "
        f"or pulled when it was here already?), left out of the document: {', '.join(diff_ids)}"
    )


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that every user gets to; pytest's own are for one alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, OPEN)
        yield Path(name)


def let_all_read(store: StoreBuilder) -> None:
    for path, _, files in os.walk(store.root):
        os.chmod(path, OPEN)
        for name in files:
            os.chmod(os.path.join(path, name), 0o644)


@dataclass(frozen=True)
class Fleet:
    """A small store: three images on one base, of two architectures, one never pushed."""

    store: StoreBuilder
    base: BuiltLayer
    web: BuiltLayer
    db: BuiltLayer
    draft: BuiltLayer

    @classmethod
    def build(cls, root: str | os.PathLike[str]) -> "Fleet":
        store = StoreBuilder(root)
        base = store.layer(
            None,
            File("bin/busybox", size=40_000, seed=1),
            Link("bin/sh", "bin/busybox"),
            *many("usr/lib", 20, size=700, seed=2),
            Symlink("lib", "usr/lib"),
        )
        web = store.layer(base, File("web", size=5000, seed=3))
        db = store.layer(base, File("db", size=100_000, seed=4))
        draft = store.layer(web, File("draft", size=10))
        store.image(
            [base, web],
            names=["hub.foundries.io/acme/web:7", "acme/web:7"],
            pushed={"hub.foundries.io/acme/web": None, "docker.io/acme/web": None},
        )
        store.image(
            [base, db],
            names=["nginx:1.25"],
            pushed={"docker.io/library/nginx": None},
            architecture="arm64",
        )
        store.image([base, web, draft], names=["draft:latest"])
        return cls(store, base, web, db, draft)

    @property
    def never_pushed(self) -> str:
        """The warning of the image that was never pushed, where all images are chosen."""
        return warning(undigested("draft:latest", "docker.io/library/draft", self.draft.diff_id))


def expected_usage(store: StoreBuilder, layer: BuiltLayer) -> int:
    """What the replaced script says: ``du -sk`` of the folder, and the tar-split's length."""
    folder = store.folder_path(layer)
    done = subprocess.run(["du", "-sk", folder], check=True, capture_output=True)
    tar_split = os.stat(store.layer_path(layer, "tar-split.json.gz")).st_size
    return int(done.stdout.split()[0]) * 1024 + tar_split
