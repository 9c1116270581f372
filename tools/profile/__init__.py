"""Where the time of a training step goes, and how far each kernel is from what the machine can do: ``python -m tools.profile``.

The machine's limits are measured in the same run: multiply-adds on operands that never leave the first-level cache, and the
bandwidth of memory by ``a = b + s c`` on long arrays. See :mod:`tools.profile.limits` and :mod:`tools.profile.record`.
"""
