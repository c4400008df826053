"""Authorisation at one registry: tokens and passwords, asked for when it wants them.

Owns the token protocol of distribution ("Token Authentication Specification",
and its OAuth2 form for identity tokens), and when a token is good no more.
"""

import base64
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from layerscan import jsondoc
from layerscan.errors import DocumentError, RegistryError
from layerscan.jsondoc import Place
from layerscan.registry.challenge import Challenge, parse_challenges
from layerscan.registry.faults import refusal
from layerscan.registry.login import Login, Secret
from layerscan.registry.pace import Deadline
from layerscan.registry.redaction import redacted
from layerscan.registry.retry import retry_after
from layerscan.registry.transport import Answer, Request
from layerscan.registry.verify import read_body, read_error
from layerscan.text import printable

_CLIENT = "layerscan"
_LONGEST_TOKEN_ANSWER = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_SHORTEST_LIFE = 60  # seconds that a token lives where its service does not say, or says less
_MARGIN = 10  # seconds before its end from which a token is used no more
_LONG = 8  # characters of what is sent: tokens, and names with passwords in base64
_FORM = "application/x-www-form-urlencoded"


class _Token(NamedTuple):
    secret: Secret
    good_until: float


class Authorizer:
    """What one registry is shown so that it answers; thread-safe.

    Scopes begin with that of the repository which a request is about; its credentials are
    used. `send` makes requests to token services, with a header Authorization. `find_login`
    gives the credentials for a repository: it is called once for each, when they are needed.
    """

    def __init__(
        self,
        registry: str,
        send: Callable[[Request, str | None], AbstractContextManager[Answer]],
        find_login: Callable[[str], Login | None],
    ) -> None:
        self._registry = registry
        self._send = send
        self._find_login = find_login
        self._lock = threading.Lock()
        self._logins: dict[str, Login | None] = {}
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._identities: dict[Login, Secret] = {}
        self._secrets: set[str] = set()

    def current(self, scopes: tuple[str, ...]) -> str | None:
        """The header Authorization for `scopes`, as far as it is known what is wanted."""
        with self._lock:
            if self._challenge is None:
                return None
            return self._header(self._challenge, scopes)

    def renewed(self, answer: Answer, scopes: tuple[str, ...], used: str | None) -> str | None:
        """Another header in place of `used`, which was refused with `answer`; None for no other."""
        challenge = _choose(parse_challenges(answer.response.headers.get_list("WWW-Authenticate")))
        with self._lock:
            if challenge is None:
                return None
            _check_realm(challenge, answer, self._registry)
            self._challenge = challenge
            token = self._tokens.get(scopes)
            # Another thread may have renewed it meanwhile.
            if token is not None and _bearer(token.secret) == used:
                del self._tokens[scopes]
            header = self._header(challenge, scopes)
            return None if header == used else header

    def denied(self, scopes: tuple[str, ...]) -> str:
        """Why there may be no access, for a message."""
        with self._lock:
            login = self._logins.get(_repository(scopes))
        if login is None:
            return f"there are no credentials for {self._registry}: 'docker login' stores some"
        user = "an identity token" if login.is_identity_token else f"user {printable(login.user)}"
        return f"the credentials are those of {user} from {login.source}"

    def redacted(self, text: str) -> str:
        """`text`, a server's own words, without the secrets of this registry."""
        # The longest first: what is left of one after a shorter one would be shown.
        return redacted(text, sorted(self._secrets, key=len, reverse=True))

    def redacted_message(self, text: str) -> str:
        """The same of a whole message, in which a short secret may be a word of ours."""
        return redacted(text, (one for one in self._secrets if len(one) >= _LONG))

    # What follows is called with the lock held.

    def _header(self, challenge: Challenge, scopes: tuple[str, ...]) -> str | None:
        if challenge.scheme == "basic":
            login = self._get_login(scopes)
            if login is None or login.is_identity_token:
                return None
            return self._basic(login)
        token = self._tokens.get(scopes)
        if token is None or token.good_until < time.monotonic():
            token = self._tokens[scopes] = self._new_token(challenge, scopes)
        return _bearer(token.secret)

    def _get_login(self, scopes: tuple[str, ...]) -> Login | None:
        repository = _repository(scopes)
        if repository not in self._logins:
            login = self._logins[repository] = self._find_login(repository)
            if login is not None:
                self._hide(login.secret.reveal())
        return self._logins[repository]

    def _basic(self, login: Login) -> str:
        pair = f"{login.user}:{login.secret.reveal()}"
        encoded = base64.b64encode(pair.encode()).decode()
        self._hide(encoded)
        return f"Basic {encoded}"

    def _hide(self, secret: str) -> None:
        # An empty text is everywhere.
        if secret:
            self._secrets = {*self._secrets, secret}

    def _new_token(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        login = self._get_login(scopes)
        request, authorization = self._token_request(challenge, scopes, login)
        where = f"{self._registry}: token service {printable(urlsplit(request.url).netloc)}"
        deadline = Deadline(where)
        with self._send(request, authorization) as answer:
            if answer.status != HTTPStatus.OK:
                raise self._token_refusal(answer, where, login)
            raw = read_body(answer.response, where, limit=_LONGEST_TOKEN_ANSWER, deadline=deadline)
        return self._token(raw, where, login)

    def _token_request(
        self, challenge: Challenge, scopes: tuple[str, ...], login: Login | None
    ) -> tuple[Request, str | None]:
        realm = challenge.parameters["realm"]
        service = challenge.parameters.get("service")
        query = [("service", service)] if service else []
        if login is not None and login.is_identity_token:
            identity = self._identities.get(login, login.secret)
            query += [
                ("scope", " ".join(scopes)),
                ("client_id", _CLIENT),
                ("grant_type", "refresh_token"),
                ("refresh_token", identity.reveal()),
            ]
            body = urlencode(query).encode()
            headers = {"Content-Type": _FORM, "Content-Length": str(len(body))}
            return Request("POST", realm, headers, lambda: [body], stays=True), None
        query += [("scope", scope) for scope in scopes]
        url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
        return Request("GET", url), None if login is None else self._basic(login)

    def _token_refusal(self, answer: Answer, where: str, login: Login | None) -> RegistryError:
        delay = retry_after(answer.header("Retry-After"))
        body = read_error(answer.response)
        hint = f": the credentials are refused (those from {login.source})" if login else ""
        return refusal(where, answer.status, body, delay=delay, redacted=self.redacted, hint=hint)

    def _token(self, raw: bytes, where: str, login: Login | None) -> _Token:
        place = Place(where)
        try:
            document = jsondoc.mapping(jsondoc.decode(raw, where, as_go=True), place)
            name = "token" if "token" in document else "access_token"
            text = jsondoc.text(document, name, place)
            life = max(_SHORTEST_LIFE, jsondoc.integer(document, "expires_in", place, 0))
            identity = jsondoc.text(document, "refresh_token", place, "")
        except DocumentError as error:
            raise RegistryError(str(error)) from None
        if not _TOKEN.fullmatch(text):
            raise RegistryError(f"{where}: gives a token that is not valid")
        self._hide(text)
        if identity:
            self._hide(identity)
            if login is not None and login.is_identity_token:
                self._identities[login] = Secret(identity)
        return _Token(Secret(text), time.monotonic() + life - _MARGIN)


def _repository(scopes: tuple[str, ...]) -> str:
    """The path of the repository that `scopes` begin with (``repository:PATH:ACTIONS``)."""
    return scopes[0].split(":")[1]


def _bearer(secret: Secret) -> str:
    return f"Bearer {secret.reveal()}"


def _choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """The challenge that can be met; a token before a password."""
    for challenge in challenges:
        if challenge.scheme == "bearer" and "realm" in challenge.parameters:
            return challenge
    return next((one for one in challenges if one.scheme == "basic"), None)


def _check_realm(challenge: Challenge, answer: Answer, registry: str) -> None:
    """Refuse to send a password to a token service that is no fit place for it."""
    if challenge.scheme != "bearer":
        return
    realm = challenge.parameters["realm"]
    try:
        parts = urlsplit(realm)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        what = f"that has no address: {printable(realm)}"
    elif parts.scheme == "http" and answer.response.url.scheme == "https":
        what = f"without TLS: {printable(parts.hostname)}"
    else:
        return
    raise RegistryError(f"{registry}: names a token service {what}")
