"""Where networks' numbers come from: checkpoints in every layout that artists have, random ones, tiny ones."""
