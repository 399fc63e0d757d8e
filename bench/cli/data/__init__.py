"""The commands below `data`: example data, checks, folds, other tools' forms."""
