"""The header WWW-Authenticate: what a server wants to see before it answers.

Owns the grammar (RFC 9110, section 11.6.1). A header may have several challenges, and
commas stand between them, between their parameters, and inside quoted values.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_BETWEEN = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(
    rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")(?=[ \t]*(?:,|$))'
)
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+|(?=,)|$)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$))")
_LONGEST = 16 * 1024


class Challenge(NamedTuple):
    """One way to authenticate; all names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of an answer, in order; what is malformed ends its header."""
    return [challenge for header in headers for challenge in _parse(header[:_LONGEST])]


def _parse(header: str) -> list[Challenge]:
    found: list[tuple[str, dict[str, str]]] = []
    position = _end(_BETWEEN.match(header))
    while position < len(header):
        parameter = _PARAMETER.match(header, position) if found else None
        if parameter is not None:
            name, plain, quoted = parameter.groups()
            value = plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
            position = parameter.end()
        else:
            scheme = _SCHEME.match(header, position)
            if scheme is None:
                break
            found.append((scheme[1].lower(), {}))
            position = scheme.end()
            # Of schemes such as Negotiate, that nobody here speaks.
            if _PARAMETER.match(header, position) is None:
                position = max(position, _end(_TOKEN68.match(header, position)))
        position = max(position, _end(_BETWEEN.match(header, position)))
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _end(match: "re.Match[str] | None") -> int:
    return 0 if match is None else match.end()
