"""The command `report`: what it is asked for, and the names that it prints."""
