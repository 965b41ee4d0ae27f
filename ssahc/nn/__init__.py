"""The network that is learned for each recording; the only folder that needs torch."""
