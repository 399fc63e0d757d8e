"""The two ends of every comparison: everything trains, or nothing does."""
