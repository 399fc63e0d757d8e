"""Synthetic patients in real layouts."""
