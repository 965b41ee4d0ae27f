"""Estimate of the memory needed to diarize a recording.

The constants are upper bounds of measurements (``python -m benchmarks memory``). Memory
that depends on the clusters that will be found is not included.
"""

from ssahc.clustering.ahc import LONGEST_DENSE, AhcOptions
from ssahc.pipeline.options import LEARNING, DiarizeOptions

# Number of (N, D) arrays in float64, and other bytes per window.
_ARRAYS, _ARRAYS_LEARNING = 3, 8
_BYTES_A_WINDOW, _BYTES_A_WINDOW_LEARNING = 1000, 7000
# Bytes per pair of windows: average linkage on a matrix, spectral clustering, and lists
# of all pairs within clusters.
_DENSE, _SPECTRAL, _LISTED = 20, 54, 12
# Bytes per pair of clusters that merge by Eq. 2.
_BY_COST = 20


def working_set(
    num_windows: int, dim: int, options: DiarizeOptions, *, has_scores: bool = False
) -> int:
    """Return roughly how many bytes are needed to diarize (N, D) x-vectors."""
    learns = options.system in LEARNING
    arrays = _ARRAYS_LEARNING if learns else _ARRAYS
    window = _BYTES_A_WINDOW_LEARNING if learns else _BYTES_A_WINDOW
    pairs = num_windows**2 * _bytes_a_pair(num_windows, options, has_scores)
    if learns and options.learning.lambda_ > 0:
        pairs += min(num_windows, options.learning.cost().below) ** 2 * _BY_COST
    return num_windows * (8 * arrays * dim + window) + pairs


def _bytes_a_pair(num_windows: int, options: DiarizeOptions, has_scores: bool) -> int:
    learns = options.system in LEARNING
    has_matrix = (
        has_scores or num_windows <= LONGEST_DENSE or options.ahc != AhcOptions()
    )
    pair = _DENSE if has_matrix else 0
    if options.final_method() == "spectral" or (
        learns and options.learning.clustering == "spectral"
    ):
        pair = _SPECTRAL
    if learns and options.learning.triplets == "sampled":
        pair += _LISTED
    return pair
