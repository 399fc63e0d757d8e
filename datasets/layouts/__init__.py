"""How files below a root become cases."""
