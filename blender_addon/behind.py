"""A take behind its camera's view, as the camera's background picture: seen in the viewport only, never rendered.

Blender draws it past the view transform, within 2 of 255 of the picture's own values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from . import colors, framefiles, paths, playback


def put(scene: bpy.types.Scene, take: Any, camera: bpy.types.Object) -> None:
    """The take behind this camera's view, in the place of another take of the shot."""
    data = camera.data
    data.show_background_images = True
    for other in scene.wanstage.takes:  # one at a time
        if playback.camera_of(other) == camera:
            take_away(other.job_id)
    folder = paths.absolute(take.frames_dir)
    image = bpy.data.images.load(str(framefiles.path_of(folder, 0)))
    image.name, image.source = f"{playback.plane_name(take.job_id)} background", "SEQUENCE"
    image[playback.MARK] = take.job_id
    image.filepath = paths.relative(framefiles.path_of(folder, 0))
    colors.set_space(image, colors.SRGB)  # these are drawn past the view transform
    picture = data.background_images.new()
    picture.source, picture.image, picture.alpha = "IMAGE", image, 1.0
    picture.frame_method = _fit(scene, take, data)
    playback.hold_one(picture.image_user)
    playback.set_time(picture.image_user, take, scene)


def _fit(scene: bpy.types.Scene, take: Any, data: bpy.types.Camera) -> str:
    """How the picture fills the frame so that both have the length that the sensor is fitted to."""
    render = scene.render
    frame = render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y)
    picture = playback.aspect(take)
    by_width = data.sensor_fit == "HORIZONTAL" or (data.sensor_fit == "AUTO" and frame >= 1)
    return "FIT" if by_width == (picture >= frame) else "CROP"


def take_away(job_id: str) -> bool:
    """No camera shows this take behind its view any more; whether one did."""
    found = False
    for data in bpy.data.cameras:
        for index in reversed(range(len(data.background_images))):
            image = data.background_images[index].image
            if image is not None and image.get(playback.MARK) == job_id:
                _remove(data, index)
                bpy.data.images.remove(image)
                found = True
    return found


def _remove(data: bpy.types.Camera, index: int) -> None:
    """One picture with its driver; the drivers of those behind it move up, since their paths are numbers."""
    pictures = data.background_images
    pictures[index].image_user.driver_remove("frame_offset")
    pictures.remove(pictures[index])
    for driver in data.animation_data.drivers if data.animation_data else ():
        for later in range(index + 1, len(pictures) + 1):
            old = f"background_images[{later}]."
            if driver.data_path.startswith(old):
                driver.data_path = driver.data_path.replace(old, f"background_images[{later - 1}].")
                break


def point_at(job_id: str, first_file: Path) -> None:
    """The frames have moved."""
    for image in bpy.data.images:
        if image.get(playback.MARK) == job_id:
            image.filepath = paths.relative(first_file)
