"""Fixtures of the draft animate tests."""

from __future__ import annotations

import pytest

from tests.unit.draft_animate.doll import doll_body, draw_doll, metres, pack_of, project
from wan_models.requests import Character, DrivePack, PoseTrack, Reference


@pytest.fixture(scope="session")
def reference() -> Reference:
    """The doll, joints given."""
    return Reference(draw_doll(), doll_body(), source="hand")


@pytest.fixture(scope="session")
def clip(reference: Reference) -> DrivePack:
    """The real motion with the doll as its reference."""
    track, camera = project(metres())
    return pack_of(Character(1, "hero", PoseTrack(track), reference), camera)
