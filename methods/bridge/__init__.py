"""The tuners of the library peft as methods: ``peft:dora``, ``peft:vera`` and so on.

A type is a row of a table here; which layers it is put into is said in our roles, not in peft's
names. Only `methods.bridge.method` and `methods.bridge.layers` need peft itself.
"""
