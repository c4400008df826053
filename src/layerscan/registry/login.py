"""How to log in to a registry: the values, which show no secret by themselves."""

from typing import NamedTuple


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
    """How to log in to a registry."""

    user: str  # empty with an identity token
    secret: Secret  # the password, or an identity token, which is exchanged for others
    is_identity_token: bool
    source: str  # where it is from, for messages
