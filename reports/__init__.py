"""Tables, figures and pages from the records of runs and studies."""

__distribution__ = "medtuning-bench"
