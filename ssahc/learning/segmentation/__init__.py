"""Training of segmentation networks on recordings of which it is known who speaks."""
