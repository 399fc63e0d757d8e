"""Tables in LaTeX as they go to print: signs, widths, venues, the choice of a layout, notes."""
