"""Runs as jobs of a cluster: submitted, adopted, followed by the files that they leave."""
