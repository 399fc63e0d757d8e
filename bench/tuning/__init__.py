"""An equal budget of trials for every method (Optuna)."""
