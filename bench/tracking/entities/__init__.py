"""What MLflow holds beside runs: pages of experiments, logged models; and how a run is written."""
