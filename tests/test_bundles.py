"""Bundles: what is written can be read on every machine, and nothing else can be read at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from run_records import make_dossier, make_run, make_score
from safetensors.torch import save

from agent_sandbox.fingerprint.records import Neighbour
from leaderboards.bundles import layout
from leaderboards.bundles.agreement import (
    Verification,
    another_seed_tolerance,
    compare_retrained,
    compare_scores,
    two_sample_tolerance,
)
from leaderboards.bundles.archive import archive_bytes
from leaderboards.bundles.layout import content_hash
from leaderboards.bundles.plain_json import canonical
from leaderboards.bundles.reading import extract_weights, read_bundle
from leaderboards.bundles.writing import write_bundle
from leaderboards.contents import read_contents
from leaderboards.dossiers import Dossier, dossier_of
from leaderboards.site import make_site, write_site
from leaderboards.store import Store
from lra_design.cli import run as run_cli
from lra_design.errors import DataError, RecordError, UsageError
from lra_design.records import Run, Score, to_json
from mechanisms import reference_hash, reference_source
from trainers.job import identity
from trainers.referee import run_job

SOURCE = "# a mechanism, or so it says\n"
HASH = hashlib.sha256(SOURCE.encode()).hexdigest()
SPLIT = "5" * 64
HOSTILE = "</script><img src=x onerror=alert(1)>\u202e{{7*7}}\x1b[31m'\";../../x"


def a_score(split: str, hits: int) -> Score:
    return make_score("listops-mini", split, hits / 401)


def a_run(seed: int, hits: int = 200, **changes: Any) -> Run:
    """A scored record whose id is that of its content."""
    run = make_run("a", seed, 0.5, source=SOURCE, source_hash=HASH, origin="candidate")
    scores = {"validation": a_score("validation", hits), "test": a_score("test", hits)}
    run = dataclasses.replace(run, **{**scores, **changes})
    run_id = identity(run_job(run), (SPLIT, "listops-mini-validation"), run.versions)
    return dataclasses.replace(run, run_id=changes.get("run_id", run_id))


def a_dossier(**changes: Any) -> Dossier:
    nearest = Neighbour(
        name="softmax", mode="causal", distance=1.5, copy=None, shared_structure=None
    )
    dossier = make_dossier("a", neighbours=(nearest,), **{"source_hash": HASH, **changes})
    return dataclasses.replace(dossier, same_below=0.5)


def members(*runs: Run, dossier: Dossier | None = None, **changed: bytes) -> dict[str, bytes]:
    """The members of a bundle, whose manifest fits them; `changed`: by name without its ending."""
    runs = runs or (a_run(0), a_run(1))
    found = {
        "candidate.py": SOURCE.encode(),
        "dossier.json": canonical(dossier or a_dossier()),
        "runs.jsonl": b"".join(to_json(run).encode() + b"\n" for run in runs),
    }
    found = {name: changed.pop(name.partition(".")[0], held) for name, held in found.items()}
    return {**found, **changed, "bundle.json": manifest(found)}


def manifest(held: dict[str, bytes], **changes: Any) -> bytes:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    fields = {"members": digests, "schema": 1, "train_split": SPLIT}
    fields = {**fields, "content": content_hash(SPLIT, digests), **changes}
    return json.dumps(fields, sort_keys=True).encode()


def put(path: Path, held: dict[str, bytes]) -> Path:
    path.write_bytes(b"".join(archive_bytes(held)))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.lra.zip"


def refused(path: Path, says: str) -> None:
    with pytest.raises(RecordError) as error:
        read_bundle(path)
    text = str(error.value)
    assert text.startswith(f"{path} is refused: ")
    assert says in text
    assert len(text) < 700
    assert "\n" not in text


# Writing and reading.


@budget(max_examples=10)
@given(
    hits=st.lists(st.integers(0, 401), min_size=1, max_size=4),
    name=st.text(min_size=1, max_size=20, alphabet=st.characters(exclude_categories=["Cs"])),
    weights=st.lists(st.floats(width=32), max_size=5),
)
def test_what_is_written_is_read_and_depends_on_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, hits: list[int], name: str, weights: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    runs = [a_run(seed, count, name=name) for seed, count in enumerate(hits)]
    tensors = folder / "best.safetensors"
    tensors.write_bytes(save({"w": torch.tensor(weights)}))
    one = write_bundle(runs, a_dossier(), SPLIT, folder, {0: tensors})
    two = write_bundle(runs[::-1], a_dossier(), SPLIT, folder / "b.lra.zip", {0: tensors})
    assert one.read_bytes() == two.read_bytes()
    bundle = read_bundle(one)
    assert one.name == f"{bundle.manifest.content[:32]}.lra.zip"
    assert (bundle.runs, bundle.dossier, bundle.weights) == (tuple(runs), a_dossier(), (0,))
    extract_weights(bundle, 0, folder / "again")
    assert (folder / "again").read_bytes() == tensors.read_bytes()


def test_other_programs_read_it_too(file: Path) -> None:
    put(file, members())
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["bundle.json", "candidate.py", "dossier.json", "runs.jsonl"]
        assert archive.read("candidate.py").decode() == SOURCE
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644


def test_whole_numbers_where_the_schema_has_fractions_are_written_as_such(file: Path) -> None:
    run = a_run(0, usage=dataclasses.replace(a_run(0).usage, seconds=1))
    write_bundle([run], a_dossier(), SPLIT, file)
    assert read_bundle(file).runs == (run,)


def test_nothing_is_written_that_would_be_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RecordError, match="another source"):
        write_bundle([a_run(0, source="1\n")], a_dossier(source_hash=HASH), SPLIT, out)
    with pytest.raises(RecordError, match="expected a test score"):
        write_bundle([a_run(0, test=None)], a_dossier(), SPLIT, out)
    damaged = tmp_path / "best.safetensors"
    damaged.write_bytes(b"x" * 100)
    with pytest.raises(RecordError, match=r"weights/0\.safetensors: a header"):
        write_bundle([a_run(0)], a_dossier(), SPLIT, out, {0: damaged})
    with pytest.raises(UsageError, match=r"expected a file \*\.lra\.zip"):
        write_bundle([a_run(0)], a_dossier(), SPLIT, tmp_path / "a.zip")
    with pytest.raises(UsageError, match="at least one run"):
        write_bundle([], a_dossier(), SPLIT, out)
    assert not out.exists()


# The archive.


def forged(**changes: int) -> Callable[[bytes], bytes]:
    """Write other values into every entry of the directory."""
    places = {"version": 4, "flags": 8, "method": 10, "crc": 16, "packed": 20, "size": 24}
    places |= {"extra": 30, "attributes": 38, "offset": 42}
    formats = {"version": "<H", "flags": "<H", "method": "<H", "extra": "<H"}

    def forge(content: bytes) -> bytes:
        data, at = bytearray(content), 0
        while (at := data.find(b"PK\x01\x02", at)) >= 0:
            for name, value in changes.items():
                struct.pack_into(formats.get(name, "<I"), data, at + places[name], value)
            at += 4
        return bytes(data)

    return forge


def rezipped(compression: int = zipfile.ZIP_STORED, **extra: str) -> Callable[[bytes], bytes]:
    """As zipfile writes the same members, with others added."""

    def rezip(content: bytes) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", compression) as archive:
            with zipfile.ZipFile(io.BytesIO(content)) as old:
                for name in old.namelist():
                    archive.writestr(name, old.read(name))
            for name in extra.values():
                archive.writestr(name, b"x")
        return made.getvalue()

    return rezip


ABUSES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "zip slip": (rezipped(name="../../evil.py"), "no bundle has a member '../../evil.py'"),
    "absolute": (rezipped(name="/etc/passwd"), "no bundle has a member '/etc/passwd'"),
    "backslash": (rezipped(name="weights\\0.safetensors"), "no bundle has a member"),
    "folder": (rezipped(name="weights/"), "no bundle has a member 'weights/'"),
    "case": (rezipped(name="Candidate.py"), "no bundle has a member 'Candidate.py'"),
    "digits": (rezipped(name="weights/٣.safetensors"), "no bundle has a member"),
    "leading zero": (rezipped(name="weights/00.safetensors"), "no bundle has a member"),
    "screen": (rezipped(name="\x1b[31m\u202e"), r"no bundle has a member '\x1b"),
    "long name": (rezipped(name="a" * 60_000), "more than a bundle has"),
    "compressed": (rezipped(zipfile.ZIP_DEFLATED), "compressed or encrypted"),
    "dated": (rezipped(), "its layout is not that of"),
    "link": (forged(attributes=0o120777 << 16), "is a link, a folder or a device"),
    "device": (forged(attributes=0o020666 << 16), "is a link, a folder or a device"),
    "permissions": (forged(attributes=0o104755 << 16), "its layout is not that of"),
    "encrypted": (forged(flags=1), "compressed or encrypted"),
    "bomb": (forged(size=2**32 - 1, packed=2**32 - 1), "bytes, allowed"),
    "zip64": (forged(size=2**32 - 1), "compressed or encrypted"),
    "small lie": (forged(size=3, packed=3), "its layout is not that of"),
    "checksum": (forged(crc=7), "its layout is not that of"),
    "extra field": (forged(extra=4), "its directory is damaged"),
    "other member": (forged(offset=0), "its layout is not that of"),
    "prefix": (lambda content: b"#!/bin/sh\n" + content, "its layout is not that of"),
    "suffix": (lambda content: content + b"\0", "no zip archive, cut short"),
    "comment": (lambda content: content[:-2] + b"\1\0x", "no zip archive, cut short"),
    "truncated": (lambda content: content[:-30], "no zip archive, cut short"),
    "half": (lambda content: content[len(content) // 2 :], "its layout is not that of"),
    "empty": (lambda _: b"", "expected a file of"),
    "no zip": (lambda _: b"x" * 100, "no zip archive"),
    "no members": (lambda content: content[-22:-14] + b"\0" * 14, "a bundle has"),
}


@pytest.mark.parametrize("name", ABUSES)
def test_no_other_archive_is_read(file: Path, name: str) -> None:
    put(file, members())
    abuse, says = ABUSES[name]
    file.write_bytes(abuse(file.read_bytes()))
    refused(file, says)


def test_every_changed_byte_is_noticed(file: Path) -> None:
    """And no byte of it makes reading fail in a way that is no refusal."""
    put(file, members(a_run(0)))
    content = file.read_bytes()
    for place in [*range(0, len(content), 97), *range(len(content) - 300, len(content))]:
        changed = bytearray(content)
        changed[place] ^= 0x20
        file.write_bytes(changed)
        with pytest.raises(RecordError):
            read_bundle(file)


def test_two_members_of_one_name_are_refused(file: Path) -> None:
    put(file, members())
    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as archive:
        for name in old.namelist():
            archive.writestr(name, old.read(name))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("candidate.py", b"other")
    file.write_bytes(made.getvalue())
    refused(file, "two members are called candidate.py")


def test_links_and_what_is_no_file_are_not_opened(tmp_path: Path, file: Path) -> None:
    put(file, members())
    link = tmp_path / "link.lra.zip"
    link.symlink_to(file)
    with pytest.raises(DataError, match="cannot open"):
        read_bundle(link)
    with pytest.raises(DataError, match="cannot open"):
        read_bundle(tmp_path / "none.lra.zip")
    folder = tmp_path / "folder.lra.zip"
    folder.mkdir()
    with pytest.raises(DataError, match="cannot open"):
        read_bundle(folder)


def test_a_huge_file_is_refused_before_it_is_read(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(2**33)
    refused(file, "expected a file of")


def test_a_member_that_is_too_large_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, members())
    monkeypatch.setitem(layout._LIMITS, "candidate.py", len(SOURCE) - 1)
    refused(file, "'candidate.py' has 29 bytes, allowed 28")


# What is in it.


@pytest.mark.parametrize("missing", ["candidate.py", "dossier.json", "runs.jsonl", "bundle.json"])
def test_a_missing_member_is_named(file: Path, missing: str) -> None:
    held = members()
    del held[missing]
    refused(put(file, held), f"a bundle has {missing}")


def test_the_manifest_is_of_these_members(file: Path) -> None:
    held = members()
    refused(put(file, {**held, "candidate.py": b"other"}), "candidate.py is not what bundle.json")
    weights = {"weights/0.safetensors": save({"w": torch.zeros(2)})}
    refused(put(file, {**held, **weights}), "lists other members than there are")
    rest = {name: content for name, content in held.items() if name != "bundle.json"}
    refused(put(file, {**held, "bundle.json": manifest(rest, content="0" * 64)}), "has a hash that")
    newer = manifest(rest, schema=2)
    refused(
        put(file, {**held, "bundle.json": newer}), "expected schema 1, found 2: a newer version"
    )
    refused(put(file, {**held, "bundle.json": manifest(rest, more=1)}), "unknown key 'more'")


JSONS = {
    "no json": (b"{", "is no JSON of a record"),
    "a bomb of depth": (b"[" * 20_000 + b"]" * 20_000, "runs.jsonl, line 1"),
    "a list": (b"[]", "not a Run"),
    "not text": (b"\xff\xfe", "is no JSON"),
    "later schema": (b'{"schema": 3}', "expected schema 1, found 3: a newer version"),
    "empty": (b"", "is no JSON"),
}


@pytest.mark.parametrize("name", JSONS)
def test_a_line_that_is_no_record_is_named(file: Path, name: str) -> None:
    line, says = JSONS[name]
    refused(put(file, members(runs=line + b"\n")), says)
    refused(put(file, members(runs=to_json(a_run(0)).encode())), "does not end with a line break")


TEXTS = {
    "NaN": ('"accuracy": 0.', '"accuracy": NaN, "x": 0.', "NaN is no number"),
    "infinite": ('"seconds": 1.5', '"seconds": 1e999', "not finite"),
    "huge": ('"num_parameters": 1009', f'"num_parameters": {10**30}', "beyond 64 bits"),
    "longer": ('"num_parameters": 1009', f'"num_parameters": {"9" * 5000}', "is no JSON"),
    "twice": ('"seed": 0,', '"seed": 7, "seed": 0,', "not written as lra-design writes it"),
    "spaces": ('"seed": 0,', '"seed":  0,', "not written as lra-design writes it"),
    "half a pair": ('"name": "a"', '"name": "\\ud800"', "a text that no file can hold"),
    "kind": ('"seed": 0,', '"seed": "0",', "not written as lra-design writes it"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_json_that_means_two_things_or_nothing_is_refused(file: Path, name: str) -> None:
    old, new, says = TEXTS[name]
    text = to_json(a_run(0)).replace(old, new, 1) + "\n"
    assert new in text
    refused(put(file, members(runs=text.encode())), says)


def change(**changes: Any) -> Run:
    return dataclasses.replace(a_run(0), **changes)


def test_score(**changes: Any) -> Run:
    return change(test=dataclasses.replace(a_score("test", 200), **changes))


test_score.__test__ = False  # type: ignore[attr-defined]
HOST = a_run(0).host
TRAIN = a_run(0).train
EDITS: dict[str, tuple[Run, str]] = {
    "above 1": (test_score(accuracy=1.5), "expected a test score"),
    "below 0": (test_score(accuracy=-0.1), "expected a test score"),
    "no share": (test_score(accuracy=0.4999), "expected a test score"),
    "no labels": (test_score(num_labels=0, accuracy=0.0), "expected a test score"),
    "other task": (test_score(task="image-mini"), "expected a test score"),
    "other split": (test_score(split="validation"), "expected a test score"),
    "not scored": (change(test=None), "expected a test score"),
    "not validated": (a_run(0, validation=None), "expected a validation score"),
    "no moment": (change(created_at="yesterday"), "expected a moment"),
    "no name": (change(name=""), "expected a name"),
    "long name": (change(name="a" * 201), "expected a name"),
    "long agent": (change(agent="a" * 201), "expected a name and an agent"),
    "mode": (change(mode="bidirectional"), "mode"),
    "years": (change(usage=dataclasses.replace(a_run(0).usage, seconds=-1.0)), "seconds and"),
    "attempts": (change(num_attempts=0), "counts of at least 1"),
    "id": (change(run_id="0" * 64), "an id that is not that of its own content"),
    "seed": (change(seed=5), "an id that is not that of its own content"),
    "recipe": (change(train=dataclasses.replace(TRAIN, num_steps=14)), "an id that is not"),
    "layers": (a_run(0, host=dataclasses.replace(HOST, num_layers=10**9)), "256 layers"),
    "width": (a_run(0, host=dataclasses.replace(HOST, d_model=10**9)), "widths and batches"),
    "batch": (a_run(0, train=dataclasses.replace(TRAIN, batch_size=0)), "widths and batches"),
    "false reference": (change(origin="reference", name="softmax"), "the reference that it names"),
    "no reference": (change(origin="reference"), "the reference that it names"),
    "source": (change(source="# other\n"), "is of another source"),
    "hash": (change(source_hash="0" * 64), "is of another source"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_refused(file: Path, name: str) -> None:
    run, says = EDITS[name]
    refused(put(file, members(run)), says)


def test_a_reference_is_one_when_it_is_that_file(file: Path) -> None:
    digest = reference_hash("mean")
    own = {"source": reference_source("mean"), "source_hash": digest, "name": "mean"}
    run = a_run(0, origin="reference", **own)
    held = members(run, dossier=a_dossier(source_hash=digest), candidate=run.source.encode())
    assert read_bundle(put(file, held)).runs == (run,)


def test_an_edited_source_is_refused(file: Path) -> None:
    refused(put(file, members(candidate=b"# other\n")), "its certificate is of another source")
    other = hashlib.sha256(b"# other\n").hexdigest()
    held = members(candidate=b"# other\n", dossier=a_dossier(source_hash=other))
    refused(put(file, held), "the record of seed 0 is of another source")


def test_runs_that_are_not_of_one_entry_are_refused(file: Path) -> None:
    refused(put(file, members(a_run(0), a_run(0))), "each seed once")
    refused(put(file, members(a_run(1), a_run(0))), "ascending")
    refused(put(file, members(a_run(0), a_run(1, name="b"))), "not of one entry")
    steps = dataclasses.replace(TRAIN, num_steps=14)
    refused(put(file, members(a_run(0), a_run(1, train=steps))), "not of one entry")
    many = [a_run(seed) for seed in range(65)]
    refused(put(file, members(*many)), "1 to 64 seeds, found 65")
    refused(put(file, members(runs=b"")), "1 to 64 seeds, found 0")


def test_only_a_certificate_of_this_mechanism_counts(file: Path) -> None:
    for dossier, says in (
        (a_dossier(battery="fast"), "is no certificate"),
        (dataclasses.replace(a_dossier(), neighbours=()), "mechanisms are nearest"),
        (a_dossier(mode="bidirectional"), "of another source, mode or hyperparameters"),
        (a_dossier(hyperparameters={"width": 4}), "of another source, mode or hyperparameters"),
    ):
        refused(put(file, members(dossier=dossier)), says)


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a header should have"),
        (struct.pack("<Q", 2**63), "a header should have"),
        (safetensors(b"{}", b"hidden"), "its tensors take 0 bytes, found 6"),
        (safetensors(b"[]"), "no header of tensors"),
        (safetensors(b"[" * 5000), "no header of tensors"),
        (safetensors(json.dumps({"w": tensor([2], 0, 4)}).encode(), b"1234"), "no header of"),
        (safetensors(json.dumps({"w": tensor([2**50], 0, 2**52)}).encode()), "no header of"),
        (safetensors(json.dumps({"w": tensor([-1], 0, -4)}).encode()), "no header of tensors"),
        (safetensors(json.dumps({"w": tensor([1], 0, 4, "PY")}).encode(), b"1234"), "no header of"),
        (
            safetensors(
                json.dumps({"v": tensor([2], 0, 8), "w": tensor([2], 4, 12)}).encode(), b"x" * 12
            ),
            "its tensors overlap",
        ),
    ],
    ids=range(10),
)
def test_weights_that_are_no_tensors_are_refused(file: Path, content: bytes, says: str) -> None:
    held = members()
    held["weights/0.safetensors"] = content
    del held["bundle.json"]
    held["bundle.json"] = manifest(held)
    refused(put(file, held), f"weights/0.safetensors: {says}")


def test_weights_of_a_seed_without_a_record_are_refused(file: Path) -> None:
    held = {**members(), "weights/9.safetensors": save({"w": torch.zeros(2)})}
    del held["bundle.json"]
    refused(put(file, {**held, "bundle.json": manifest(held)}), "without a record: [9]")


def test_weights_that_changed_after_the_bundle_was_read_are_not_used(
    tmp_path: Path, file: Path
) -> None:
    tensors = tmp_path / "best.safetensors"
    tensors.write_bytes(save({"w": torch.zeros(2)}))
    write_bundle([a_run(0)], a_dossier(), SPLIT, file, {0: tensors})
    bundle = read_bundle(file)
    tensors.write_bytes(save({"w": torch.ones(2)}))
    write_bundle([a_run(0)], a_dossier(), SPLIT, file, {0: tensors})
    with pytest.raises(RecordError, match="has changed"):
        extract_weights(bundle, 0, tmp_path / "w")
    assert not (tmp_path / "w").exists()


# A board of bundles.


def test_a_folder_of_bundles_is_a_board(tmp_path: Path) -> None:
    runs = [a_run(seed) for seed in range(3)]
    write_bundle(runs[:2], a_dossier(), SPLIT, tmp_path / "handed/in")
    Store(tmp_path / "own").append(runs[2])
    found = read_contents([tmp_path])
    assert sorted(run.seed for run in found.runs) == [0, 1, 2]
    assert dossier_of(runs[2], found.dossiers) == a_dossier()

    damaged = put(tmp_path / "bad.lra.zip", members(change(run_id="0" * 64)))
    with pytest.raises(RecordError, match=r"bad\.lra\.zip is refused"):
        read_contents([tmp_path])
    assert run_cli(["board", "show", str(tmp_path)]) == 3
    damaged.unlink()


def test_a_second_result_of_a_run_counts_for_nothing(tmp_path: Path) -> None:
    """Two bundles with the same ids and other scores: the first counts, in whatever order."""
    again = a_run(0, 400, created_at="2026-01-05T00:00:00+00:00", name="renamed")
    write_bundle([again], a_dossier(), SPLIT, tmp_path / "0.lra.zip")
    write_bundle([a_run(0)], a_dossier(), SPLIT, tmp_path / "1.lra.zip")
    found = read_contents([tmp_path])
    assert (found.runs, found.repeats) == ((a_run(0),), (again,))


def test_hostile_text_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, notes, findings, neighbours: read as they are, shown as text on page and screen."""
    finding = {"expected": HOSTILE, "found": HOSTILE, "likely_cause": HOSTILE, "hint": HOSTILE}
    from lra_design.records import Finding

    warning = Finding(check=HOSTILE, name=HOSTILE, tier="warning", where=HOSTILE, **finding)
    hardware = dataclasses.replace(a_run(0).hardware, processor=HOSTILE, device=HOSTILE)
    run = a_run(0, name=HOSTILE, agent=HOSTILE, findings=(warning,), hardware=hardware)
    near = Neighbour(name=HOSTILE, mode="causal", distance=1.0, copy=None, shared_structure=None)
    dossier = dataclasses.replace(
        a_dossier(mechanism=HOSTILE, findings=(warning,)), neighbours=(near,)
    )
    write_bundle([run], dossier, SPLIT, tmp_path / "in")
    contents = read_contents([tmp_path])
    assert contents.runs == (run,)
    site = make_site(contents, {"listops-mini": 0.1}, title="t", notes=())
    write_site(site, tmp_path / "site")
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text()
        assert "<img" not in text
        assert "{{7*7}}" in text or HOSTILE[:9] not in text
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert run_cli(["board", "show", str(tmp_path / "in")]) == 0
    assert "\x1b" not in capsys.readouterr().out


# Comparing.


def test_scores_are_compared_exactly_or_as_samples() -> None:
    claimed = a_score("test", 200)
    for found, agrees in (
        (a_score("test", 200), [True, True]),
        (a_score("test", 202), [True, True]),
        (a_score("test", 203), [True, False]),
        (dataclasses.replace(a_score("test", 230), split_hash="x"), [True]),
        (dataclasses.replace(a_score("test", 260), split_hash="x"), [False]),
        (dataclasses.replace(a_score("test", 200), num_labels=400), [False, True]),
    ):
        assert [figure.agrees for figure in compare_scores("a", claimed, found)] == agrees


def test_the_tolerance_of_two_samples_is_kept_by_honest_scores() -> None:
    """Of 20,000 honest pairs about one in a thousand is beyond it, at any share."""
    generator = torch.Generator().manual_seed(3)
    for share in (0.1, 0.5, 0.97):
        hits = torch.binomial(
            torch.full((2, 20_000), 401.0), torch.full((2, 20_000), share), generator=generator
        )
        distinct, counts = hits.long().unique(dim=1, return_counts=True)
        beyond = 0
        for (a, b), count in zip(distinct.T.tolist(), counts.tolist(), strict=True):
            one, two = a_score("test", a), a_score("test", b)
            if abs(one.accuracy - two.accuracy) > two_sample_tolerance(one, two):
                beyond += count
        assert beyond <= 40


def test_a_seed_trained_elsewhere_is_compared_with_the_others() -> None:
    runs = [a_run(seed, hits) for seed, hits in enumerate([190, 200, 210, 204, 196])]
    (figure,) = compare_retrained(runs, runs[2], a_run(2, 211))
    assert (figure.claimed, figure.agrees) == (210 / 401, True)  # the same machine: one label
    (figure,) = compare_retrained(runs, runs[2], a_run(2, 190))
    assert figure.agrees is False
    hardware = dataclasses.replace(runs[0].hardware, processor="another")
    (figure,) = compare_retrained(runs, runs[2], a_run(2, 190, hardware=hardware))
    assert figure.agrees
    assert figure.tolerance == another_seed_tolerance([run.validation.accuracy for run in runs])  # type: ignore[union-attr]
    (figure,) = compare_retrained(runs, runs[2], a_run(2, 300, hardware=hardware))
    assert figure.agrees is False
    (figure,) = compare_retrained(runs[:2], runs[0], a_run(0, 190, hardware=hardware))
    assert figure.agrees is None


def test_what_could_not_be_checked_does_not_agree() -> None:
    empty = Verification(file="a", content=None, name=None)
    assert not empty.agrees
