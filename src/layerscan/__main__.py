"""The program: ``python -m layerscan``, and the console script, which calls `main` too."""

import sys

try:
    from layerscan.cli import main
except KeyboardInterrupt:  # while it is imported: there is nothing to tell it with
    sys.exit(130)
except MemoryError:
    sys.stderr.write("layerscan: error: there is not enough memory to start\n")
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
