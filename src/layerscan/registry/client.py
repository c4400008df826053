"""The client: connections and logins that all repositories of a run share."""

import threading
from typing import Self

from layerscan.extras import needed
from layerscan.reference import Reference
from layerscan.registry.endpoint import Endpoint
from layerscan.registry.options import RegistryOptions
from layerscan.registry.repository import Repository
from layerscan.registry.transport import Transport


class RegistryClient:
    """Access to registries; thread-safe. Close it, or use it in a ``with``."""

    def __init__(self, options: RegistryOptions = RegistryOptions()) -> None:  # noqa: B008 - it cannot be changed
        self._transport = Transport(options)
        self._lock = threading.Lock()
        self._endpoints: dict[str, Endpoint] = {}

    def repository(self, reference: Reference) -> Repository:
        """The repository of `reference`, whose tag and digest do not count; nothing is sent yet.

        Raises MissingPackageError where there is no httpx.
        """
        with needed("httpx"):
            import httpx  # noqa: F401 - its use comes later, in many places
        registry = reference.registry
        with self._lock:
            if registry not in self._endpoints:
                self._endpoints[registry] = Endpoint(registry, self._transport)
            return Repository(reference.repository, reference.path, self._endpoints[registry])

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
