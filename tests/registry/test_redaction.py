"""A secret is not shown, however a server writes it."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerscan.registry.redaction import redacted
from tests.builders.registry_case import MANIFEST, fault, repository
from tests.builders.registry_faults import Headers, Status
from tests.builders.registry_server import OpenRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = 'id+/=&<"é 😀secret%'  # noqa: S105 - the test's own

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "form": quote_plus,
    "url": lambda text: quote(text, safe=""),
    "path": quote,
    "lower case": lambda text: quote(text, safe="").lower(),
    "twice": lambda text: quote(quote(text, safe="")),
    "json": lambda text: json.dumps(text)[1:-1],
    "html": html.escape,
    "cut": lambda text: text[:12] + "…",
    "form, cut": lambda text: quote_plus(text)[:25] + "…",
}

printable_ascii = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8)


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_it_is_shown(form: str) -> None:
    written = FORMS[form](SECRET)
    said = redacted(f"you sent {written}, did you?", [SECRET])
    assert said.startswith("you sent …")
    assert "id" not in said.replace("did", "")


@given(printable_ascii, st.sampled_from(sorted(FORMS)))
@example("000000\\\\", "as it is")
@example("\\" * 9, "json")
@example("%25%25%2525", "twice")
def test_any_secret(secret: str, form: str) -> None:
    written = FORMS[form](secret)
    assert written not in redacted(f"<{written}>", [secret]) or written == "…"


@given(st.text(), printable_ascii.filter(lambda text: "\x00" not in text))
def test_other_text_stays_as_it_is(text: str, secret: str) -> None:
    if secret[:1].lower() not in text.lower() and not set(text) & set("%\\&+"):
        assert redacted(text, [secret, ""]) == text


def test_a_short_secret_is_only_taken_out_whole() -> None:
    assert redacted("pw and p and pw1", ["pw1"]) == "pw and p and …"
    assert redacted("abcdefg abcdefgh abcdefgh9", ["abcdefgh1"]) == "abcdefg … …9"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("echo", ["body", "json", "header"])
def test_an_identity_token_that_its_service_repeats_is_not_shown(
    docker_config: Path, echo: str
) -> None:
    token = "eyJ+id/to=ken&of"  # noqa: S105 - the test's own
    body = urlencode({"grant_type": "refresh_token", "refresh_token": token})
    with OpenRegistry(auth="token", users={}) as registry:
        docker_config.write_text(
            json.dumps({"auths": {registry.address: {"identitytoken": token}}})
        )
        answer = {
            "body": Status(400, code="INVALID", message=f"bad request: {body}"),
            # A key that is there twice is named, and cut where it is long.
            "json": Status(200, body=f'{{"{body}":1,"{body}":2}}'.encode()),
            "header": Headers({"Content-Type": f"text/{body}"}),
        }[echo]
        if echo == "header":
            registry.refresh_tokens[token] = "me"
            registry.users["me"] = "pw"
            registry.put_manifest("acme/web", MANIFEST, "text/x", "7")
            registry.fail("GET", "/manifests/", answer, times=9)
        else:
            registry.fail("POST", "/token", answer, times=9)
        with repository(registry) as repo:
            said = fault(lambda: repo.manifest("7"))
    assert "refresh_token=…" in said
    assert "ken" not in said.replace("token", "")
