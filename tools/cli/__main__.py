"""`python -m last_edge.tools.cli`, where no command is installed: several processes, fresh ones."""

import sys

from last_edge.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
