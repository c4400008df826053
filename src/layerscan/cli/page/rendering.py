"""The file of a page: one document with its styles, scripts and data, that loads nothing.

Owns what makes it safe to open: nothing that a store says is markup or script, the scripts
are named by their hashes (Content Security Policy Level 3), and no URL is in it, so that
there is nothing to follow.
"""

import base64
import json
import re
from hashlib import sha256
from html import escape
from importlib import resources

from layerscan.cli.page.model import PageData

_SCRIPTS = ("d3-hierarchy.min.js", "model.js", "drawing.js", "table.js", "page.js")
_LICENSE = "d3-hierarchy.LICENSE"
_SCHEME = re.compile(r"\bhttps?://")


def page(data: PageData) -> bytes:
    """The page as a file in UTF-8."""
    style = _part("page.css")
    # The scheme of an address in a comment is left out; the licence keeps its words.
    script = _SCHEME.sub("", "\n".join(map(_part, _SCRIPTS)))
    about = data.about
    parts = {
        "title": _SCHEME.sub("", f"layerscan {about['command']}: {about['root']}"),
        "policy": (
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "license": _part(_LICENSE),
    }
    # In one pass: what is put in is not looked through again.
    raw = {"style": style, "script": script, "data": _data(data)}
    whole = re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: raw[found[1]] if found[1] in raw else escape(parts[found[1]]),
        _part("page.html"),
    )
    return whole.encode()


def _data(data: PageData) -> str:
    """The data as JSON in ASCII, with nothing in it that could end the element or be a URL."""
    text = json.dumps(data.plain(), separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.replace("://", ":\\/\\/")


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
