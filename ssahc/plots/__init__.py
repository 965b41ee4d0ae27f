"""Pictures of diarizations; need matplotlib (``pip install 'ssahc[plots]'``)."""
