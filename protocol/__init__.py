"""What crosses the wire between a Wanstage client and backend; see SPEC.md.

Needs msgspec; ``protocol.client`` and the modules about pairing need pyzmq as well. Never numpy, torch or bpy.
"""

# The version of SPEC.md, not of the package: (major, minor).
VERSION: tuple[int, int] = (1, 4)

# What ``features`` of Hello and Welcome say here: see SPEC.md section 2.
FEATURES: tuple[str, ...] = ("estimate", "pairing")
