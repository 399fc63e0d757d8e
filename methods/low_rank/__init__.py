"""Low-rank updates of frozen linear layers."""
