"""Parameters, multiply-accumulates, memory, time, energy."""
