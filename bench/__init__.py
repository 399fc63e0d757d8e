"""Med-Tuning Bench: compare parameter-efficient tuning methods for medical volumetric segmentation."""
