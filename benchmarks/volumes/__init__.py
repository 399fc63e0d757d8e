"""Volumes: reading, preparing, drawing patches, scoring."""
