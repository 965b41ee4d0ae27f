"""Inputs to begin with: those that readers accept (good-*) and refuse (bad-*).

What fuzzing has found is among them (*-found-*), reduced to what is needed.
"""

import seeds_of_audio
import seeds_of_folders
import seeds_of_networks
import seeds_of_objects
import seeds_of_text


def make_seeds():
    """Return reader to inputs by name."""
    join = seeds_of_objects.join
    return {
        **seeds_of_objects.make_seeds(),
        **seeds_of_folders.make_seeds(),
        **seeds_of_text.make_seeds(join),
        **seeds_of_audio.make_seeds(join),
        **seeds_of_networks.make_seeds(join),
    }
