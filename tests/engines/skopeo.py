"""skopeo, which tells what really is in a registry, and other programs of that kind."""

from __future__ import annotations

from tests.engines import engine

SKOPEO = ("skopeo", "--insecure-policy")
SECONDS = 60.0


def call(*argv: object) -> bytes:
    """Run a program to its end; what it printed.

    Raises:
        EngineError: with all that it printed, if it failed.
    """
    return engine.run([str(word) for word in argv], seconds=SECONDS)


def skopeo(*argv: object) -> bytes:
    """Run ``skopeo ARGV``, as `call` does."""
    return call(*SKOPEO, *argv)


def raw(reference: str) -> bytes:
    """The manifest under a name in a registry of the loopback interface, byte for byte."""
    return skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{reference}")
