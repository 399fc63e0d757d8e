"""Means, tests and intervals; the only place where numbers are aggregated."""
