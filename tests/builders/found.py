"""``python -m tests.builders.found``: whether there is an image store to scan.

Exit status 0 if there is, be it one that only root may read, which the scan
will say; else 1, and one line on stderr says what was looked at.
"""

import os
import sys

from layerscan import LayerscanError, open_store
from layerscan.stores import docker_root

if __name__ == "__main__":
    try:
        open_store()
    except LayerscanError as error:
        root = docker_root()
        if not os.path.exists(root) or os.access(root, os.R_OK | os.X_OK):
            sys.exit(str(error))
