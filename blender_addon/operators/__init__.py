"""What the panel's buttons and scripts call. Each operator only gathers; the work is in the modules above."""
