"""Whether methods do what they declare."""
