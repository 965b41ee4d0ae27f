"""Losses of speaker embeddings.

===================  ===============================================================
`ssa`                SSA's triplet loss, for networks learned without torch
`pairwise`           triplet, quadruplet and contrastive loss; SSA's in torch
`classification`     softmax, AM-softmax, AAM-softmax, congenerous cosine, center loss
`prototypical`       prototypical, angular prototypical, GE2E
`distances`          distances and cosines that have finite gradients everywhere
`options`            names and options of all losses; needs no torch
`objective`          any of these losses by name: its parameters, its value
`cluster_loss`       any of these losses with the clusters of a recording as labels
===================  ===============================================================

These are the losses compared in the literature on speaker embeddings (Narayanaswamy et
al., ICASSP 2019; Chung et al., Interspeech 2020; Coria et al., 2020), and SSA's.
The tuples they are taken over come from `ssahc.learning.mining`.

pytorch-metric-learning is not used because:

- It lacks quadruplet, center, prototypical, angular prototypical and GE2E losses, and
  adaptive margins.
- Its defaults differ from the papers in ways that are easy to miss: triplet and
  contrastive losses average over nonzero terms only, the margin of ArcFace is in
  degrees, and the distance-weighted miner subtracts the maximum of a whole batch, so
  that in 256 dimensions all weights of a row may underflow.
- What remains is three to ten lines per loss, easier to read next to its equation than
  through a dependency.

The tests compare every loss with a plain loop over its definition.
"""
