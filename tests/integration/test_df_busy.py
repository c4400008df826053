"""``df`` beside an engine at work: nothing that is in use is called nobody's."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from layerscan.stores.holdings import Category
from tests.builders.tree import many
from tests.conftest import build_base, require_programs
from tests.engines import trixie as trixie_engine
from tests.engines.docker import Docker
from tests.engines.engine import EngineError
from tests.engines.images import Image, add, write_context
from tests.engines.trixie import TrixieDocker
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layerscan.ledger.model import Ledger
    from layerscan.stores.holdings import Holding
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root, pytest.mark.slow]

SECONDS = 60
HELD = (Category.IMAGES, Category.CONTAINERS, Category.VOLUMES, Category.BUILD_CACHE)


class Busy:
    """An engine, and threads that keep it at work."""

    def __init__(self, engine: Docker | TrixieDocker, names: list[str], folder: Path) -> None:
        self.engine = engine
        self.names = names
        self.folder = folder
        self.over = threading.Event()
        self.done: dict[str, int] = {}
        base = (folder / "base.tar").read_bytes()
        engine.run("import", "--change", 'CMD ["sh"]', "-", "base:1", stdin=base)

    def stock(self) -> Ledger:
        root = self.engine.data_root
        if isinstance(self.engine, TrixieDocker):
            return take_stock(open_store("containerd", f"{root}/containerd/daemon"), min_age=0)
        return take_stock(open_store("overlay2", root), min_age=0)

    def look(self) -> tuple[dict[str, Holding], set[str]]:
        """What is nobody's, by path, and the paths of all that is somebody's."""
        nobodys: dict[str, Holding] = {}
        others: set[str] = set()
        for item in self.stock().items:
            if item.holding.category is Category.UNREFERENCED and item.holding.paths:
                nobodys[item.holding.paths[0]] = item.holding
            elif item.holding.category in HELD:
                others.update(item.holding.paths)
        return nobodys, others

    def run(self, *command: str, buildkit: bool | None = None) -> None:
        """Run a command of the engine; others may have got in its way."""
        with contextlib.suppress(EngineError):
            self.engine.run(*command, buildkit=buildkit)
            self.done[command[0]] = self.done.get(command[0], 0) + 1

    def pull(self, chance: random.Random) -> None:
        name = chance.choice(self.names)
        self.run("pull", name)
        time.sleep(chance.random() / 2)
        self.run("rmi", "--force", name)

    def build(self, chance: random.Random) -> None:
        folder = self.folder / f"build{threading.get_ident()}"
        folder.mkdir(exist_ok=True)
        number = chance.randrange(5000)
        (folder / "Dockerfile").write_text(
            f"FROM base:1\nRUN dd if=/dev/zero of=/x bs=1024 count={number} && sleep 0.3\n"
            f"RUN echo {number} > /y\n"
        )
        by_buildkit = isinstance(self.engine, TrixieDocker) or chance.random() < 0.5
        tag = f"build{number % 3}:1"
        command = ("build", "--network", "none", "--quiet", "--tag", tag, str(folder))
        self.run(*command, buildkit=by_buildkit)
        self.run("image", "prune", "--force")
        if number % 4 == 0:
            self.run("builder", "prune", "--all", "--force")

    def container(self, _chance: random.Random) -> None:
        script = "dd if=/dev/zero of=/x bs=1024 count=2000; sleep 0.2"
        self.run(
            *("run", "--rm", "--network", "none", "--volume", "/anonymous", "base:1"),
            *("sh", "-c", script),
        )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        def keep_on(work: Callable[[random.Random], None], seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311 - of no secrets
            while not self.over.is_set():
                work(chance)

        works = (self.pull, self.pull, self.build, self.build, self.container)
        threads = [
            threading.Thread(target=keep_on, args=(work, seed)) for seed, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


@pytest.fixture(params=["overlay2", "containerd"])
def busy(
    request: pytest.FixtureRequest, docker: Docker, registry: Registry, tmp_path: Path
) -> Iterator[Busy]:
    base = build_base(docker, tmp_path)
    names = []
    for number in range(3):
        steps = tuple(
            add(*many(f"d{step}", 400, size=20_000, seed=3 * number + step)) for step in range(3)
        )
        name = f"{registry.address}/busy/image{number}:1"
        context = write_context(Image(f"image{number}", steps, base), tmp_path / f"image{number}")
        docker.build(context, name)
        docker.push(name)
        docker.run("rmi", name)
        names.append(name)
    container = docker.run("create", "--network", "none", base, "sh")
    docker.run("export", "--output", str(tmp_path / "base.tar"), container)
    docker.run("rm", container)
    require_root()
    if request.param == "containerd":
        require_programs(*trixie_engine.PROGRAMS)
        with TrixieDocker() as trixie:
            yield Busy(trixie, names, tmp_path)
    else:
        with Docker() as engine:
            yield Busy(engine, names, tmp_path)


def test_nothing_in_use_is_called_nobodys(busy: Busy) -> None:
    told: dict[str, Holding] = {}
    looks = 0
    with busy.working():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            nobodys, others = busy.look()
            # What has the name of its content may be pulled once more before it is collected.
            again = {one for one in told.keys() & others if "sha256:" not in told[one].key}
            assert {path: told[path] for path in again} == {}
            told |= nobodys
            looks += 1
    print(looks, len(told), busy.done)
    assert looks > 10
    assert {"pull", "rmi", "build", "run"} <= busy.done.keys()
    if isinstance(busy.engine, Docker):
        # Docker collects nothing: it is there still, and nobody's still.
        assert told.keys() <= busy.look()[0].keys()
