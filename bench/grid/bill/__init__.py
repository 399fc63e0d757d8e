"""What a grid will cost: by runs that are done, and by a probe of the others."""
