"""Merging documents with the json module alone: ``python -P plain_merge.py ARCH=FILE...``.

What the script that layerscan replaces did: it believes whatever it is given.
"""

import json
import sys
from typing import Any


def main(arguments: list[str]) -> None:
    merged: dict[str, Any] = {}
    for argument in arguments:
        architecture, _, path = argument.partition("=")
        with open(path, encoding="utf-8") as file:
            merged[architecture] = json.load(file)
    json.dump(merged, sys.stdout, indent=2, sort_keys=True)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
