"""``python -m tests.builders.found``: whether there is an image store to scan.

Exit status 0 if there is; else 1, and one line on stderr says what was looked at.
"""

import sys

from layerscan import LayerscanError, open_store

if __name__ == "__main__":
    try:
        open_store()
    except LayerscanError as error:
        sys.exit(str(error))
