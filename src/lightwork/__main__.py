"""``python -m lightwork``: the command line."""

import sys

from lightwork.cli import main

if __name__ == "__main__":
    sys.exit(main())
