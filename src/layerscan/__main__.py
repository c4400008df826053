"""``python -m layerscan``: the same program as the console script."""

import sys

from layerscan.cli import main

sys.exit(main())
