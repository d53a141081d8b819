"""`python -m tanas` is the `tanas` command."""

import sys

from tanas.cli import main

if __name__ == "__main__":
    sys.exit(main())
