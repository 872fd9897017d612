"""Takes that wait for a sign in the middle, and the environment of Blenders in processes of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import bpy

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 60.0


class Held:
    """A take of 9 frames that stops before frame ``at`` until ``go``."""

    def __init__(self, scene: Any, gate: Path, at: int, **options: Any) -> None:
        from blender_addon import takes

        scene.wanstage.prompt = json.dumps({"wait_for": str(gate), "wait_at": at})
        with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
            assert bpy.ops.wanstage.generate(**options) == {"FINISHED"}
        take = scene.wanstage.takes[-1]
        self.gate, self.at, self.job = gate, at, take.job_id
        self.folder = takes.folder(take)

    def arrived(self) -> int:
        """Frames on disk once all that come before the stop are there."""
        from blender_addon import pump, state

        run = state.now.runs[self.job]
        assert pump.pump(lambda: run.received >= self.at, TIMEOUT_S), (run.received, run.problem)
        return self.on_disk()

    def go(self) -> None:
        """Let the backend go on."""
        self.gate.touch()

    def finish(self) -> Any:
        """Go on to the end; the take's row, None when there is none any more."""
        from blender_addon import pump, takes

        self.go()
        assert pump.run_until([self.job], TIMEOUT_S)
        found = takes.find(self.job)
        return found[1] if found else None

    def on_disk(self) -> int:
        """Frames in the folder where the take began."""
        return len(list(self.folder.glob("frame_*.png")))

    def told(self) -> tuple[str, str, int]:
        """State, problem and frames as the row says them."""
        from blender_addon import takes

        take = takes.find(self.job)[1]
        return take.state, take.problem, take.frames_done


def shown_file(job: str) -> Path:
    """The first picture that a take's plane shows, as Blender finds it now."""
    from blender_addon import playback

    image = playback.picture_node(playback.find_plane(job)).image
    return Path(bpy.path.abspath(image.filepath)).resolve()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Of a Blender of its own: nothing of this machine's user, the add-on from the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANSTAGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder), "BLENDER_USER_RESOURCES": str(folder / "user"),
            "WANSTAGE_DATA": str(folder / "data"), **more}  # fmt: skip
