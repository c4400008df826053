"""A hash that two threads compute: who gives the data, and who has time for it."""

import threading
from collections import deque

from layerscan import digest as digests


class SharedHash:
    """The hash of chunks, in the order in which one thread gives them.

    It is of the algorithm of `digest`. At `most` so many chunks wait for the other thread,
    which bounds the memory.
    """

    def __init__(self, digest: str, most: int) -> None:
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._hash = digests.hashing(digest)
        self._lock = threading.Lock()

    def update(self, chunk: bytes, /) -> None:
        """Give the next chunk. It is hashed here only if too many wait."""
        self._waiting.append(chunk)
        while len(self._waiting) > self._most:
            self.catch_up()

    def catch_up(self) -> bool:
        """Hash the chunk that waits longest, in any thread; False if none waits."""
        with self._lock:
            if not self._waiting:
                return False
            self._hash.update(self._waiting.popleft())
            return True

    def hexdigest(self) -> str:
        """The digest of all that was given."""
        while self.catch_up():
            pass
        return self._hash.hexdigest()
