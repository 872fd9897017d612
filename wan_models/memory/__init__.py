"""Where a model's weights are: what fits (``plan``, without torch), how they are loaded, kept and streamed."""
