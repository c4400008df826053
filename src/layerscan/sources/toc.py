"""What is in a layer, read from its table of contents instead of all of it.

Owns which layers have one. A table is taken only if the image's manifest has its digest, so
that it is the one that the image's maker wrote. Whether it is true, only the layer can tell.
On a `TableFault` or the scanner's `TarFault`, `layerscan.prediction` reads the layer instead.
"""

from layerscan.sources import toc_estargz, toc_zstd_chunked
from layerscan.sources.model import Source, SourceLayer
from layerscan.sources.toc_model import Content, TableFault, TableOfContents

__all__ = ["Content", "TableFault", "TableOfContents", "table_of_contents"]


def table_of_contents(source: Source, layer: SourceLayer) -> TableOfContents | None:
    """The table of contents of a layer.

    None where its manifest has the digest of none, or the source gives no parts of it: only
    registries do. Raises TableFault where it must have one that cannot be used.
    """
    given = toc_zstd_chunked.annotations(layer)
    # A converter may give a layer of this form the other's annotation, too.
    if given:
        return toc_zstd_chunked.read(source, layer, given)
    if toc_estargz.DIGEST in layer.annotations:
        return toc_estargz.read(source, layer)
    return None
