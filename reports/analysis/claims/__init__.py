"""What may be claimed of a method: non-inferiority, bad cases, and how stable a ranking is."""
