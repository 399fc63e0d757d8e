"""Files of segmentations: scored, and written by the networks of runs."""
