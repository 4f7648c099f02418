"""One job in chunks, which processes on computers that share a disk do independently: plan, chunks, merge."""

CHUNK_FRAMES = 100
"""Frames of a chunk, about, unless the plan is made with others."""
