"""Some of the backbone's own weights train."""
