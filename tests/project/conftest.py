"""Make the benchmarks importable from the root of the repository."""

import sys
from pathlib import Path

# Last, so that the installed package is still the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))
