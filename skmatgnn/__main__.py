"""Run the command line as ``python -m skmatgnn``."""

from __future__ import annotations

import sys

from skmatgnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
