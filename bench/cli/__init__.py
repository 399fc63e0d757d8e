"""The terminal: one file a command, the shared options, everything that is printed."""
