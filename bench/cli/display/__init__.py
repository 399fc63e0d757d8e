"""How far a command is: bars on a terminal, else a line a minute."""
