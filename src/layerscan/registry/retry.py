"""When to try again, and how long to wait before it.

Owns the waiting only; what may be tried again is for `faults` to say.
"""

import random
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from layerscan.errors import RegistryError
from layerscan.registry.faults import TemporaryError
from layerscan.registry.pace import FLOOR

ATTEMPTS = 5  # how often a request is made before it is given up
FIRST_DELAY = 0.5  # seconds before the second attempt; each further one waits twice as long
LONGEST_DELAY = 60.0  # seconds of the longest wait, also where Retry-After asks for more


class Waits:
    """The waits between the attempts of one request, or of a transfer; `stop` ends them."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._failed = 0
        self._position = 0
        self.begin()

    def begin(self) -> None:
        """Begin an attempt of a transfer."""
        self._since = time.monotonic()

    def reached(self, position: int) -> None:
        """Count anew if the attempt has come so far to `position` that it pays to go on."""
        more, seconds = position - self._position, time.monotonic() - self._since
        self._position = max(position, self._position)
        if more > 0 and more >= FLOOR * seconds:
            self._failed = 0

    def wait(self, fault: TemporaryError) -> None:
        """Wait until the next attempt.

        Raises RegistryError if there is to be none: so often it was tried, or all is over.
        """
        self._failed += 1
        if self._failed >= ATTEMPTS:
            raise RegistryError(f"{fault} (tried {self._failed} times)") from None
        delay = fault.delay
        if delay is None:
            # Spread, so that clients which failed together do not return together.
            delay = FIRST_DELAY * 2 ** (self._failed - 1) * random.uniform(0.5, 1)  # noqa: S311
        if self._stop.wait(min(delay, LONGEST_DELAY)):
            raise RegistryError(f"{fault} (given up)") from None


def retry_after(text: str | None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3), None for nothing."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
