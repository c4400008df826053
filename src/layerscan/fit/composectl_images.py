"""Which images of an index composectl counts."""

from layerscan.oci import INDEX_TYPES, Descriptor, Index, Manifest, Platform, platforms
from layerscan.oci.matchers import Matcher, UnusableIndexError


class ImagesOfIndex(Matcher):
    """The images that the client takes of an index; see `layerscan.oci.matchers.Matcher`.

    It takes every entry whose platform is the device's, word for word once other names
    for the same are made one, and takes it for a manifest. An index that does not say
    its media type it takes for one that skopeo cut down, of which every entry counts.
    """

    def __init__(self, architecture: str, variant: str = "") -> None:
        self._platform = platforms.normalized(Platform(architecture, "linux", variant))

    def takes_top(self, document: Manifest | Index) -> bool:
        """What a service names counts, whatever it is."""
        if isinstance(document, Manifest) and not document.says_type:
            raise UnusableIndexError(
                "composectl cannot read this manifest: it does not say its media type"
            )
        return True

    def takes_entry(self, entry: Descriptor, index: Index) -> bool:
        """Whether an entry is for the device; an index that ends the client is refused."""
        if index.says_type and entry.platform is None:
            raise UnusableIndexError(
                f"composectl cannot read this index: its entry {entry.digest} has no platform; "
                "push the image again with platforms"
            )
        taken = not index.says_type or (entry.platform is not None and self.takes(entry.platform))
        if taken and entry.media_type in INDEX_TYPES:
            raise UnusableIndexError(
                f"composectl cannot read this index: its entry {entry.digest} is an index itself; "
                "push the image again as one index"
            )
        return taken

    def takes(self, platform: Platform) -> bool:
        """Whether an image for `platform` is for the device."""
        return platforms.normalized(platform) == self._platform
