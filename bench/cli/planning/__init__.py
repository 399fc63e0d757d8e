"""What a command would do, and what that would cost."""
