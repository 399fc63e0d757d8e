"""MLflow: what is sent, under which names, and reading it back."""
