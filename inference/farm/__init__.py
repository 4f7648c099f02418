"""One job in chunks, which processes on computers that share a disk do independently: plan, chunks, merge."""

CHUNK_FRAMES = 100
"""Frames of a chunk, about, where nobody says otherwise and it is not known how long a frame takes."""
STARTS = 40.0
"""A chunk takes as many times as long as the start of a process, about, so that starts cost 2.5 % of the work."""
