"""Motion found in a film by a real backend with MediaPipe, and whether a take follows its rig."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from mathutils import Quaternion  # noqa: E402

from tests.bpy.addon.conftest import ROOT, Backend, backend_python  # noqa: E402

MODELS = Path(os.environ.get("WANSTAGE_MEDIAPIPE_MODELS", "/nowhere"))
FOUND = (MODELS / "pose_landmarker_full.task").is_file()
needs_models = pytest.mark.skipif(not FOUND, reason="MediaPipe's models are not on this machine")
TIMEOUT_S = 90.0
FILMS = """
import sys
from pathlib import Path
import numpy as np
from tests.e2e.test_pose import man
from tests.unit.pose.fakes import film
folder = Path(sys.argv[1])
film(folder / "walk.mp4", man(14))
film(folder / "none.mp4", [np.full((360, 480, 3), 60 + at, np.uint8) for at in range(4)])
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """walk.mp4 with the examples' man, none.mp4 without anybody."""
    folder = tmp_path_factory.mktemp("films")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([backend_python(), "-c", FILMS, str(folder)], cwd=ROOT, env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (folder / "broken.mp4").write_bytes(b"no film at all")
    return folder


@pytest.fixture(scope="module")
def poser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend of its own, which looks for people."""
    made = Backend(tmp_path_factory.mktemp("poser"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def scene(shot: Any, poser: Backend) -> Any:
    assert bpy.ops.wanstage.connect(connection_file=str(poser.file)) == {"FINISHED"}
    return shot


def search(scene: Any) -> Any:
    """The scene's search, when it has ended."""
    from blender_addon import pump

    own = scene.wanstage_retarget.motion
    assert pump.run_until([own.job_id], TIMEOUT_S)
    return own


@needs_models
def test_a_film_becomes_the_panels_pose_file(scene: Any, films: Path, tmp_path: Path) -> None:
    from blender_addon.retarget import posefile

    (tmp_path / "one").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "one" / "shot.blend"), check_existing=False)
    scene = bpy.context.scene
    assert bpy.ops.wanstage.find_motion(film=str(films / "walk.mp4"), stature=1.8) == {"FINISHED"}
    own = search(scene)
    assert (own.state, own.problem, own.frames, own.frames_done) == ("finished", "", 14, 14)
    shown = scene.wanstage_retarget
    assert shown.pose_file.startswith("//wanstage/Scene/motion_")
    path = Path(bpy.path.abspath(shown.pose_file))
    found = posefile.read_pose(path)
    assert (found.frames, found.fps, found.source) == (14, 24.0, "walk.mp4")
    assert found.person.height == pytest.approx(1.8, abs=0.02)
    (tmp_path / "two").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "two" / "shot.blend"), check_existing=False)
    assert Path(bpy.path.abspath(bpy.context.scene.wanstage_retarget.pose_file)).resolve() == path.resolve()
    assert bpy.context.scene.wanstage_retarget.pose_file.startswith("//")


@needs_models
def test_it_goes_on_after_the_file_was_closed(scene: Any, films: Path, tmp_path: Path, poser: Backend) -> None:
    from blender_addon import pump, state

    where = str(tmp_path / "shot.blend")
    bpy.ops.wm.save_as_mainfile(filepath=where, check_existing=False)
    bpy.ops.wanstage.find_motion(film=str(films / "walk.mp4"))
    own = bpy.context.scene.wanstage_retarget.motion
    assert pump.pump(lambda: own.received >= 3, TIMEOUT_S)
    job_id, had = own.job_id, own.received
    bpy.ops.wm.save_mainfile()
    bpy.ops.wanstage.disconnect()
    bpy.ops.wm.open_mainfile(filepath=where, load_ui=False)
    own = bpy.context.scene.wanstage_retarget.motion
    assert (own.job_id, own.received) == (job_id, had)
    bpy.ops.wanstage.connect(connection_file=str(poser.file))
    assert job_id in state.now.runs
    own = search(bpy.context.scene)
    assert (own.state, own.received) == ("finished", 15)
    assert Path(bpy.path.abspath(bpy.context.scene.wanstage_retarget.pose_file)).is_file()


@needs_models
def test_an_unsaved_file_takes_its_pose_file_along(scene: Any, films: Path, tmp_path: Path) -> None:
    bpy.ops.wanstage.find_motion(film=str(films / "walk.mp4"))
    assert search(scene).state == "finished"
    assert Path(scene.wanstage_retarget.pose_file).is_absolute()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"), check_existing=False)
    shown = bpy.context.scene.wanstage_retarget
    assert shown.pose_file.startswith("//wanstage/")
    assert shown.motion.folder.startswith("//wanstage/")
    assert Path(bpy.path.abspath(shown.pose_file)).is_file()


@needs_models
def test_a_clip_of_the_file_and_cancel(scene: Any, films: Path) -> None:
    from blender_addon import pump

    clip = bpy.data.movieclips.load(str(films / "walk.mp4"))
    clip.frame_start = 40
    bpy.ops.wanstage.find_motion(source="CLIP", clip=clip.name)
    own = scene.wanstage_retarget.motion
    assert own.first == 40
    assert pump.pump(lambda: own.received >= 1, TIMEOUT_S)
    bpy.ops.wanstage.cancel_motion()
    assert search(scene).state == "cancelled"
    assert scene.wanstage_retarget.pose_file == ""


@needs_models
def test_what_cannot_be_done_is_a_sentence(scene: Any, films: Path, refused: Callable[..., str]) -> None:
    find = bpy.ops.wanstage.find_motion
    assert refused(find).startswith("Choose a film first")
    assert "There is no film at" in refused(find, film="/nowhere/a.mp4")
    assert "cannot be read as a film" in refused(find, film=str(films / "broken.mp4"))
    assert "Choose a movie clip" in refused(find, source="CLIP")
    assert "no such take" in refused(find, source="TAKE")
    assert find(film=str(films / "none.mp4")) == {"FINISHED"}
    assert "already" in refused(find, film=str(films / "none.mp4"))
    own = search(scene)
    assert own.state == "failed"
    assert own.problem.startswith("Nobody was found in the clip")
    bpy.ops.wanstage.disconnect()
    assert "No backend is connected" in refused(find, film=str(films / "walk.mp4"))


def test_a_backend_without_models_says_what_to_run(
    shot: Any, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bare = Backend(tmp_path / "bare")
    bare.start()
    try:
        bpy.ops.wanstage.connect(connection_file=str(bare.file))
        assert bpy.ops.wanstage.find_motion(film=str(films / "walk.mp4")) == {"FINISHED"}
        own = search(shot)
        assert own.state == "failed"
        assert "wanstage models pull pose" in own.problem
        bpy.ops.wanstage.copy_motion_pull()
        assert bpy.context.window_manager.clipboard in {"wanstage models pull pose", ""}  # bpy has no clipboard
    finally:
        bpy.ops.wanstage.disconnect()
        bare.stop()


# ---- did it follow ----------------------------------------------------------------------------------

PERSON = ROOT / "examples" / "assets" / "reference_man.png"


@pytest.fixture(scope="module")
def jump(tmp_path_factory: pytest.TempPathFactory, poser: Backend) -> Path:
    """The example's human with a draft take of the examples' man, as a saved file."""
    import blender_addon
    from blender_addon import pump, takes

    folder = tmp_path_factory.mktemp("jump")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANSTAGE_DATA", str(folder / "data"))
        blender_addon.register()
        try:
            bpy.ops.wm.open_mainfile(filepath=str(ROOT / "examples" / "assets" / "previz_human.blend"), load_ui=False)
            scene = bpy.context.scene
            scene.render.fps, scene.frame_start, scene.frame_end = 24, 1, 20
            camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
            camera.location, camera.rotation_euler = (0, -4.2, 1.0), (1.5708, 0, 0)
            scene.collection.objects.link(camera)
            scene.camera = camera
            own = scene.wanstage
            own.size, own.width, own.height, own.engine, own.task, own.fps = "CUSTOM", 480, 480, "draft", "animate", 16
            own.plate_samples = 1
            bpy.data.objects["Hero"].wanstage.reference = str(PERSON)
            bpy.ops.wm.save_as_mainfile(filepath=str(folder / "jump.blend"), check_existing=False)
            bpy.ops.wanstage.connect(connection_file=str(poser.file))
            bpy.ops.wanstage.generate()
            take = bpy.context.scene.wanstage.takes[-1]
            assert pump.run_until([take.job_id], TIMEOUT_S)
            assert (take.state, take.frames_done) == ("finished", take.frames), take.problem
            assert takes.folder(take).is_dir()
            bpy.ops.wm.save_mainfile()
        finally:
            blender_addon.unregister()
    return folder / "jump.blend"


@pytest.fixture
def filmed(addon: Any, jump: Path, poser: Backend, tmp_path: Path) -> Any:
    """A copy of the scene with its take, connected."""
    shutil.copytree(jump.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("data"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "copy" / jump.name), load_ui=False)
    assert bpy.ops.wanstage.connect(connection_file=str(poser.file)) == {"FINISHED"}
    return bpy.context.scene


def told(scene: Any) -> dict[str, Any]:
    """What the take's metadata says of the only person."""
    from blender_addon import takes

    (person,) = takes.meta(scene.wanstage.takes[0])["follow"]["people"]
    return person


def raise_arm(first: float, last: float) -> None:
    """Animate the left arm away from what the take was made from, between two scene frames."""
    rig = bpy.data.objects["Hero"]
    bone = rig.pose.bones["LeftArm"]
    scene = bpy.context.scene
    bone.rotation_mode = "QUATERNION"
    for frame in (first - 1, last + 1):
        scene.frame_set(int(frame))
        bone.keyframe_insert("rotation_quaternion", frame=frame)
    for frame in range(int(first), int(last) + 1):
        scene.frame_set(frame)
        bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((0, 0, 1), 1.6)
        bone.keyframe_insert("rotation_quaternion", frame=frame)


@needs_models
def test_a_take_follows_and_an_arm_that_was_edited_is_found(filmed: Any) -> None:
    from blender_addon import takes
    from blender_addon.film import check

    scene, take = filmed, filmed.wanstage.takes[0]
    scene.timeline_markers.new("off: left arm", frame=3)  # the user's own
    assert bpy.ops.wanstage.check_take(take="1") == {"FINISHED"}
    assert search(scene).problem == ""
    good = told(scene)
    assert good["found"]
    assert good["off"] == []
    assert good["within"] < 0.04
    assert check.sentences(take) == [f"Follows within {100 * good['within']:.0f} % of the height"]
    assert len(scene.timeline_markers) == 1
    before = (takes.folder(take) / "follow.png").read_bytes()
    raise_arm(9, 20)
    assert bpy.ops.wanstage.check_take() == {"FINISHED"}, "the pose is there: no job"
    (off,) = told(scene)["off"]
    assert off["part"] == "left arm"
    assert (off["first"], off["last"]) == (6, 11)  # scene frames 8.5 to 16; from there on the trunk hides it
    assert off["worst"] > 0.2
    assert "left arm off in frames 6 to 11" in check.sentences(take)[0]
    assert sorted(mark.frame for mark in scene.timeline_markers) == [3, 8]
    assert (takes.folder(take) / "follow.png").read_bytes() != before
    assert json.loads((takes.folder(take) / "take.json").read_text())["follow"]["people"][0]["off"] == [off]
    bpy.ops.wanstage.check_take()
    assert len(scene.timeline_markers) == 2, "the markers of before are replaced"
    bpy.ops.wanstage.clear_follow_markers()
    assert [mark.frame for mark in scene.timeline_markers] == [3]


@needs_models
def test_the_motion_of_a_take_lands_in_the_world_and_its_frames_are_sent_where_they_are_gone(filmed: Any) -> None:
    from blender_addon import pump, state
    from blender_addon.retarget import posefile

    scene, take = filmed, filmed.wanstage.takes[0]
    state.now.client.remove(take.job_id)  # the backend's copy
    take.frame_start = 5
    assert bpy.ops.wanstage.find_motion(source="TAKE", take=take.name) == {"FINISHED"}
    own = search(scene)
    assert (own.state, own.problem) == ("finished", "")
    shown = scene.wanstage_retarget
    assert (shown.first, Path(shown.pose_file).name) == (5, "pose.npz")
    found = posefile.read_pose(Path(bpy.path.abspath(shown.pose_file)))
    assert (found.space, found.fps, found.frames) == ("world", 16.0, take.frames)
    rig = bpy.data.objects["Hero"]
    scene.frame_set(5)
    hips = rig.matrix_world @ rig.pose.bones["Hips"].head
    assert np.linalg.norm(found.person.root[0, [0, 2]] - np.array(hips)[[0, 2]]) < 0.25  # metres, across the view
    assert pump.pump(lambda: True, 1.0)


@needs_models
def test_no_rig_to_compare_with_is_a_sentence(filmed: Any, refused: Callable[..., str]) -> None:
    assert "no such take" in refused(bpy.ops.wanstage.check_take, take="Take 9")
    bpy.data.objects["Hero"].wanstage.use = False
    assert "no armature in the shot" in refused(bpy.ops.wanstage.check_take)
    assert not bpy.context.scene.wanstage_retarget.motion.job_id
