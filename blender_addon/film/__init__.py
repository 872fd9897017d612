"""Motion out of films: the job that finds it, and whether a take follows the rig that drove it."""
