"""One door to all losses: what is learned, and how far it is from it.

With per-recording learning the labels are clusters, with labelled data speakers:

    objective = Objective("aam-softmax", LossOptions(scale=20))
    parameters = objective.start(embeddings, labels)
    loss = objective.evaluate(embeddings, labels, parameters, generator)
    loss.backward()
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ssahc.core.types import FloatArray, IntArray
from ssahc.learning.losses import classification, pairwise, prototypical
from ssahc.learning.losses.distances import directions, distances
from ssahc.learning.losses.margins import choose_margin, second_margin
from ssahc.learning.losses.options import LossName, LossOptions, Triplets, check_loss
from ssahc.learning.losses.ssa import ExpectedTriplets, SampledTriplets, TripletForm
from ssahc.learning.mining import all_pairs, draw_quadruplets, draw_triplets
from ssahc.learning.ssa_sampling import sample_triplets

# Tuples are formed among so many rows, of which all distances are kept; and so many
# where all triplets are taken, which are then fewer than 4 million.
_MOST_ROWS, _MOST_ROWS_FOR_ALL = 1000, 250
# w and b of prototypical losses, at the start (Chung et al., Interspeech 2020).
_SCALE, _SHIFT = 10.0, -5.0

_OF_TUPLES = ("ssa", "triplet", "quadruplet", "contrastive")


@dataclass(frozen=True)
class Objective:
    """A loss of embeddings with labels.

    Parameters
    ----------
    loss : LossName
    options : LossOptions
    gamma : float
        Weight of the negatives in SSA's loss.
    triplets : {"expected", "sampled"}
        SSA's loss in expectation over the random negative, or on drawn ones.
    triplet_form : {"authors", "paper"}
        Of SSA's loss.

    Raises
    ------
    UsageError
        If an option was set that means nothing to the loss.
    """

    loss: LossName
    options: LossOptions = field(default_factory=LossOptions)
    gamma: float = 0.4
    triplets: Triplets = "expected"
    triplet_form: TripletForm = "authors"

    def __post_init__(self) -> None:
        check_loss(self.loss, self.options, self.triplets)

    # ---- parameters ----------------------------------------------------------------

    def start(self, embeddings: Tensor, labels: IntArray) -> list[Tensor]:
        """Return what is learned beside the embeddings, at its start.

        Class weights and centers start as the mean direction of their class: of length
        1 where only the direction counts, and where logits are ``W x`` of such a length
        that these start as cosines times `classification.adaptive_scale`, for an
        embedding of average length. The bias starts at 0. Drawn at random, they would
        have to be found first, for which a recording is too short.

        Parameters
        ----------
        embeddings : (N, d) tensor
        labels : (N,) int array
            0..K-1, all of them there.

        Returns
        -------
        list of tensor
            Leaves that require a gradient, where the embeddings are; none for losses of
            tuples.
        """
        embeddings = embeddings.detach()
        match self.loss:
            case "softmax":
                weight = _classifier(embeddings, labels)
                start = [weight, weight.new_zeros(len(weight))]
            case "center":
                start = [
                    _classifier(embeddings, labels),
                    _class_directions(embeddings, labels),
                ]
            case "am-softmax" | "aam-softmax" | "congenerous-cosine":
                start = [_class_directions(embeddings, labels)]
            case "angular-prototypical" | "ge2e":
                start = [embeddings.new_tensor(value) for value in (_SCALE, _SHIFT)]
            case _:
                start = []
        return [parameter.requires_grad_() for parameter in start]

    # ---- value ---------------------------------------------------------------------

    def evaluate(
        self,
        embeddings: Tensor,
        labels: IntArray,
        parameters: list[Tensor],
        generator: np.random.Generator,
    ) -> Tensor:
        """Return the loss, to be differentiated.

        Losses of tuples draw these anew in every call, by the embeddings as they are.
        They look at 1000 rows at most (250 where all triplets are taken), drawn anew as
        well, like a mini-batch; SSA's expected loss looks at all. The two prototypical
        losses draw the query of each class.

        Parameters
        ----------
        embeddings : (N, d) tensor
            Of any length.
        labels : (N,) int array
            0..K-1; where classes have weights, the K of these.
        parameters : list of tensor
            From `start`, learned since.
        generator : numpy.random.Generator

        Returns
        -------
        scalar tensor
            0, with gradients of 0, where there is nothing to learn.
        """
        if self.loss in _OF_TUPLES:
            return self._over_tuples(embeddings, labels, generator)
        if self.loss in ("prototypical", "angular-prototypical"):
            # Whose first row is the query.
            order = generator.permutation(len(labels))
            embeddings, labels = embeddings[_place(order, embeddings)], labels[order]
        names = _place(labels, embeddings)
        given = self._given()
        match self.loss:
            case "softmax":
                return classification.softmax(embeddings, names, *parameters)
            case "am-softmax":
                return classification.am_softmax(
                    embeddings, names, parameters[0], **given
                )
            case "aam-softmax":
                return classification.aam_softmax(
                    embeddings, names, parameters[0], **given
                )
            case "congenerous-cosine":
                return classification.congenerous_cosine(
                    embeddings, names, parameters[0], **given
                )
            case "center":
                center_weight = self.options.center_weight
                return classification.center(
                    embeddings, names, *parameters, center_weight=center_weight
                )
            case "prototypical":
                return prototypical.prototypical(embeddings, names)
            case "angular-prototypical":
                return prototypical.angular_prototypical(embeddings, names, *parameters)
            case "ge2e":
                return prototypical.ge2e(embeddings, names, *parameters)
        raise AssertionError(f"no loss {self.loss!r}")

    def _given(self) -> dict[str, float]:
        """Return margin and scale as far as the source's are not wanted."""
        given = {"margin": self.options.margin_size, "scale": self.options.scale}
        return {name: value for name, value in given.items() if value is not None}

    def _over_tuples(
        self, embeddings: Tensor, labels: IntArray, generator: np.random.Generator
    ) -> Tensor:
        if self.loss == "ssa" and self.triplets == "expected":
            return self._ssa(embeddings, labels, generator)
        taken_all = self.options.sampling == "all"
        most = _MOST_ROWS_FOR_ALL if taken_all else _MOST_ROWS
        if len(labels) > most:
            rows = np.sort(generator.choice(len(labels), most, replace=False))
            embeddings, labels = embeddings[_place(rows, embeddings)], labels[rows]
        if self.loss == "ssa":
            return self._ssa(embeddings, labels, generator)
        if self.loss == "contrastive":
            pairs, same = (_place(array, embeddings) for array in all_pairs(labels))
            return pairwise.contrastive(embeddings, pairs, same, **self._given())
        draw = draw_triplets if self.loss == "triplet" else draw_quadruplets
        drawn = draw(_detach(embeddings), labels, self.options.sampling, generator)
        indices = _place(drawn, embeddings)
        distance = self.options.distance
        margin = self._margin(embeddings, indices)
        if self.loss == "triplet":
            return pairwise.triplet(
                embeddings, indices, margin=margin, distance=distance
            )
        return pairwise.quadruplet(
            *(embeddings, indices),
            margin=margin,
            second_margin=second_margin(margin),
            distance=distance,
        )

    def _margin(self, embeddings: Tensor, indices: Tensor) -> float:
        """Return the margin of triplets, or of quadruplets to the first negative."""
        kind, fixed = self.options.margin, self.options.margin_size
        distance = self.options.distance
        if fixed is None:
            fixed = pairwise.MARGIN / 2 if distance == "cosine" else pairwise.MARGIN
        if kind == "fixed":
            return fixed
        apart = distances(embeddings.detach(), distance)
        anchor, positive, negative = indices[:, :3].T
        return choose_margin(
            kind, fixed, apart[anchor, positive], apart[anchor, negative]
        )

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
        # Random negatives are drawn as the authors of SSA do: one for each pair, not
        # for each order of its two.
        drawn = (
            sample_triplets(labels, generator)
            if sampling == "random"
            else draw_triplets(_detach(embeddings), labels, sampling, generator)
        )
        sampled = SampledTriplets(drawn, self.gamma, self.triplet_form)
        return pairwise.ssa(embeddings, sampled)


def _place(indices: np.ndarray, embeddings: Tensor) -> Tensor:
    """Return a copy of an array as a tensor where the embeddings are."""
    return torch.tensor(indices, device=embeddings.device)


def _detach(embeddings: Tensor) -> FloatArray:
    return embeddings.detach().double().cpu().numpy()


def _class_directions(embeddings: Tensor, labels: IntArray) -> Tensor:
    """Return the mean direction of each class, rows of length 1."""
    names = _place(labels, embeddings)
    count = int(labels.max(initial=-1)) + 1
    sums = embeddings.new_zeros(count, embeddings.shape[1])
    return directions(sums.index_add(0, names, directions(embeddings)))


def _classifier(embeddings: Tensor, labels: IntArray) -> Tensor:
    """Return class weights that make logits of scaled cosines."""
    weight = _class_directions(embeddings, labels)
    length = embeddings.norm(dim=1).mean()
    return weight * classification.adaptive_scale(len(weight)) / length
