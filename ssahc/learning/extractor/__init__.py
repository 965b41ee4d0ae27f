"""Training of extractors on speech of which it is known who speaks."""
