"""A run on several devices: a process each, of which the first one writes and decides."""
