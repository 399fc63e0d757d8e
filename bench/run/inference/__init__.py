"""Whole volumes through a network: windows, their blending, and where it computes."""
