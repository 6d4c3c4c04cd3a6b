"""Several commands of `last-edge` in one process, which an emulated board takes half a minute to start.

python -m last_edge.tools.boards.answer '[["doctor", "--json"], ["verify", "BUNDLE", "--json"]]'
"""

import contextlib
import io
import json
import sys

from last_edge.tools.cli import main as cli


def main() -> int:
    """Print a JSON list of what each command wrote to stdout; the first that fails ends it, with its exit code."""
    outputs = []
    for arguments in json.loads(sys.argv[1]):
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            code = cli(arguments)
        if code:
            sys.stderr.write(f"last-edge {' '.join(arguments)} ends with exit code {code}\n")
            return code
        outputs.append(written.getvalue())
    sys.stdout.write(json.dumps(outputs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
