"""The JSON files of engines."""

from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.files.safefs import Fault
from layerscan.text import printable


def parse_json(content: bytes, where: str) -> object:
    """The JSON value that is the whole of `content`.

    Raises:
        Fault: it is no JSON, or more than can be read safely.
    """
    try:
        return jsondoc.decode(content, where)
    except DocumentError as error:
        raise Fault(where, str(error).removeprefix(f"{printable(where)}: ")) from error
