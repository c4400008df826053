"""Credentials for registries, where Docker keeps them.

Owns Docker's ``config.json`` so far as it says how to log in to a registry
(``auths``, ``credHelpers``, ``credsStore``), and the protocol of the programs
``docker-credential-NAME``. It never writes, and no secret is in any message.
"""

import base64
import binascii
import os
import re
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.errors import DocumentError, RegistryError
from layerscan.jsondoc import Place
from layerscan.reference import DEFAULT_REGISTRY

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's file and helpers call docker.io."""

HELPER_SECONDS = 60.0
"""How long a credential helper may take; it may ask somebody."""

_LONGEST_CONFIG = 1 << 20
_LONGEST_ANSWER = 1 << 20
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_NOT_FOUND = b"credentials not found"
_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 - Docker's name for it
_API_PATHS = ("", "/", "/v1", "/v1/", "/v2", "/v2/")


class Secret:
    """A text that shows itself only when it is asked to."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


class Login(NamedTuple):
    """How to log in to a registry.

    Attributes:
        user: the user's name; empty with an identity token.
        secret: the password, or an identity token.
        is_identity_token: which of both: such a token is exchanged for others.
        source: where it is from, for messages.
    """

    user: str
    secret: Secret
    is_identity_token: bool
    source: str


def config_path(environment: Mapping[str, str] | None = None) -> str:
    """Where Docker's configuration of this user is."""
    variables = os.environ if environment is None else environment
    folder = variables.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return os.path.join(folder, "config.json")


def find_login(registry: str, path: str) -> Login | None:
    """How to log in to `registry`, as the configuration `path` says; None for no way.

    Args:
        registry: host and port as references have them; ``docker.io`` for that one.
        path: of ``config.json``; it need not be there.

    Raises:
        RegistryError: the configuration or a helper's answer cannot be used.
    """
    key = DOCKER_HUB_KEY if registry == DEFAULT_REGISTRY else registry
    try:
        config = _read_config(path)
        if config is None:
            return None
        place = Place(path)
        helper = _helper(config, registry, key, place)
        found = None if helper is None else _ask(helper, key)
        return found or _stored(config, registry, key, place)
    except DocumentError as error:
        raise RegistryError(f"credentials of {registry}: {error}") from None


def _read_config(path: str) -> dict[str, object] | None:
    if not os.path.exists(path):
        return None
    raw = jsondoc.read_file(path, _LONGEST_CONFIG)
    return jsondoc.mapping(jsondoc.decode(raw, path), Place(path))


def _table(config: dict[str, object], key: str, place: Place) -> dict[str, object]:
    value = config.get(key)
    return {} if value is None else jsondoc.mapping(value, place.key(key))


# The file itself.


def _stored(config: dict[str, object], registry: str, key: str, place: Place) -> Login | None:
    auths = _table(config, "auths", place)
    found = key if key in auths else next((k for k in sorted(auths) if _host(k) == registry), None)
    if found is None:
        return None
    at = place.key("auths").key(found)
    entry = jsondoc.mapping(auths[found], at)
    token = jsondoc.text(entry, "identitytoken", at, "")
    if token:
        return Login("", Secret(token), is_identity_token=True, source=place.source)
    encoded = jsondoc.text(entry, "auth", at, "")
    if encoded:
        user, password = _decode(encoded, at.key("auth"))
    else:
        user = jsondoc.text(entry, "username", at, "")
        password = jsondoc.text(entry, "password", at, "")
    if not user:
        # Docker leaves an empty entry where a helper has the rest.
        return None
    return Login(user, Secret(password), is_identity_token=False, source=place.source)


def _host(key: str) -> str | None:
    """The registry that a key of ``auths`` is about, None if it is about a part of one."""
    host = re.sub(r"^https?://", "", key)
    name, slash, path = host.partition("/")
    if slash + path not in _API_PATHS:
        return None
    return name


def _decode(encoded: str, place: Place) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise place.fault("is no base64 of UTF-8 text: log in again") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise place.fault("is not of the form user:password: log in again")
    # Docker pads it so.
    return user, password.rstrip("\0")


# Helpers.


def _helper(config: dict[str, object], registry: str, key: str, place: Place) -> str | None:
    helpers = _table(config, "credHelpers", place)
    at = place.key("credHelpers")
    for name in (registry, key):
        if name in helpers:
            return _checked(jsondoc.text(helpers, name, at), at.key(name))
    store = jsondoc.text(config, "credsStore", place, "")
    return _checked(store, place.key("credsStore")) if store else None


def _checked(name: str, place: Place) -> str:
    if not _HELPER_NAME.fullmatch(name):
        raise place.fault("is no name of a credential helper")
    return f"docker-credential-{name}"


def _ask(program: str, key: str) -> Login | None:
    """What the helper `program` knows of `key`; what it prints may be secret."""
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
            f"credentials of {key}: Docker's configuration names {program}, which is not on PATH"
        ) from None
    except OSError as error:
        raise RegistryError(
            f"credentials of {key}: {program} cannot be run: {error.strerror}"
        ) from None
    except subprocess.TimeoutExpired:
        raise RegistryError(
            f"credentials of {key}: {program} does not answer in {HELPER_SECONDS:g} seconds"
        ) from None
    if done.returncode != 0:
        if _NOT_FOUND in done.stdout:
            return None
        raise RegistryError(
            f"credentials of {key}: {program} fails with exit status {done.returncode}; "
            f"'echo {key} | {program} get' shows why"
        )
    return _answer(done.stdout, program)


def _answer(raw: bytes, program: str) -> Login | None:
    place = Place(program)
    if len(raw) > _LONGEST_ANSWER:
        raise place.fault(f"is longer than {_LONGEST_ANSWER} bytes")
    document = jsondoc.mapping(jsondoc.decode(raw, program), place)
    user = jsondoc.text(document, "Username", place)
    secret = Secret(jsondoc.text(document, "Secret", place))
    if not user:
        return None
    is_token = user == _IDENTITY_TOKEN_USER
    return Login("" if is_token else user, secret, is_identity_token=is_token, source=program)
