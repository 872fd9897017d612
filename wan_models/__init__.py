"""What turns a request into frames; usable from a notebook. Importing this never imports torch."""
