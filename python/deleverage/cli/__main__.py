"""`python -m deleverage.cli` is the same door as `deleverage`."""

import sys

from deleverage.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
