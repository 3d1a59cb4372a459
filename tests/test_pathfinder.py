"""The Pathfinder generator: against a plain twin, Pillow and figures measured on the original."""

from __future__ import annotations

import hashlib
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tasks import pathfinder
from tasks.pathfinder import MINI, PATH_X, PATHFINDER_32, Constants, Pictures, draw, draw_pictures
from tasks.pathfinding.compile_kernel import sources_hash
from tasks.pathfinding.rasters import line, shrink
from tasks.pathfinding.tables import tables
from tasks.task import Task

ROOT = Path(__file__).parent.parent
NUM_PICTURES = 701


@pytest.fixture(scope="module")
def twin() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "pathfinder_generator.py"))


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_pictures(PATHFINDER_32, 101, 0, NUM_PICTURES)


def close(values: Any, expected: float, error: float) -> bool:
    """Whether a mean is within 3 standard errors of one that was measured with an error itself."""
    values = np.asarray(values, np.float64)
    own = values.std() / np.sqrt(values.size)
    return bool(abs(values.mean() - expected) <= 3 * np.hypot(own, error))


def turns(constants: Constants, found: Pictures) -> Any:
    """Degrees between the segments of the long curves, (B, 2, segments - 1)."""
    to_MCX = tables(constants).growth.candidate_MCX
    angle_MC = np.arctan2(to_MCX[..., 0], to_MCX[..., 1])
    first_MH = np.radians(np.arange(-180, 180))[None].repeat(len(to_MCX), axis=0)
    angle_MW = np.concatenate([first_MH, angle_MC], axis=1)
    angles_BPS = angle_MW[found.margins_B[:, None, None], found.segments_BPSX[..., 2]]
    turns_BPS = np.abs(np.diff(angles_BPS, axis=-1))
    return np.degrees(np.minimum(turns_BPS, 2 * np.pi - turns_BPS))


def spans(found: Pictures) -> Any:
    """From the start of a curve to its own end, and to the end of the other one, (B, 2) each."""
    starts_BPX = found.segments_BPSX[:, :, 0, :2].astype(float)
    ends_BPX = found.segments_BPSX[:, :, -1, :2].astype(float)
    return (
        np.linalg.norm(starts_BPX - ends_BPX, axis=-1),
        np.linalg.norm(starts_BPX - ends_BPX[:, ::-1], axis=-1),
    )


@pytest.mark.parametrize(
    ("constants", "count"),
    [
        (MINI, 1),
        pytest.param(PATHFINDER_32, 5, marks=pytest.mark.slow),
        pytest.param(PATH_X, 1, marks=pytest.mark.slow),
        pytest.param(replace(PATH_X, num_distractors=20), 1, marks=pytest.mark.slow),
    ],
    ids=["mini", "32", "128", "128 with 20 distractors"],
)
def test_the_twin_draws_the_same_pictures(
    twin: dict[str, Any], constants: Constants, count: int
) -> None:
    seed = 2**64 - 59  # no room for signed arithmetic
    found = draw_pictures(constants, seed, 7, count)
    for i in range(count):
        picture, label = twin["twin_picture"](constants, seed, 7 + i)
        np.testing.assert_array_equal(found.pixels_BYX[i], picture)
        assert found.labels_B[i] == label


# Measured on the original with its own random numbers: 450 pictures of its 32x32 hard setting, from
# 139,898 pairs of curves begun; the second figure is the standard error.
ORIGINAL_32 = {
    "ink": (0.34148, 0.00182),
    "levels": (64.184, 0.357),
    "grey": (20.225, 0.097),
    "white": (0.002181, 0.000063),
    "span": (13.066, 0.166),
    "turn": (32.540, 0.208),
}


@pytest.mark.parametrize("figure", ["ink", "levels", "grey", "white", "span", "turn"])
def test_pictures_are_like_the_originals(pictures: Pictures, figure: str) -> None:
    pixels = pictures.pixels_BYX
    values = {
        "ink": lambda: (pixels > 0).mean(axis=(1, 2)),
        "levels": lambda: [len(np.unique(picture)) for picture in pixels],
        "grey": lambda: pixels.mean(axis=(1, 2)),
        "white": lambda: (pixels == 255).mean(axis=(1, 2)),
        "span": lambda: spans(pictures)[0],
        "turn": lambda: turns(PATHFINDER_32, pictures),
    }[figure]()
    assert close(values, *ORIGINAL_32[figure])


def test_as_few_pairs_of_curves_succeed(pictures: Pictures) -> None:
    # 450 successes: the number of tries per success is known to one part in the square root.
    assert close(pictures.tries_B, 139_898 / 450, 139_898 / 450 / np.sqrt(450))


@pytest.mark.parametrize(
    ("constants", "live"), [(PATHFINDER_32, [30]), (PATH_X, [354, 360])], ids=["32", "128"]
)
def test_headings_that_the_original_can_use(constants: Constants, live: list[int]) -> None:
    live_MH = tables(constants).beginning.live_MH
    assert live_MH.sum(axis=1).tolist() == live
    if constants == PATHFINDER_32:
        assert (np.flatnonzero(live_MH[0]) - 180).tolist() == list(range(-150, -120))


def test_the_label_is_a_fair_coin() -> None:
    labels = draw_pictures(MINI, 103, 0, 2003).labels_B
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / np.sqrt(2003)


@pytest.mark.parametrize("constants", [MINI, PATHFINDER_32], ids=["mini", "32"])
def test_the_discs_stand_at_the_ends_that_the_label_says(constants: Constants) -> None:
    found = draw_pictures(replace(constants, curve_contrast=0.01), 107, 0, 101)
    for picture_YX, label, ends_PSX in zip(
        found.pixels_BYX, found.labels_B, found.segments_BPSX, strict=True
    ):
        starts, ends = ends_PSX[:, 0, :2], ends_PSX[:, -1, :2]
        marked = [picture_YX[y, x] == 255 for y, x in (*starts, *ends)]
        pairs = [(0, 2), (1, 3)] if label else [(0, 3), (1, 2)]
        assert any(marked[start] and marked[end] for start, end in pairs)


def best_threshold(values: Any, labels: Any) -> float:
    """Accuracy of the best threshold on a statistic, chosen on the very pictures."""
    order = np.argsort(values)
    ones = np.cumsum(labels[order])
    below = np.arange(1, len(labels) + 1)
    right = (below - ones + ones[-1] - ones) / len(labels)
    return float(max(right.max(), 1 - right.min()))


def test_ink_says_nothing_about_the_label(pictures: Pictures) -> None:
    """By chance alone the best of all thresholds is right for about half plus 1 / sqrt(n)."""
    for values in (
        (pictures.pixels_BYX > 0).sum(axis=(1, 2)),
        pictures.pixels_BYX.sum(axis=(1, 2)),
        (pictures.pixels_BYX == 255).sum(axis=(1, 2)),
    ):
        assert best_threshold(values, pictures.labels_B) < 0.5 + 2 / np.sqrt(NUM_PICTURES)


def test_the_distance_of_the_discs_says_little(pictures: Pictures) -> None:
    """In the original the best threshold on it is right for 53 % of 32x32 pictures."""
    own, other = spans(pictures)
    labels = np.repeat([1, 0], own.size)
    found = best_threshold(np.concatenate([own.ravel(), other.ravel()]), labels)
    assert abs(found - 0.533) < 4 * 0.5 / np.sqrt(2 * 450)


@pytest.mark.slow
def test_path_x_is_like_the_original() -> None:
    """Against 70 pictures of the original's 128x128 hard setting."""
    found = draw_pictures(PATH_X, 109, 0, 101)
    assert close((found.pixels_BYX > 0).mean(axis=(1, 2)), 0.13781, 0.00060)
    assert close([len(np.unique(picture)) for picture in found.pixels_BYX], 172.39, 0.57)
    assert close(found.pixels_BYX.mean(axis=(1, 2)), 7.943, 0.035)
    assert close(spans(found)[0], 76.12, 1.50)
    assert close(turns(PATH_X, found), 18.23, 0.30)
    assert close(found.tries_B, 396.3, 396.3 / np.sqrt(70))


def test_turns_are_limited_by_the_continuity(pictures: Pictures) -> None:
    assert turns(PATHFINDER_32, pictures).max() < 90
    straight = replace(MINI, window=17, seed_distance=3, continuity=1.5)
    found = turns(straight, draw_pictures(straight, 113, 0, 53))
    assert 0 < found.max() < 60


def test_constants_under_which_no_curves_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="found none in 1000000 tries"):
        draw_pictures(replace(MINI, contour_length=29), 0, 0, 2)


@pytest.mark.parametrize("length", [2, 3, 5, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_lines_are_those_of_pillow(length: int, width: int) -> None:
    centre = 2 * length + 5
    for rows in range(-length, length + 1):
        for columns in range(-length, length + 1):
            if max(abs(rows), abs(columns)) != length:
                continue
            image = Image.new("L", (2 * centre + 1, 2 * centre + 1))
            ends = [(centre, centre), (centre + columns, centre + rows)]
            ImageDraw.Draw(image).line(ends, fill=255, width=width)
            found = np.zeros((2 * centre + 1, 2 * centre + 1), np.uint8)
            for row, first, last in line(rows, columns, width):
                found[centre + row, centre + first : centre + last + 1] = 255
            np.testing.assert_array_equal(found, np.array(image))


@pytest.mark.parametrize(("large", "small"), [(41, 21), (64, 32), (23, 7), (17, 17)])
def test_pictures_shrink_as_with_pillow(large: int, small: int) -> None:
    images = np.random.default_rng(127).integers(0, 256, (5, large, large)).astype(np.uint8)
    for image, found in zip(images, shrink(images, small), strict=True):
        expected = Image.fromarray(image).resize((small, small), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(found, np.array(expected))


@pytest.mark.parametrize("constants", [MINI, PATHFINDER_32], ids=["mini", "32"])
def test_an_example_depends_on_seed_and_index_alone(constants: Constants) -> None:
    whole, part = draw(constants, 127, 0, 23), draw(constants, 127, 17, 5)
    size = constants.window**2
    np.testing.assert_array_equal(part.tokens, whole.tokens[17 * size : 22 * size])
    np.testing.assert_array_equal(part.labels, whole.labels[17:22])
    assert (draw(constants, 131, 17, 5).tokens != part.tokens).any()


def test_examples_are_whole_pictures() -> None:
    examples = draw(MINI, 1, 0, 7)
    assert examples.lengths.tolist() == [MINI.window**2] * 7
    assert (examples.tokens.dtype, examples.tokens.max()) == (np.uint8, 255)


def test_the_example_in_the_docstring() -> None:
    found = draw_pictures(MINI, 0, 0, 1)
    lines = ["    " + " ".join(f"{grey:3d}" for grey in row) for row in found.pixels_BYX[0]]
    documented = pathfinder.__doc__ or ""
    assert "\n".join(lines) in documented
    assert f"label {found.labels_B[0]}" in documented


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 8}, "four times seed_distance"),
        ({"thickness": 0.3}, "multiple of 1 / antialias_scale"),
        ({"margins": ()}, "margins"),
        ({"margins": (0,)}, "margins"),
        ({"padding": 0}, "padding of at least 1"),
        ({"contour_length": 1}, "at least 2 segments"),
        ({"num_distractors": -1}, "no negative numbers"),
        ({"continuity": 0.0}, "continuity"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_constants_without_pictures_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MINI, **change)


def test_a_window_without_room_for_a_first_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="room for a first segment"):
        tables(replace(MINI, window=9))


@pytest.mark.parametrize(
    ("task", "count", "expected"),
    [
        (
            pathfinder.PATHFINDER32,
            200,
            "b1b93318fa45b7c55deff3d4d8a7c419f83bec8bc6dedf8f7c0bd33636675567",
        ),
        (pathfinder.PATHX, 20, "cb209050e354440dd2cc030e4cdfe3af00189b3ef975e33aa802483235c70ce3"),
    ],
    ids=["32", "128"],
)
def test_training_streams_are_the_same_everywhere(task: Task, count: int, expected: str) -> None:
    """The first examples of the public training stream, as tasks.splits.preparation seeds it."""
    name = hashlib.sha256(f"lra-design/{task.id}/train".encode()).digest()
    assert task.draw is not None
    examples = task.draw(int.from_bytes(name[:8], "little"), 0, count)
    labels = examples.labels.astype("<i2").tobytes()
    assert hashlib.sha256(examples.tokens.tobytes() + labels).hexdigest() == expected


def test_each_file_counts_for_what_is_kept_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "pathfinding"
    shutil.copytree(ROOT / "tasks" / "pathfinding", folder)
    found = {sources_hash(folder)}
    files = sorted(folder.glob("*.py"))
    for file in files:
        file.write_text(file.read_text() + "# another line\n")
        found.add(sources_hash(folder))
    assert len(found) == len(files) + 1


def first_mini_picture(folder: Path, cache: str) -> list[int]:
    """Drawn by another process with the package in `folder`."""
    code = "from tasks import pathfinder; print(*pathfinder.draw(pathfinder.MINI, 0, 0, 1).tokens)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(grey) for grey in run.stdout.split()]


@pytest.mark.slow
def test_what_is_kept_compiled_is_not_used_after_a_change(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks")
    expected = draw(MINI, 0, 0, 1).tokens
    cache = str(tmp_path / "cache")
    assert first_mini_picture(tmp_path, cache) == expected.tolist()
    file = tmp_path / "tasks" / "pathfinding" / "ink_kernel.py"  # not that of the kept function
    changed = file.read_text().replace("* scale, 255.0)", "* scale, 254.0)")
    file.write_text(changed)
    assert first_mini_picture(tmp_path, cache) == expected.clip(0, 254).tolist()


@pytest.mark.slow
def test_without_a_cache_folder_it_compiles_all_the_same() -> None:
    found = first_mini_picture(ROOT, "/dev/null/no-folder")
    assert found == draw(MINI, 0, 0, 1).tokens.tolist()
