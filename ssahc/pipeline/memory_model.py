"""How much memory the work on a recording takes, told before it begins.

The numbers are above what was measured; ``python -m benchmarks memory`` shows whether
they keep a run within its limit. What depends on the clusters that will be found is
not in them.
"""

from ssahc.clustering.ahc import LONGEST_DENSE, AhcOptions
from ssahc.pipeline.options import LEARNING, DiarizeOptions

# Arrays of a window's dimension in float64, and what it takes beside them.
_ARRAYS, _ARRAYS_LEARNING = 3, 8
_BYTES_A_WINDOW, _BYTES_A_WINDOW_LEARNING = 1000, 7000
# Of a matrix of all pairs and its copies in the making: in average linkage, in spectral
# clustering, and of lists of all pairs within clusters.
_DENSE, _SPECTRAL, _LISTED = 20, 54, 12


def working_set(
    num_windows: int, dim: int, options: DiarizeOptions, *, has_scores: bool = False
) -> int:
    """Return about how many bytes it takes to diarize a recording.

    Parameters
    ----------
    num_windows : int
    dim : int
        Of the x-vectors.
    options : DiarizeOptions
        Settled (`ssahc.pipeline.options.settle`).
    has_scores : bool
        Whether there are ready-made scores.
    """
    learns = options.system in LEARNING
    arrays = _ARRAYS_LEARNING if learns else _ARRAYS
    window = _BYTES_A_WINDOW_LEARNING if learns else _BYTES_A_WINDOW
    pairs = num_windows**2 * _bytes_a_pair(num_windows, options, has_scores)
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
