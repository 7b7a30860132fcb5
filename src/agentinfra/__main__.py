"""``python -m agentinfra`` is the same as ``agentinfra``."""

import sys

from agentinfra.cli import main

if __name__ == "__main__":
    sys.exit(main())
