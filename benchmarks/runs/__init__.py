"""Whole runs and commands: start, plan, interruptions, many at once."""
