"""Secrets in what a server says: taken out, however it writes them.

A server that repeats a request, in an error or a header, repeats its secrets: as they
were sent, encoded for a URL, JSON or HTML, or cut short.
"""

from collections.abc import Iterable

_LEAST = 8  # characters of a secret's beginning that give it away; of a shorter one, all
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def redacted(text: str, secrets: Iterable[str]) -> str:
    """`text` with an ellipsis in place of each of `secrets` that is in it."""
    for secret in secrets:
        if secret:
            text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    kept, at, least = [], 0, min(_LEAST, len(secret))
    # Most texts have nothing of it: then no character is looked at twice.
    starts = tuple(form[0].lower() for form in _forms(secret[0]))
    lowered = _lower(text)
    while at < len(text):
        end = _end(lowered, at, secret, least) if lowered[at] in starts else None
        if end is None:
            kept.append(text[at])
            at += 1
        else:
            kept.append("…")
            at = end
    return "".join(kept)


def _end(lowered: str, at: int, secret: str, least: int) -> int | None:
    """Where the secret ends that begins at `at`, or what is there of it; None for nothing."""
    # One text can be read in several ways: two backslashes are two characters, or one in JSON.
    ends, matched = {at}, 0
    for character in secret:
        forms = _forms(character)
        further = {end + len(f) for end in ends for f in forms if lowered.startswith(f, end)}
        if not further:
            break
        ends = further
        matched += 1
    return max(ends) if matched >= least else None


def _forms(character: str) -> tuple[str, ...]:
    """How a character may be written, in lower case."""
    code = ord(character)
    once = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    return (
        once.replace("%", "%25"),
        escaped,
        once,
        f"&#x{code:x};",
        f"&#{code};",
        *([_HTML[character]] if character in _HTML else []),
        f"\\{character}",
        *("+" if character == " " else ()),
        _lower(character),
    )


def _lower(text: str) -> str:
    """In lower case what is ASCII: of other characters there may be more then."""
    return "".join(c.lower() if c.isascii() else c for c in text)
