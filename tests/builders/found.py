"""``python -m tests.builders.found``: whether there is an image store to scan.

Exit status 0 if there is, be it one that only root may read, which the scan
will say; else 1, and one line on stderr says what was looked at.
"""

import sys

from layerscan import LayerscanError, open_store
from layerscan.stores import list_stores

if __name__ == "__main__":
    try:
        open_store()
    except LayerscanError as error:
        if all(one.absent for one in list_stores()):
            sys.exit(str(error))
