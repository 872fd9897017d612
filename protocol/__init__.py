"""What crosses the wire between a Wanstage client and backend; see SPEC.md.

Needs msgspec; ``protocol.client`` and ``protocol.connection`` need pyzmq as well. Never numpy, torch or bpy.
"""

# The version of SPEC.md, not of the package: (major, minor).
VERSION: tuple[int, int] = (1, 4)
