"""Med-Tuning Bench: parameter-efficient tuning methods compared on medical volumes."""
