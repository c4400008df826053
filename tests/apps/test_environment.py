import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscan.apps import environment
from layerscan.apps.images import service_images
from layerscan.errors import ComposeError
from tests.builders.compose_apps import fault, image_texts, one_app, only, put


def values(tmp_path: Path, env: str | bytes, process: Mapping[str, str]) -> dict[str, str]:
    root = put(tmp_path, {".env": env})
    found = environment.load_environment(f"{root}/.env", root=root, process=process)
    return {name: value for name, value in found.values.items() if name not in process}


def test_the_env_file_beside_the_compose_file(tmp_path: Path) -> None:
    app = one_app(tmp_path, only("${NAME}:${TAG}"), "NAME=app\nTAG=${NAME}-1\n")
    assert image_texts(app) == {"web": "app:app-1"}
    assert image_texts(app, {"TAG": "2"}) == {"web": "app:2"}
    # The process wins within the file too.
    assert image_texts(app, {"NAME": "other"}) == {"web": "other:other-1"}
    assert image_texts(app, {"NAME": ""}) == {"web": ":-1"}


def test_the_forms_of_an_env_file(tmp_path: Path) -> None:
    text = r"""
# comment
export EXPORTED=1
SPACED = two words   # comment
SINGLE='$SPACED ${X:?}'
DOUBLE="$SPACED\t$$1 \$SPACED"
MULTI="a
b"
HASH=a#b
EMPTY=
DEFAULT=${NONE:-d}
ALONE
HIDDEN=${NONE:?}
dotted.name=x
"""
    expected = {
        "EXPORTED": "1",
        "SPACED": "two words",
        "SINGLE": "$SPACED ${X:?}",
        "DOUBLE": "two words\t$1 $SPACED",
        "MULTI": "a\nb",
        "HASH": "a#b",
        "EMPTY": "",
        "DEFAULT": "d",
        "dotted.name": "x",
    }
    process = {"HIDDEN": "process"}
    assert values(tmp_path, text, process) == expected
    assert values(tmp_path, text.replace("\n", "\r\n"), process) == expected | {"MULTI": "a\r\nb"}
    assert values(tmp_path, b"\xef\xbb\xbfA=1", {}) == {"A": "1"}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("A=1\n\n\nno value here", ":4: is no NAME=value"),
        ("A='open\nB=1", ":1: is no NAME=value"),
        ('A=1\n"\nB=2', ":2: '\"' is no variable's name"),
        ("A=1\nB!=2", ":2: 'B!' is no variable's name"),
        (
            "\n\nA=${B:?set B}",
            ":3: '${B:?set B}', character 1: required variable B is not set: set B",
        ),
        ("A=${", ":1: '${', character 1: no closing brace for this ${"),
        (b"A=\xff", ": is not UTF-8 at byte 2"),
        ("A=" + " " * 600 + "b", ": has a blank of more than 512 characters"),
        ("A=" + "b" * 300_000, ": is longer than 262144 bytes"),
        (
            "A0=" + "x" * 100 + "".join(f"\nA{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60)),
            ":14: the values have more than 1048576 characters",
        ),
        ("A=" + "x" * 9000 + "\nB=" + "$A" * 200, ":2: …'$A$A$A"),
    ],
)
def test_a_wrong_env_file(tmp_path: Path, env: str | bytes, message: str) -> None:
    assert fault(one_app(tmp_path, only("x"), env)).startswith(".env" + message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["A=x" + (" " * 512 + "y") * 100, "A=${B:-$C}", "A='\\'", "A=\\", "A"]
)
def test_a_long_env_file_takes_little_time(tmp_path: Path, line: str) -> None:
    text = (line + "\n") * (environment.LONGEST_FILE // (len(line) + 1))
    begin = time.process_time()
    # Whether it is refused does not matter here.
    with contextlib.suppress(ComposeError):
        values(tmp_path, text, {})
    assert time.process_time() - begin < 10


# fmt: off
env_pieces = st.sampled_from([
    "A", "B", "=", "\n", "\r", " ", "'", '"', "\\", "#", "$", "${", "}", ":-", "export ",
    "\x00", "é",
])
# fmt: on


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(env_pieces, max_size=25).map("".join) | st.text())
def test_any_env_file_is_read_or_refused(tmp_path: Path, text: str) -> None:
    try:
        found = values(tmp_path, text.encode(errors="surrogatepass"), {})
    except ComposeError as error:
        message = str(error)
    else:
        message = f"{tmp_path}/.env:"
        assert all("$" not in name for name in found)
    assert message.startswith(f"{tmp_path}/.env:")
    assert message.isprintable()


def test_unset_variables_are_returned(tmp_path: Path) -> None:
    text = """
services:
  a: {image: "a:${HERE:-1}"}
  b: {image: "b$NOWHERE:1"}
  c: {image: "c$FROM_ENV:$NOWHERE-"}
"""
    app = one_app(tmp_path, text, "DEEP=$ZERO\nFROM_ENV=x$DEEP")
    found = service_images(app, {}).images
    assert {name: image.unset for name, image in found.items()} == {
        "a": (),
        "b": ("NOWHERE",),
        "c": ("NOWHERE", "ZERO"),
    }
