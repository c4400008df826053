"""The header WWW-Authenticate of a registry; what is malformed in it is passed over."""

from __future__ import annotations

from layerscan.registry.challenge import parse_challenges

LONGEST = 4 * 1024


def run(data: bytes) -> None:
    header = data.decode("latin-1")
    for challenge in parse_challenges([header]):
        assert challenge.scheme
        assert challenge.scheme == challenge.scheme.lower()
        assert all(name == name.lower() for name in challenge.parameters)
