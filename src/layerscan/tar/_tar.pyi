"""The tar scanner: from the bytes of a layer to the tree that they make."""

from layerscan.tar.tree import LayerTree

class TarFault(Exception):  # noqa: N818
    """The stream is no tar, is damaged, or is nothing that an engine can unpack.

    Its text says what and at which byte of the stream, without naming the layer.
    """

class TarScanner:
    """Reads one layer's tar stream and keeps what unpacking it would make.

    Content is skipped, not copied. One thread at a time may use it. With `tar_split` it
    makes a document as long as the one that Docker and containers/storage keep.
    """

    def __init__(self, *, tar_split: bool = False) -> None: ...
    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Read the next bytes of the stream, without the GIL.

        Raises:
            TarFault: the stream is refused; the scanner is then of no more use.
            MemoryError: there is no memory for the tree.
        """

    def skip(self, length: int, *, checksum: int | None = None) -> None:
        """Pass over `length` bytes of content that are not at hand.

        `checksum` is for the tar-split document: 64 bits that equal content has in common
        up to their end; without, it gets digits that no other entry has.

        Raises:
            OverflowError: `checksum` does not fit into 64 bits.
            TarFault: the stream is not amid so much content.
        """

    @property
    def repeated(self) -> str:
        """The first path that has come twice, fit for a message; empty if none has.

        Only a scanner that makes the tar-split document knows: who keeps one refuses
        such a stream (vbatts/tar-split, tar/storage/packer.go).
        """

    def take_tar_split(self) -> bytes:
        """What has been added to the tar-split document (JSON) since the last call."""

    def finish(self) -> LayerTree:
        """End the stream; a `TarFault` if it ends within an entry."""
