"""One file a kind of table."""
