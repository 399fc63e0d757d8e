"""Dice, surface distances, empty masks: from class maps to numbers."""
