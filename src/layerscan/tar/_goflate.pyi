"""How long Go's compress/gzip makes a text, to the byte."""

from typing_extensions import Buffer

class GoGzipLength:
    """Adds up one text, without the GIL. Some 700 KiB, however long the text is.

    Each line counts as one write, as of Go's JSON encoder: the result depends on that,
    and not on how the text is cut into pieces.
    """

    def add(self, text: Buffer, /) -> None:
        """Add the next piece."""

    def end(self) -> int:
        """Bytes of the gzip file, at Go's default level; to be asked once, at the end."""
