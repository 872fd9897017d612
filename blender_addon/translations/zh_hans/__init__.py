"""Simplified Chinese, with Blender's own words where it has them: 摄像机, 骨架, 随机种, 序列编辑器, 片段."""

from __future__ import annotations

from . import cast, film, heard, labels, remarks, sentences, setup, tooltips

_TABLES = (cast, labels, tooltips, remarks, sentences, film, setup, heard)
WORDS = {english: chinese for table in _TABLES for english, chinese in table.WORDS.items()}
"""English -> Chinese."""
