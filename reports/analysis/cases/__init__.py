"""Which cases and runs a comparison is of: equal ones, shared ones, missing ones."""
