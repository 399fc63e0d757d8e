"""Reports: their time, and the statistics in them."""
