"""From affinities to labels 0..K-1, one method a module."""
