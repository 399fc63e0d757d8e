"""Options and commands for runs that are jobs of a cluster."""
