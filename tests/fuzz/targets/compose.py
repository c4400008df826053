"""The services of a Compose file."""

from __future__ import annotations

from layerscan.apps.compose import read_services
from layerscan.errors import ComposeError
from tests.fuzz.outcome import Refused, outcome

LONGEST = 8 * 1024


def run(data: bytes) -> None:
    text = data.decode(errors="replace")
    services = outcome(lambda: read_services(text, "f.yml"), ComposeError)
    if not isinstance(services, Refused):
        names = [service.name for service in services]
        assert names
        assert names == sorted(set(names))
        assert all(service.line >= 1 for service in services)
