"""Credential helpers: the programs ``docker-credential-NAME`` and their protocol.

What they print may be secret: no message has any of it.
"""

import re
import subprocess

from layerscan import jsondoc
from layerscan.errors import RegistryError
from layerscan.jsondoc import Place
from layerscan.registry.login import Login, Secret

HELPER_SECONDS = 60.0  # how long a credential helper may take; it may ask somebody
_LONGEST_ANSWER = 1 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_NOT_FOUND = b"credentials not found"
_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 - Docker's name for it


def ask_helper(name: str, key: str, place: Place, source: str) -> Login | None:
    """What the helper that `source` calls `name` at `place` knows of `key`, None for nothing."""
    if not _HELPER_NAME.fullmatch(name):
        raise place.fault("is no name of a credential helper")
    program = f"docker-credential-{name}"
    fault = f"credentials of {key}: {program}"
    try:
        done = subprocess.run(
            [program, "get"],
            check=False,
            input=key.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=HELPER_SECONDS,
        )
    except FileNotFoundError:
        raise RegistryError(
            f"credentials of {key}: {source} names {program}, which is not on PATH"
        ) from None
    except OSError as error:
        raise RegistryError(f"{fault} cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise RegistryError(f"{fault} does not answer in {HELPER_SECONDS:g} seconds") from None
    if done.returncode == 0:
        return _answer(done.stdout, program)
    if _NOT_FOUND in done.stdout:
        return None
    raise RegistryError(
        f"{fault} fails with exit status {done.returncode}; 'echo {key} | {program} get' shows why"
    )


def _answer(raw: bytes, program: str) -> Login | None:
    place = Place(program)
    if len(raw) > _LONGEST_ANSWER:
        raise place.fault(f"is longer than {_LONGEST_ANSWER} bytes")
    document = jsondoc.mapping(jsondoc.decode(raw, program, as_go=True), place)
    user = jsondoc.text(document, "Username", place, "")
    if not user:
        return None
    secret = Secret(jsondoc.text(document, "Secret", place))
    is_token = user == _IDENTITY_TOKEN_USER
    return Login("" if is_token else user, secret, is_identity_token=is_token, source=program)
