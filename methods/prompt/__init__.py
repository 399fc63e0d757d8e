"""Learnt tokens beside those of the image."""
