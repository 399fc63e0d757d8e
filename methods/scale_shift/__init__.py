"""Learnt scales and shifts of what the frozen layers give."""
