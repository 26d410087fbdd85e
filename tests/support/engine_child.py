"""An engine, run as a script: publishes the run in a folder again and again, each time as another run.

``engine_child.py REDIS OUTPUT_DIR NUMBER…`` publishes a run for each number; ``engine_child.py REDIS OUTPUT_DIR --from
FIRST PAUSE`` one after the other, with a pause of so many seconds, until its input is closed. Prints the numbers.
"""

from __future__ import annotations

import itertools
import select
import sys
from collections.abc import Iterator

from packhouse.producers import publish
from packhouse.producers.olive import read_output_dir
from packhouse.schemas import PackagingConfig, PackagingType, RunFinished

SOURCE = "/farm"
LETTERS = "pq"


def numbers_of(arguments: list[str]) -> Iterator[int]:
    """The numbers of the runs, each when it is due."""
    if arguments[0] != "--from":
        yield from map(int, arguments)
        return
    for number in itertools.count(int(arguments[1])):
        yield number
        if select.select([sys.stdin], [], [], float(arguments[2]))[0]:
            return


def main(redis_url: str, output_dir: str, *arguments: str) -> None:
    """Two packages for each number, beside the run."""
    for number in numbers_of(list(arguments)):
        packages = [PackagingConfig(type=PackagingType.ZIPFILE, name=f"{letter}{number}") for letter in LETTERS]
        finished = read_output_dir(output_dir, packaging_config=packages)
        publish(RunFinished.of(finished, source=SOURCE, run_id=f"run-{number}"), redis_url)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
