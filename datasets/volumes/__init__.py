"""NIfTI files to arrays, and what can be wrong with them."""
