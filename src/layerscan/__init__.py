"""layerscan: know what every container image layer really costs on disk.

    from layerscan import open_store, scan, walk

    usage = walk("/var/lib/docker/overlay2")    # of any folder
    result = scan(open_store())                 # of every image layer of this machine

Nothing is imported before it is used: the names below load their modules when
they are first asked for.
"""

TYPE_CHECKING = False  # type checkers know the name; importing typing costs 5 ms
if TYPE_CHECKING:
    from layerscan.errors import LayerscanError
    from layerscan.layersmeta import LayerMeta, LayersMeta, merge
    from layerscan.prediction.images import Prediction, predict
    from layerscan.problem import Problem
    from layerscan.scanning.result import LayerCost, Scan
    from layerscan.scanning.scanner import scan
    from layerscan.scanning.selection import Selection, Wanted, want
    from layerscan.sources import open_source
    from layerscan.stores import open_store
    from layerscan.stores.accounting import Accounting
    from layerscan.stores.model import Image, Layer, Store
    from layerscan.walking.table import Kind, block_histogram, file_table, usage_with_block_size
    from layerscan.walking.walker import Progress, Usage, WalkError, walk, walk_many

__version__ = "0.1.0"

_HOME = {
    "Accounting": "stores.accounting",
    "Image": "stores.model",
    "Kind": "walking.table",
    "Layer": "stores.model",
    "LayerCost": "scanning.result",
    "LayerMeta": "layersmeta",
    "LayersMeta": "layersmeta",
    "LayerscanError": "errors",
    "Prediction": "prediction.images",
    "Problem": "problem",
    "Progress": "walking.walker",
    "Scan": "scanning.result",
    "Selection": "scanning.selection",
    "Store": "stores.model",
    "Usage": "walking.walker",
    "WalkError": "walking.walker",
    "Wanted": "scanning.selection",
    "block_histogram": "walking.table",
    "file_table": "walking.table",
    "merge": "layersmeta",
    "open_source": "sources",
    "open_store": "stores",
    "predict": "prediction.images",
    "scan": "scanning.scanner",
    "usage_with_block_size": "walking.table",
    "walk": "walking.walker",
    "walk_many": "walking.walker",
    "want": "scanning.selection",
}

__all__ = [
    "Accounting",
    "Image",
    "Kind",
    "Layer",
    "LayerCost",
    "LayerMeta",
    "LayersMeta",
    "LayerscanError",
    "Prediction",
    "Problem",
    "Progress",
    "Scan",
    "Selection",
    "Store",
    "Usage",
    "WalkError",
    "Wanted",
    "block_histogram",
    "file_table",
    "merge",
    "open_source",
    "open_store",
    "predict",
    "scan",
    "usage_with_block_size",
    "walk",
    "walk_many",
    "want",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # Once each, loaded or not, and nothing that an import left here.
    return sorted([*__all__, "__version__"])
