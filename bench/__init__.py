"""Med-Tuning Bench: parameter-efficient tuning methods compared on medical volumes."""

__version__ = "0.1.0"
__distribution__ = "medtuning-bench"
