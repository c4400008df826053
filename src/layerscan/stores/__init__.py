"""Image stores on disk, and finding the one that is meant.

``kinds`` says which kinds of stores there are. What is in a store, the package of its kind
knows; where engines keep theirs, ``places``; which one is taken, ``detection``.
"""

from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError
from layerscan.stores.kinds import AUTO, KINDS

if TYPE_CHECKING:
    from layerscan.stores.detection import FoundStore
    from layerscan.stores.model import Store

__all__ = ["AUTO", "KINDS", "list_stores", "open_store"]


def open_store(
    kind: str = AUTO,
    root: str | None = None,
    *,
    exact: bool = False,
    namespace: str | None = None,
    platform: str | None = None,
) -> "Store":
    """Open an image store.

    Args:
        kind: one of `KINDS`, or ``auto`` for the one that is there. Of several, it is the
            one with images.
        root: the store's folder, by default where its engine keeps it.
        exact: also find what the exact accounting rule needs.
        namespace: of a containerd store, whose images.
        platform: of a containerd store, only images for this platform.

    Raises:
        LayerscanError: no such kind, or one that does not take an option given.
        StoreError: there is no such store, or there are several with images;
            the message says what was looked at.
    """
    from layerscan.stores.detection import at, choose_store, find, opened

    if kind != AUTO and kind not in KINDS:
        names = ", ".join((AUTO, *KINDS))
        raise LayerscanError(f"no such store: {kind[:80]!r}; there are {names}")
    kinds = {name: each for name, each in KINDS.items() if kind in (AUTO, name)}
    options: dict[str, object] = {"exact": exact}
    for option, value in {"namespace": namespace, "platform": platform}.items():
        if value is None:
            continue
        options[option] = value
        taking = [name for name, each in KINDS.items() if option in each.takes]
        kinds = {name: each for name, each in kinds.items() if name in taking}
        if not kinds:
            raise LayerscanError(f"--{option} is for stores of kind {', '.join(taking)} only")
    if kind != AUTO and root is not None:
        return opened(kinds[kind], at(kinds[kind], root), options)
    return choose_store(find(kinds, options, root), named=root is not None)


def list_stores() -> "list[FoundStore]":
    """What is at each place where a store may be, other users' stores included."""
    from layerscan.stores.detection import find

    return find(KINDS, {"exact": False}, everyone=True)
