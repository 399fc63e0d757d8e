"""The one training loop with its optimiser: equal for every method."""
