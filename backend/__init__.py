"""The Wanstage backend: a torch-free server, its workers and its command line."""

# The release, as in pyproject.toml and blender_addon/__init__.py; known also when run from a checkout.
RELEASE = "0.1.0"
