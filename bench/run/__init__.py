"""One run from its spec to its result; nothing in here knows the grid."""
