"""The program: ``python -m layerscan``, and the console script, which calls `main` too."""

import os
import sys

try:
    from layerscan.cli import main
except KeyboardInterrupt:  # while it is imported: there is nothing to tell it with
    sys.exit(130)
except MemoryError:
    try:
        os.write(2, b"layerscan: error: there is not enough memory to start\n")
    except BrokenPipeError:
        sys.exit(141)
    except OSError:
        pass  # there is nowhere to tell it
    sys.exit(2)

if __name__ == "__main__":
    sys.exit(main())
