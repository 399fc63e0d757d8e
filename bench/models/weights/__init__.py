"""Pre-trained weights: which there are, where they come from, how they are loaded."""
