"""The OCI distribution client: what a registry holds, and putting more into it.

    with RegistryClient() as client:
        repository = client.repository(parse("registry.example/acme/web"))
        fetched = repository.manifest("7")

Owns HTTP, credentials, retries and the verification of every byte that comes in. It knows
of a document only its type, digest and size; what is in it, others read. ``client`` is
its face. httpx is imported by the first request.
"""

from layerscan.registry.client import RegistryClient
from layerscan.registry.options import RegistryOptions
from layerscan.registry.repository import Fetched, Repository

__all__ = ["Fetched", "RegistryClient", "RegistryOptions", "Repository"]
