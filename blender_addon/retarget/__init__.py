"""Rig conventions: ``maps/`` holds one bone map a rig family, read by ``capture.bonemap``."""
