"""``python -m packhouse.producers.cli``, where the script ``packhouse`` is not on the path."""

from packhouse.producers.cli import main

main()
