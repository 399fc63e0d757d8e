"""One file a kind of table; cells, columns, captions."""
