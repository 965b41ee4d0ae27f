"""``python -m ssahc``."""

from ssahc.cli import main

main()
