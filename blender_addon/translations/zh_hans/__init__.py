"""Simplified Chinese, with Blender's own words where it has them: 摄像机, 骨架, 随机种, 序列编辑器, 片段."""

from __future__ import annotations

from . import cast, film, labels, remarks, sentences, tooltips

WORDS = {**cast.WORDS, **labels.WORDS, **tooltips.WORDS, **remarks.WORDS, **sentences.WORDS, **film.WORDS}
"""English -> Chinese."""
