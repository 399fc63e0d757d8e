"""Methods that see the neighbouring slices of a volume."""
