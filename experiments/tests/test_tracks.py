"""Frames of one traffic sign stay on one side of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tanas.ground.seeds import Seed
from tanas.tasks.library import Library
from tanas_experiments.tracks import by_track, write_official

SIGNS, TRACKS, FRAMES = 3, 5, 4


def write_signs(path: Path) -> np.ndarray:
    """Writes signs of three kinds with several tracks of frames each, and test images; returns the test images."""
    random = np.random.default_rng(1)
    x = random.integers(0, 255, (SIGNS * TRACKS * FRAMES + 30, 8, 8, 3), dtype=np.uint8)
    y = np.concatenate([np.repeat(np.arange(SIGNS), TRACKS * FRAMES), np.arange(30) % SIGNS])
    test = np.arange(len(x)) >= SIGNS * TRACKS * FRAMES
    track = np.where(test, -1, np.arange(len(x)) // FRAMES)
    np.savez(path, x=x, y=y, test=test, track=track, classes=np.array(["stop", "go", "turn"]))
    return x[test]


def test_tracks_are_on_one_side_and_the_test_images_are_the_official_ones(tmp_path: Path) -> None:
    source, official = tmp_path / "tracked.npz", tmp_path / "signs.npz"
    test = write_signs(source)
    write_official(source, official)
    task = by_track(Library().open(f"npz:{official}"), source, Seed(0))
    with np.load(source) as file:
        tracks = {image.tobytes(): int(track) for image, track in zip(file["x"], file["track"], strict=True)}

    def tracks_of(name: str) -> set[int]:
        split = getattr(task, name)
        images = split.images[split.rows].movedim(1, 3).contiguous().numpy()
        return {tracks[image.tobytes()] for image in images}

    train, validation = tracks_of("train"), tracks_of("validation")
    assert train
    assert validation
    assert not train & validation
    assert len(task.train) + len(task.validation) == SIGNS * TRACKS * FRAMES
    assert set(task.validation.labels.tolist()) == set(range(SIGNS))
    shown = task.sealed()[1].open()
    images = shown.images[shown.rows].movedim(1, 3).contiguous().numpy()
    assert {image.tobytes() for image in images} == {image.tobytes() for image in test}
