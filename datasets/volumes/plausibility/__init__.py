"""What tells that a volume is not what its release promises, or that other tools read it otherwise.

docs/data.md lists the reports behind each check.
"""
