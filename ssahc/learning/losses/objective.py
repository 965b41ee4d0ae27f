"""Any loss by its name: the parameters it learns and its value.

Labels are clusters in per-recording learning, speakers in training on labelled data:

    objective = Objective("aam-softmax", LossOptions(scale=20))
    parameters = objective.initial_parameters(embeddings, labels)
    loss = objective.evaluate(embeddings, labels, parameters, generator)
    loss.backward()
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssahc.core.types import FloatArray, IntArray
from ssahc.learning.losses import classification, pairwise, prototypical
from ssahc.learning.losses.distances import distances, normalize_rows
from ssahc.learning.losses.options import LossName, LossOptions, Triplets, check_loss
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets, TripletForm
from ssahc.learning.mining import (
    all_pairs,
    draw_quadruplets,
    draw_ssa_triplets,
    draw_triplets,
)

# Tuples are formed among at most this many rows, since all distances are kept; among
# fewer where all triplets are taken, which are then below 4 million.
_MAX_ROWS, _MAX_ROWS_FOR_ALL = 1000, 250
# Initial w and b of prototypical losses (Chung et al., Interspeech 2020).
_SCALE, _SHIFT = 10.0, -5.0

# The losses that are not taken over tuples: of embeddings, labels and parameters.
_CLASS_LOSSES: dict[LossName, Callable[..., Tensor]] = {
    "softmax": classification.softmax,
    "am-softmax": classification.am_softmax,
    "aam-softmax": classification.aam_softmax,
    "congenerous-cosine": classification.congenerous_cosine,
    "center": classification.center,
    "prototypical": prototypical.prototypical,
    "angular-prototypical": prototypical.angular_prototypical,
    "ge2e": prototypical.ge2e,
}


@dataclass(frozen=True)
class Objective:
    """A loss of labelled embeddings; gamma, triplets and their form are for SSA's."""

    loss: LossName
    options: LossOptions = field(default_factory=LossOptions)
    gamma: float = 0.4
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"

    def __post_init__(self) -> None:
        check_loss(self.loss, self.options, self.triplets)

    # ---- parameters ----------------------------------------------------------------

    def initial_parameters(self, embeddings: Tensor, labels: IntArray) -> list[Tensor]:
        """Return the initial values of the loss's own parameters, to be differentiated.

        Class weights and centers start as the mean direction of their class: with
        length 1 where only the direction matters; where logits are W x, with the length
        that makes these, for embeddings of average length, cosines times
        `classification.adaptive_scale`. From a random start, per-recording learning
        would be too short to find the classes. Embeddings are (N, d), labels (N,)
        0..K-1, each of which occurs.
        """
        embeddings = embeddings.detach()
        match self.loss:
            case "softmax":
                weight = _classifier_weights(embeddings, labels)
                initial = [weight, weight.new_zeros(len(weight))]
            case "center":
                weight = _classifier_weights(embeddings, labels)
                initial = [weight, _class_directions(embeddings, labels)]
            case "am-softmax" | "aam-softmax" | "congenerous-cosine":
                initial = [_class_directions(embeddings, labels)]
            case "angular-prototypical" | "ge2e":
                initial = [embeddings.new_tensor(value) for value in (_SCALE, _SHIFT)]
            case _:
                initial = []
        return [parameter.requires_grad_() for parameter in initial]

    # ---- value ---------------------------------------------------------------------

    def evaluate(
        self,
        embeddings: Tensor,
        labels: IntArray,
        parameters: list[Tensor],
        generator: np.random.Generator,
    ) -> Tensor:
        """Return the loss, to be differentiated; 0 if there is nothing to learn.

        Losses over tuples draw new ones in every call, given the current embeddings (N,
        d), among at most 1000 rows (250 if all triplets are taken); SSA's expected loss
        uses all rows. The two prototypical losses draw the query of each class.
        Parameters are those of `initial_parameters`, learned since; where classes have
        weights, the labels (N,) are 0..K-1 for the K classes of these.
        """
        if self.loss not in _CLASS_LOSSES:
            return self._over_tuples(embeddings, labels, generator)
        if self.loss in ("prototypical", "angular-prototypical"):
            # The first row of each class is its query.
            order = generator.permutation(len(labels))
            embeddings, labels = (
                embeddings[_to_tensor(order, embeddings)],
                labels[order],
            )
        loss, classes = _CLASS_LOSSES[self.loss], _to_tensor(labels, embeddings)
        return loss(embeddings, classes, *parameters, **self._constants())

    def _constants(self) -> dict[str, float]:
        """Return the constants that differ from those of the loss's source."""
        constants = {"margin": self.options.margin_size, "scale": self.options.scale}
        if self.loss == "center":
            constants["center_weight"] = self.options.center_weight
        return {name: value for name, value in constants.items() if value is not None}

    def _over_tuples(
        self, embeddings: Tensor, labels: IntArray, generator: np.random.Generator
    ) -> Tensor:
        if self.loss == "ssa" and self.triplets == "expected":
            return self._ssa(embeddings, labels, generator)
        sampling, distance = self.options.sampling, self.options.distance
        max_rows = _MAX_ROWS_FOR_ALL if sampling == "all" else _MAX_ROWS
        if len(labels) > max_rows:
            rows = np.sort(generator.choice(len(labels), max_rows, replace=False))
            embeddings, labels = embeddings[_to_tensor(rows, embeddings)], labels[rows]
        if self.loss == "ssa":
            return self._ssa(embeddings, labels, generator)
        if self.loss == "contrastive":
            pairs, same = (_to_tensor(array, embeddings) for array in all_pairs(labels))
            return pairwise.contrastive(embeddings, pairs, same, **self._constants())
        draw = draw_triplets if self.loss == "triplet" else draw_quadruplets
        drawn = draw(_to_array(embeddings), labels, sampling, generator)
        indices = _to_tensor(drawn, embeddings)
        margin = self._margin(embeddings, indices)
        if self.loss == "triplet":
            return pairwise.triplet(
                embeddings, indices, margin=margin, distance=distance
            )
        return pairwise.quadruplet(
            embeddings,
            indices,
            margin=margin,
            # The ratio of the authors' fixed margins, 0.8 and 0.4.
            second_margin=margin / 2,
            distance=distance,
        )

    def _margin(self, embeddings: Tensor, indices: Tensor) -> float:
        """Return the margin to the first negative of triplets or quadruplets.

        Narayanaswamy et al., ICASSP 2019: "adaptive" is ``mean d(a,n) - mean d(a,p)``
        over the tuples of the batch (their slides), "adaptive-floored" is the larger of
        this and the fixed margin (their code). The unfloored margin may be 0 or less
        before anything is learned, and grows with what the loss has learned. It is a
        constant to the gradient: otherwise the loss would decrease by shrinking it.
        """
        kind, fixed = self.options.margin, self.options.margin_size
        distance = self.options.distance
        if fixed is None:
            fixed = pairwise.MARGIN / 2 if distance == "cosine" else pairwise.MARGIN
        if kind == "fixed" or len(indices) == 0:
            return fixed
        apart = distances(embeddings.detach(), distance)
        anchor, positive, negative = indices[:, :3].T
        across, within = apart[anchor, negative].mean(), apart[anchor, positive].mean()
        adaptive = (across - within).item()
        return max(adaptive, fixed) if kind == "adaptive-floored" else adaptive

    def _ssa(
        self, embeddings: Tensor, labels: IntArray, generator: np.random.Generator
    ) -> Tensor:
        _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if len(sizes) < 2 or sizes.max() < 2:
            return embeddings.sum() * 0
        if self.triplets == "expected":
            expected = ExpectedTriplets(labels, self.gamma, self.triplet_form)
            return pairwise.ssa(embeddings, expected)
        sampling = self.options.sampling
        drawn = (
            draw_ssa_triplets(labels, generator)
            if sampling == "random"
            else draw_triplets(_to_array(embeddings), labels, sampling, generator)
        )
        sampled = SampledTriplets(drawn, self.gamma, self.triplet_form)
        return pairwise.ssa(embeddings, sampled)


def _to_tensor(indices: np.ndarray, embeddings: Tensor) -> Tensor:
    """Return a copy of an array on the device of the embeddings."""
    return torch.tensor(indices, device=embeddings.device)


def _to_array(embeddings: Tensor) -> FloatArray:
    return embeddings.detach().double().cpu().numpy()


def _class_directions(embeddings: Tensor, labels: IntArray) -> Tensor:
    """Return the mean direction of each class, rows of unit length."""
    classes = _to_tensor(labels, embeddings)
    sums = embeddings.new_zeros(int(labels.max(initial=-1)) + 1, embeddings.shape[1])
    return normalize_rows(sums.index_add(0, classes, normalize_rows(embeddings)))


def _classifier_weights(embeddings: Tensor, labels: IntArray) -> Tensor:
    """Return class weights whose logits are scaled cosines."""
    weight = _class_directions(embeddings, labels)
    length = embeddings.norm(dim=1).mean()
    return weight * classification.adaptive_scale(len(weight)) / length
