"""The library in a second interpreter of the same process, as mod_wsgi has them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import layerscan
from tests.requirements import require

if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = """
from array import array
import layerscan
from layerscan.prediction.filesystems._htree import indexed_blocks
from layerscan.stores.containerd import _bolt
from layerscan.tar import _tar
assert layerscan.walk({path!r}).files == {files}
arrays = array("i", [264] * 99), array("q", [0, 99]), array("d", [0])
indexed_blocks(
    *arrays, linear_room=4072, leaf_room=4096, block_size=4096, root_limit=508, node_limit=511,
    trials=1,
)
assert arrays[2][0] > 6
"""


def interpreters() -> ModuleType | None:
    """The module that makes them: it has another name in each version of Python."""
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def test_it_is_imported_and_walks_in_each(tmp_path: object) -> None:
    module = interpreters()
    require(module is not None, "this Python makes no further interpreters from Python")
    assert module is not None
    path = str(tmp_path)
    files = layerscan.walk(path).files
    for _ in range(3):
        # With the GIL of the first.
        one = module.create("legacy") if module.__name__ == "_interpreters" else module.create()
        failed = module.run_string(one, PROGRAM.format(path=path, files=files))
        module.destroy(one)
        assert failed is None
