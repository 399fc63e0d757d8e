"""What a run tells while it goes on: how far it is, how much is left, what it prints."""
