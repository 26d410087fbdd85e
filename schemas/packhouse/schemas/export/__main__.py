"""``python -m packhouse.schemas.export [DIR]``: write the schemas (into ``schemas/json`` by default)."""

from __future__ import annotations

import sys
from pathlib import Path

from packhouse.schemas.export import write


def main(arguments: list[str]) -> int:
    """Write the files and name them."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m packhouse.schemas.export [DIR]\n")
        return 2
    for path in write(Path(arguments[0] if arguments else "schemas/json")):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
