"""Conventional 3-D networks that are trained whole, as references: ``--methods net:nnunet``."""
