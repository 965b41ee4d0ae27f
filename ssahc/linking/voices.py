"""What is known of voices, and how likely two of them are one person's.

The model is the two-covariance PLDA in its latent space: a person has a voice with
variances psi, a recording changes it by a share of these variances, and windows have
noise of variance 1 around it. The mean of n windows of a recording is therefore a
measurement of the voice with variance ``session * psi + 1 / n``. Measurements of one
person in several recordings are independent given the voice: their precisions add up,
and so do the means, weighted by them.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import BriefRepr, FloatArray, IntArray

# Numbers of voices, and pairs of them (K, 2): in 32 bits where there are many.
Rows = NDArray[np.signedinteger[Any]]
Pairs = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Voices(BriefRepr):
    """Measurements of M voices, which add up to those of fewer.

    Parameters
    ----------
    psi : (d,) array
        Variance between people.
    precisions : (M, d) array
        Inverse variance of each measurement, given the voice.
    sums : (M, d) array
        Measurements, times their precisions.
    """

    psi: FloatArray
    precisions: FloatArray
    sums: FloatArray

    @classmethod
    def measure(
        cls,
        latent: FloatArray,
        num_windows: FloatArray,
        psi: FloatArray,
        session_variance: float,
    ) -> Self:
        """Return what the means of windows tell.

        Parameters
        ----------
        latent : (M, d) array
            Means of windows in the latent space.
        num_windows : (M,) array
            Number of independent windows of each mean.
        psi : (d,) array
        session_variance : float
            Share of psi by which recordings change a voice.
        """
        precisions = 1 / (session_variance * psi + 1 / num_windows[:, None])
        return cls(psi, precisions, latent * precisions)

    def __len__(self) -> int:
        return len(self.sums)

    def __getitem__(self, rows: Rows) -> Self:
        return type(self)(self.psi, self.precisions[rows], self.sums[rows])

    def merge(self, labels: IntArray) -> Self:
        """Return the voices of clusters with labels (M,), 0..K-1."""
        count = int(labels.max(initial=-1)) + 1
        precisions, sums = np.zeros((2, count, len(self.psi)))
        np.add.at(precisions, labels, self.precisions)
        np.add.at(sums, labels, self.sums)
        return type(self)(self.psi, precisions, sums)

    def without(self, others: Self) -> Self:
        """Return clusters (M) without one of the voices of each (M)."""
        precisions = self.precisions - others.precisions
        return type(self)(self.psi, precisions, self.sums - others.sums)

    def without_shifts(
        self,
        groups: IntArray,
        shift_variance: float,
        *,
        people_a_voice: float = 1.0,
    ) -> Self:
        """Return voices without what those of each group (M,) have in common.

        That is a shift of variance ``shift_variance * psi`` of all of them, such as of
        a room; what is taken out is its posterior mean. Of a voice alone in its group
        only the length changes, which does not count. Voices of a group are different
        people, or else so many as `people_a_voice` says.
        """
        prior = shift_variance * self.psi
        weights = people_a_voice / self.variances()
        total, weighted = np.zeros((2, int(groups.max(initial=-1)) + 1, len(self.psi)))
        np.add.at(total, groups, weights)
        weights *= self.sums
        weights /= self.precisions
        np.add.at(weighted, groups, weights)
        shifts = prior * weighted / (1 + prior * total)
        sums = self.sums - self.precisions * shifts[groups]
        return type(self)(self.psi, self.precisions, sums)

    def variances(self) -> FloatArray:
        """Return the variances (M, d) of measurements over all people."""
        return self.psi + 1 / self.precisions

    def positions(self) -> FloatArray:
        """Return the measurements (M, d), each with the length that the model expects.

        As in Kaldi's ``Plda::GetNormalizationFactor``: x-vectors have lost their
        length, and the means of few windows would be too long. Zero rows stay zero.
        """
        means = self.sums / self.precisions
        energies = np.einsum("md,md->m", means, means / self.variances())
        lengths = np.sqrt(energies / len(self.psi))
        # The reciprocal of a tiny energy would be too large a number.
        scaled: FloatArray = means / np.where(lengths > 0, lengths, 1)[:, None]
        return scaled


def log_ratios(first: Voices, second: Voices) -> FloatArray:
    """Return the log-likelihood ratios (M,) of one person to two, row by row.

    One of the two may be a single row. With variances a and b over all people, and
    positions x and y, that is the sum over dimensions of ``log(a b / c) / 2 + psi x y /
    c - psi^2 (x^2 / a + y^2 / b) / (2 c)``, where ``c = a b - psi^2``.
    """
    return ratios_of(
        first.psi,
        first.variances(),
        first.positions(),
        second.variances(),
        second.positions(),
    )


def ratios_of(
    psi: FloatArray, a: FloatArray, x: FloatArray, b: FloatArray, y: FloatArray
) -> FloatArray:
    """Return `log_ratios` of variances and positions, which broadcast."""
    product = a * b
    rest = product - psi**2
    terms = np.log(product / rest) / 2
    terms += (psi * x * y - psi**2 / 2 * (x**2 / a + y**2 / b)) / rest
    ratios: FloatArray = terms.sum(axis=-1)
    return ratios
