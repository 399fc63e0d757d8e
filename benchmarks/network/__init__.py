"""Networks: what is computed, in which time and memory."""
