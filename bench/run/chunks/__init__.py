"""Chunks of slices: how many go through the backbone at once."""
