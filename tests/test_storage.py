"""Splits on disk: what is in them, and that they are made once, completely or not at all."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lra_design.errors import DataError, UsageError
from lra_design.home import HOME_VARIABLE, home
from tasks.listops import LISTOPS_MINI
from tasks.probes import PROBES
from tasks.probes.copying import COPYING
from tasks.probes.recall import RECALL
from tasks.registry import TASKS, get_task, listed_tasks
from tasks.splits.drawing import draw_distinct, fingerprints
from tasks.splits.preparation import Preparation, prepare_split
from tasks.splits.split_files import (
    SplitWriter,
    check_content,
    map_examples,
    read_description,
)
from tasks.splits.storage import describe_split, load_split, split_hash
from tasks.stream import below, words
from tasks.task import SPLIT_NAMES, UNLABELLED, Examples, Files, SplitName, Task

MINI_TRAIN_HASH = "f4a5503b687240841fc409dab0f11704348810e06bde308e1daccb9d670c892f"
SMALL_SIZES: dict[SplitName, int] = {"train": 61, "validation": 31, "test": 29}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def draw_three_of_five(seed: int, start: int, count: int) -> Examples:
    """Sequences of three of five symbols, of which there are 125; labelled by their first."""
    symbols = below(5, words(seed, start, count, 3))
    return Examples(
        tokens=(1 + symbols).astype(np.uint8).ravel(),
        offsets=3 * np.arange(count + 1, dtype=np.int64),
        labels=symbols[:, 0].astype(np.int16),
    )


TINY = dataclasses.replace(
    COPYING,
    id="tiny",
    labels="example",
    num_classes=5,
    max_seq_len=3,
    sizes=SMALL_SIZES,
    generator="three of five 1",
    draw=draw_three_of_five,
)
SMALL_COPYING = dataclasses.replace(COPYING, sizes=SMALL_SIZES)


def split_folder(task: Task, split: SplitName) -> Path:
    (folder,) = (path for path in (home() / "data" / task.id).glob(f"{split}-*") if path.is_dir())
    return folder


def drawn(task: Task, seed: int, count: int, folder: Path, num_workers: int = 1) -> Examples:
    parts = draw_distinct(task, seed, count, set(), kept_in=folder, num_workers=num_workers)
    return joined(list(parts))


def stream_of(task: Task, seed: int, start: int, count: int) -> Examples:
    assert task.draw is not None
    return task.draw(seed, start, count)


def joined(parts: list[Examples]) -> Examples:
    lengths = np.concatenate([part.lengths for part in parts])
    return Examples(
        tokens=np.concatenate([part.tokens for part in parts]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        labels=np.concatenate([part.labels for part in parts]),
    )


def same(one: Examples, other: Examples) -> bool:
    names = ("tokens", "offsets", "labels")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


LISTED = {task.id: task for task in listed_tasks()}
GENERATED = {id: task for id, task in LISTED.items() if task.draw}


def test_every_task_is_known_by_its_id() -> None:
    assert all(get_task(id) is task for id, task in LISTED.items())
    assert all(task.id == id for id, task in TASKS.items())


@pytest.mark.parametrize("task", LISTED.values(), ids=LISTED)
def test_a_task_is_what_it_says(task: Task) -> None:
    assert set(task.sizes) == set(SPLIT_NAMES)
    assert len(set(task.vocabulary)) == len(task.vocabulary)
    assert 1 / task.num_classes <= task.chance + 1e-9
    assert all((task.title, task.generator, task.source, task.licence, task.citation))
    if task.splits_of:
        assert (task.splits_of.sizes, task.splits_of.documents) == (task.sizes, task.documents)


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, id=name, marks=[pytest.mark.slow] if name == "pathx-v1" else [])
        for name, task in GENERATED.items()
    ],
)
def test_a_generated_task_gives_what_it_says(task: Task) -> None:
    count = 2003 if task.max_seq_len <= 2000 else 211
    examples = stream_of(task, 179, 0, count)
    labels = examples.labels[examples.labels != UNLABELLED]
    shares = np.bincount(labels, minlength=task.num_classes) / len(labels)
    assert len(examples) == count
    ids = np.unique(examples.tokens).astype(np.int64) + task.first_id
    assert ids[0] >= 1  # padding never stands inside
    assert ids[-1] == len(task.vocabulary) - 1
    assert examples.lengths.max() <= task.max_seq_len
    assert len(shares) == task.num_classes
    assert abs(shares.max() - task.chance) < 1.5 / np.sqrt(count)
    assert len(examples.labels) == (examples.offsets[-1] if task.labels == "position" else count)


def test_only_probes_are_called_probes() -> None:
    assert {task.id for task in LISTED.values() if task.probe} == set(PROBES)


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    assert get_task("listops-mini") is LISTOPS_MINI
    with pytest.raises(UsageError, match="Did you mean 'listops-v1'"):
        get_task("listops-1")


def test_an_unknown_split_is_answered_with_the_known() -> None:
    with pytest.raises(UsageError, match="test, train, validation"):
        load_split(TINY, "valid")  # type: ignore[arg-type]


def test_the_public_training_split_never_changes() -> None:
    assert split_hash(LISTOPS_MINI, "train") == MINI_TRAIN_HASH


@pytest.mark.parametrize("task", [TINY, RECALL, LISTOPS_MINI], ids=lambda task: task.id)
def test_no_example_occurs_twice(task: Task) -> None:
    """Of the 125 different examples of the tiny task the three splits take 121."""
    splits = [list(fingerprints(load_split(task, split))) for split in reversed(SPLIT_NAMES)]
    assert [len(split) for split in splits] == [task.sizes[name] for name in reversed(SPLIT_NAMES)]
    assert all(len(set(split)) == len(split) for split in splits)
    assert all(not set(one) & set(other) for one, other in combinations(splits, 2))


def test_labels_stay_with_their_examples() -> None:
    examples = load_split(TINY, "test")
    assert np.array_equal(examples.labels, examples.tokens[examples.offsets[:-1]] - 1)


def test_position_labels_stay_with_their_tokens(tmp_path: Path) -> None:
    """Where every second index repeats the one before, half of all examples are left out."""

    def draw_twice(seed: int, start: int, count: int) -> Examples:
        halves = [stream_of(RECALL, seed, index // 2, 1) for index in range(start, start + count)]
        lengths = [0, *(len(half.tokens) for half in halves)]
        return Examples(
            tokens=np.concatenate([half.tokens for half in halves]),
            offsets=np.cumsum(lengths, dtype=np.int64),
            labels=np.concatenate([half.labels for half in halves]),
        )

    task = dataclasses.replace(RECALL, draw=draw_twice, generator="twice 1")
    assert same(drawn(task, 181, 37, tmp_path), stream_of(RECALL, 181, 0, 37))


def test_too_few_different_examples_are_an_error() -> None:
    task = dataclasses.replace(TINY, sizes=SMALL_SIZES | {"test": 37})
    with pytest.raises(DataError, match="too few different examples for tiny: expected 37, found"):
        load_split(task, "test")


def test_a_second_load_reads_what_the_first_made() -> None:
    task = dataclasses.replace(SMALL_COPYING)
    made = load_split(task, "train")
    never = dataclasses.replace(task, draw=lambda seed, start, count: pytest.fail("drawn again"))
    assert same(load_split(never, "train"), made)
    assert isinstance(made.tokens, np.memmap)
    assert split_hash(never, "train") == split_hash(task, "train")


def test_training_is_public_and_the_rest_is_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {split: load_split(SMALL_COPYING, split) for split in SPLIT_NAMES}
    hashes = {split_hash(SMALL_COPYING, split) for split in SPLIT_NAMES}
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))
    there = {split: load_split(SMALL_COPYING, split) for split in SPLIT_NAMES}
    assert same(here["train"], there["train"])
    assert not same(here["validation"], there["validation"])
    assert not same(here["test"], there["test"])
    assert len(hashes | {split_hash(SMALL_COPYING, split) for split in SPLIT_NAMES}) == 5


def test_another_generator_or_size_is_another_folder() -> None:
    load_split(TINY, "train")
    load_split(dataclasses.replace(TINY, generator="three of five 2"), "train")
    load_split(dataclasses.replace(TINY, sizes=SMALL_SIZES | {"train": 59}), "train")
    assert len(list((home() / "data" / "tiny").glob("train-*/split.json"))) == 3


def test_another_secret_does_not_read_the_old_test_split() -> None:
    old = np.array(load_split(SMALL_COPYING, "test").tokens)
    (home() / "secret").unlink()
    assert not np.array_equal(load_split(SMALL_COPYING, "test").tokens, old)


def test_only_the_owner_can_read() -> None:
    load_split(TINY, "test")
    folder = split_folder(TINY, "test")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    load_split(TINY, "validation", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (31, 31)
    assert (61, 61) in told
    assert told == sorted(told, key=lambda pair: (-pair[1], pair[0]))


def test_examples_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    alone = drawn(COPYING, 191, 2003, tmp_path, num_workers=1)
    together = drawn(COPYING, 191, 2003, tmp_path, num_workers=2)
    assert same(alone, together)
    assert same(alone, stream_of(COPYING, 191, 0, 2003))


def test_work_that_was_interrupted_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    """The first two pieces are there; where they say something else, they are what is taken."""
    whole = drawn(COPYING, 191, 1201, tmp_path, num_workers=2)
    for path in tmp_path.glob("*-500-*.npz"):
        path.unlink()
    (first,) = tmp_path.glob("*-0-500.npz")
    other = stream_of(COPYING, 193, 0, 500)
    np.savez(first, **vars(other))
    again = drawn(COPYING, 191, 1201, tmp_path, num_workers=2)
    border = whole.offsets[500]
    assert np.array_equal(again.tokens[:border], other.tokens)
    assert np.array_equal(again.tokens[border:], whole.tokens[border:])


@pytest.mark.slow
def test_processes_that_ask_at_once_do_the_work_once() -> None:
    code = (
        "from tasks.probes.copying import COPYING\n"
        "from tasks.splits.storage import load_split; told = []\n"
        "examples = load_split(COPYING, 'train', progress=lambda *pair: told.append(pair))\n"
        "print(len(told), len(examples))"
    )
    root = Path(__file__).parent.parent
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = sorted(process.communicate(timeout=60)[0].split() for process in processes)
    assert answers == [["0", "8000"], ["0", "8000"], ["16", "8000"]]


def interrupt(seed: int, start: int, count: int, *, after: int) -> Examples:
    if count > after:
        raise KeyboardInterrupt
    return draw_three_of_five(seed, start, count)


def test_interrupted_work_leaves_nothing() -> None:
    broken = dataclasses.replace(TINY, draw=functools.partial(interrupt, after=20))
    with pytest.raises(KeyboardInterrupt):
        load_split(broken, "train")
    assert [path.suffix for path in (home() / "data" / "tiny").iterdir()] == [".lock"]
    assert len(load_split(TINY, "train")) == 61


def test_what_a_killed_process_left_is_removed() -> None:
    load_split(TINY, "train")
    folder = split_folder(TINY, "train")
    draft = folder.rename(folder.with_name(f".{folder.name}.0123abcd"))
    (draft / "labels.bin").unlink()
    assert len(load_split(TINY, "train")) == 61
    assert not draft.exists()


def cut_short(folder: Path) -> None:
    tokens = folder / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-1])


def flip_a_bit(folder: Path) -> None:
    labels = folder / "labels.bin"
    content = bytearray(labels.read_bytes())
    content[-2] ^= 1
    labels.write_bytes(content)


def empty_a_file(folder: Path) -> None:
    (folder / "offsets.bin").write_bytes(b"")


def lose_a_file(folder: Path) -> None:
    (folder / "offsets.bin").unlink()


def garble_the_description(folder: Path) -> None:
    (folder / "split.json").write_text("{")


def swap_a_split(folder: Path) -> None:
    (validation,) = folder.parent.glob("validation-*/split.json")
    for path in validation.parent.iterdir():
        shutil.copy(path, folder / path.name)


@pytest.mark.parametrize(
    "damage",
    [cut_short, flip_a_bit, empty_a_file, lose_a_file, garble_the_description, swap_a_split],
    ids=lambda damage: damage.__name__,
)
def test_damage_is_noticed_and_the_remedy_helps(damage: Callable[[Path], None]) -> None:
    load_split(TINY, "test")
    folder = split_folder(TINY, "test")
    damage(folder)
    with pytest.raises(DataError, match=r"is damaged: .* Delete the folder"):
        load_split(TINY, "test")
    shutil.rmtree(folder)
    assert len(load_split(TINY, "test")) == 29


def test_a_full_disk_is_noticed_before_any_work() -> None:
    """No disk has room for 10**15 examples, and drawing them would never end."""
    task = dataclasses.replace(TINY, sizes=SMALL_SIZES | {"train": 10**15})
    with pytest.raises(DataError, match=r"not enough space .* MB free, found .* MB\. Free"):
        load_split(task, "train")


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy() -> None:
    (home() / "data").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=f"cannot write .*/data/tiny/.*set {HOME_VARIABLE}"):
        load_split(TINY, "train")


def find_one(source: Path | None, split: SplitName) -> list[Path]:
    if source is None:
        raise DataError("nothing to download")
    return [source / f"{split}.txt"]


def read_digits(paths: Sequence[Path], split: SplitName) -> Iterator[Examples]:
    """A digit a line: a sequence of so many ones, in parts of three examples."""
    digits = [int(line) for line in paths[0].read_text().split()]
    for begin in range(0, len(digits), 3):
        part = digits[begin : begin + 3]
        yield Examples(
            tokens=np.ones(sum(part), np.uint8),
            offsets=np.concatenate([[0], np.cumsum(part)]),
            labels=np.array([digit % 2 for digit in part], np.int16),
        )


FROM_FILES = Task(
    id="from-files",
    title="From files",
    vocabulary=("<pad>", "1"),
    num_classes=2,
    labels="example",
    max_seq_len=9,
    sizes={"train": 5, "validation": 2, "test": 2},
    chance=0.5,
    generator="digits 1",
    files=Files(find=find_one, read=read_digits),
    source="a shop for digits",
    licence="none",
    citation="none",
)
DIGITS = {"train": "3 1 4 1 5", "validation": "9 2", "test": "6 5"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for split, digits in DIGITS.items():
        (folder / f"{split}.txt").write_text(digits)
    return folder


def prepare(task: Task, source: Path | None, *, unverified: bool = False) -> None:
    for split in SPLIT_NAMES:
        prepare_split(task, split, Preparation(source=source, unverified=unverified))


def test_a_task_from_files_is_prepared_once(source: Path) -> None:
    with pytest.raises(DataError, match=r"lra-design data prepare from-files.*a shop for digits"):
        load_split(FROM_FILES, "train")
    prepare(FROM_FILES, source)
    shutil.rmtree(source)
    prepare(FROM_FILES, None)
    examples = load_split(FROM_FILES, "train")
    assert examples.lengths.tolist() == [3, 1, 4, 1, 5]
    assert examples.labels.tolist() == [1, 1, 0, 1, 1]


def test_a_split_says_what_it_was_read_from(source: Path) -> None:
    prepare(FROM_FILES, source)
    stored = describe_split(FROM_FILES, "test")
    assert stored.sources == {"test.txt": hashlib.sha256(b"6 5").hexdigest()}
    assert not stored.verified


def test_another_view_of_a_task_has_the_same_splits(source: Path) -> None:
    view = dataclasses.replace(FROM_FILES, id="view", splits_of=FROM_FILES, window=3)
    prepare(view, source)
    assert split_hash(view, "test") == split_hash(FROM_FILES, "test")
    assert [path.name for path in (home() / "data").iterdir()] == ["from-files"]


def pinned(task: Task, source: Path) -> Task:
    """The task with the hashes its splits have now, and nothing prepared."""
    prepare(task, source)
    hashes = {split: split_hash(task, split) for split in SPLIT_NAMES}
    shutil.rmtree(home() / "data")
    return dataclasses.replace(task, hashes=hashes)


def test_another_source_than_the_pinned_one_is_refused_or_says_so(source: Path) -> None:
    task = pinned(FROM_FILES, source)
    prepare(task, source)
    assert describe_split(task, "validation").verified
    shutil.rmtree(home() / "data")
    (source / "validation.txt").write_text("9 3")
    with pytest.raises(DataError, match=r"expected from-files/validation with SHA-256 .*--unverif"):
        prepare(task, source)
    assert not list((home() / "data" / "from-files").glob("*validation*/"))
    prepare(task, source, unverified=True)
    assert not describe_split(task, "validation").verified
    assert describe_split(task, "test").verified


def test_a_pinned_file_is_compared_before_it_is_read(source: Path) -> None:
    known = hashlib.sha256(b"3 1 4 1 5").hexdigest()
    files = dataclasses.replace(FROM_FILES.files, checksums={"train.txt": known})
    task = dataclasses.replace(FROM_FILES, files=files)
    prepare_split(task, "train", Preparation(source=source))
    assert describe_split(task, "train").verified
    shutil.rmtree(home() / "data")
    (source / "train.txt").write_text("not digits at all")
    with pytest.raises(DataError, match=f"train.txt is not the file .* expected SHA-256 {known}"):
        prepare_split(task, "train", Preparation(source=source))


def test_an_incomplete_source_is_refused(source: Path) -> None:
    (source / "train.txt").write_text("3 1 4 1")
    with pytest.raises(DataError, match="expected 5 examples of from-files/train, found 4"):
        prepare(FROM_FILES, source)
    assert not list((home() / "data" / "from-files").glob("*/"))


def test_a_generator_that_runs_differently_is_noticed() -> None:
    task = dataclasses.replace(TINY, hashes={"train": "0" * 64})
    with pytest.raises(DataError, match="The generator runs differently here"):
        load_split(task, "train")


def test_pairs_are_pairs_again(source: Path) -> None:

    def read(paths: Sequence[Path], split: SplitName) -> Iterator[Examples]:
        for part in read_digits(paths, split):
            if len(part) == 3:
                yield dataclasses.replace(
                    part,
                    tokens=part.tokens[: part.offsets[2]],
                    offsets=part.offsets[:3],
                    labels=part.labels[:1],
                    documents=2,
                )

    files = dataclasses.replace(FROM_FILES.files, read=read)
    task = dataclasses.replace(
        FROM_FILES, files=files, documents=2, sizes=FROM_FILES.sizes | {"train": 1}
    )
    prepare_split(task, "train", Preparation(source=source))
    examples = load_split(task, "train")
    assert len(examples) == len(examples.labels) == 1
    assert examples.lengths.tolist() == [3, 1]


def test_a_pair_is_known_by_where_it_parts() -> None:
    def pair(border: int) -> Examples:
        return Examples(
            tokens=np.ones(7, np.uint8),
            offsets=np.array([0, border, 7]),
            labels=np.zeros(1, np.int16),
            documents=2,
        )

    marks = {mark for border in (2, 3, 5) for mark in fingerprints(pair(border))}
    assert len(marks) == 3


def test_a_disk_that_fills_up_leaves_nothing_behind() -> None:
    """A limit on the size of files is answered as a full disk is: by a write that fails."""
    code = (
        "import resource; from lra_design.errors import DataError\n"
        "from tasks.probes.copying import COPYING; from tasks.splits.storage import load_split\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: load_split(COPYING, 'train')\n"
        "except DataError as error: print(error)"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert "File too large. Make the disk writable and free some space" in run.stdout
    assert [path.suffix for path in (home() / "data" / COPYING.id).iterdir()] == [".lock"]
    assert len(load_split(COPYING, "train")) == 8000


@st.composite
def splits_in_parts(draw: st.DrawFn) -> list[Examples]:
    documents = draw(st.sampled_from([1, 2]))
    scale = draw(st.sampled_from([np.uint8(1), np.uint16(200)]))
    parts = []
    for count in draw(st.lists(st.integers(0, 5), min_size=1, max_size=4)):
        lengths = [draw(st.integers(1, 7)) for _ in range(count * documents)]
        tokens = draw(st.binary(min_size=sum(lengths), max_size=sum(lengths)))
        parts.append(
            Examples(
                tokens=np.frombuffer(tokens, np.uint8) * scale,
                offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
                labels=np.arange(count, dtype=np.int16) - 1,
                documents=documents,
            )
        )
    return parts


@given(splits_in_parts())
def test_what_is_written_in_parts_is_read_as_one(parts: list[Examples]) -> None:
    assume(sum(len(part) for part in parts))
    known = {"task": "t", "split": "train", "generator": "g", "sources": {}, "verified": True}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "split"
        with SplitWriter(folder) as writer:
            for part in parts:
                writer.append(part)
            writer.publish(writer.describe(**known))
        stored = read_description(folder)
        check_content(folder, stored)
        found = map_examples(folder, stored)
        assert same(found, joined(parts))
        assert found.documents == parts[0].documents
        assert len(found) == stored.num_examples == sum(len(part) for part in parts)
        assert [path.name for path in Path(name).iterdir()] == ["split"]
