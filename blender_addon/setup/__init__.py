"""Sets the backend up in an environment of its own, in a process of its own: ``python -m setup COMMAND``.

Plain standard library, Python 3.10 and later, no bpy and nothing of the rest of the add-on: Blender starts it with
any Python there is, from the add-on's folder, and reads one JSON object a line from its output. Nothing is installed
into Blender, and nothing is loaded before the user asked for it.
"""
