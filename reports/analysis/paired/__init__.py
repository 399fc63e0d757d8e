"""Means and differences of means over cases and trainings: intervals, tests, corrections."""
