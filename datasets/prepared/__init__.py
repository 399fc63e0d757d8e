"""Arrays on disk and the patches read from them."""
