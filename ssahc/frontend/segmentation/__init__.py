"""Segmentation: which speakers of a chunk of audio are active in each of its frames."""
