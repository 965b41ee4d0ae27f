"""From x-vectors to affinities: preprocessing, PLDA, fusion, and their training."""
