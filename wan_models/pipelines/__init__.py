"""The Wan2.2 models on diffusers' networks: one module a task, what they share in parts, text, denoise and decode."""
