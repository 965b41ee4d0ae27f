"""The networks that are learned, one for each recording.

What is written here runs on numpy arrays as well as on torch tensors, which share the
few operations it needs: on a CPU torch is not even loaded, which takes longer than the
learning of many a recording; on a GPU the same lines work on its tensors.
"""
