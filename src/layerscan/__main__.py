"""``python -m layerscan``: the same program as the console script."""

import sys

try:
    from layerscan.cli import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
