"""A run that was cut off goes on from a file of its attempt, and nothing of it is counted twice."""
