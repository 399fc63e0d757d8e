"""From a checked request to runs, and the processes that carry them out."""
