"""Linking: which speakers of different recordings are one person."""
