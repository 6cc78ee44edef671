"""One table in every form that is read: the samples are the same."""

import io
import random
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.diagnostics import SampleOptions, read_samples
from polymode.diagnostics.diagnosis import RecordedSamples
from polymode.diagnostics.recorded.interning import Interner
from polymode.errors import ArgumentError, InputError
from tests.diagnostics.recorded.made import ROWS, as_rows, json_lines, write_csv, write_json

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")


class OnlyArrow:
    """A frame of another library, as polars is to us: Arrow's interface and nothing else."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def parquet(path):
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=2)
    return path


def zstd(path):
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(json_lines(ROWS))
    return path


def folder(path):
    path.mkdir()
    for i in range(2):
        pq.write_table(pa.Table.from_pylist(ROWS[2 * i : 2 * i + 2]), path / f"part{i}.parquet")
    return path


FILES = {
    "s.jsonl": write_json,
    "s.jsonl.gz": write_json,
    "packed but not called so.jsonl": lambda path: path.write_bytes(
        write_json(path.with_suffix(".gz")).read_bytes()
    ),
    "s.jsonl.zst": zstd,
    "s.csv": write_csv,
    "s.tsv": write_csv,
    "s.parquet": parquet,
    "folder": folder,
}
FRAMES = {
    "columns": {name: [row[name] for row in ROWS] for name in ROWS[0]},
    "arrays": {name: np.asarray([row[name] for row in ROWS]) for name in ROWS[0]},
    "rows": ROWS,
    "generator": ROWS,
    "pandas": pd.DataFrame(ROWS),
    "pyarrow": pa.Table.from_pylist(ROWS),
    "arrow interface": OnlyArrow(pa.Table.from_pylist(ROWS)),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path, name):
    path = tmp_path / name
    FILES[name](path)
    samples = read_samples(path)
    assert as_rows(samples) == ROWS
    assert samples.source == str(path)
    assert list(samples.prompt_texts) == ["roll", ROWS[2]["prompt"]]
    assert list(samples.output_texts) == ["six", "one"]


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name):
    frame = FRAMES[name]
    assert as_rows(read_samples(iter(frame) if name == "generator" else frame)) == ROWS


def test_saved_data_sets(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_list(ROWS)
    assert as_rows(read_samples(data)) == ROWS
    data.save_to_disk(tmp_path / "one", num_shards=2)
    assert as_rows(read_samples(tmp_path / "one")) == ROWS
    datasets.DatasetDict(train=data).save_to_disk(tmp_path / "dict")
    assert as_rows(read_samples(tmp_path / "dict")) == ROWS
    datasets.DatasetDict(train=data, test=data).save_to_disk(tmp_path / "two")
    with pytest.raises(InputError, match=r"has 2 splits: name one of .*two/train, .*two/test"):
        read_samples(tmp_path / "two")
    assert as_rows(read_samples(tmp_path / "two" / "test")) == ROWS
    (tmp_path / "one" / "state.json").write_text('{"_data_files": [{"filename": "../x"}]}')
    with pytest.raises(InputError, match=r"not a whole data set .*'\.\./x' is no file of the fold"):
        read_samples(tmp_path / "one")


def test_a_damaged_shard_loses_rows_that_are_counted(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "s", num_shards=2)
    last = sorted((tmp_path / "s").glob("*.arrow"))[-1]
    last.write_bytes(last.read_bytes()[:300])
    samples = read_samples(tmp_path / "s", SampleOptions(bad_rows="drop"))
    assert as_rows(samples) == ROWS[:2]
    (bad,) = samples.bad_rows
    assert bad.reason == "the file is damaged here: what follows is lost"


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.csv", "s.parquet"])
def test_standard_input(tmp_path, monkeypatch, name):
    FILES[name](tmp_path / name)
    stream = io.TextIOWrapper(io.BytesIO((tmp_path / name).read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    samples = read_samples("-")
    assert as_rows(samples) == ROWS
    assert ("standard input is read as CSV" in samples.notes) == (name == "s.csv")


def test_recorded_samples_come_back_as_they_are():
    samples = read_samples(ROWS)
    assert isinstance(samples, RecordedSamples)
    assert read_samples(samples) is samples


def test_long_tables_are_read_in_pieces(tmp_path):
    """More rows than a piece has: numbers of rows and texts go on across them."""
    rows = [{**ROWS[0], "output": f"o{i % 300}", "reward": float(i)} for i in range(20_000)]
    rows[17_000] = {**rows[17_000], "reward": None}
    for source in (rows, pa.Table.from_pylist(rows), write_json(tmp_path / "s.jsonl", rows)):
        samples = read_samples(source, SampleOptions(bad_rows="drop"))
        assert samples.rewards.sum() == sum(range(20_000)) - 17_000
        assert len(samples.output_texts) == 300
        assert samples.bad_rows[0].examples[0].split()[1] == "17001"


LENGTH = 8000


def write_long(path, rows):
    """Long rows in one row group, so that nothing but the reader keeps them from memory."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        (write_csv if path.suffix == ".csv" else write_json)(path, rows)
    return path


def read_with_memory(path, keep):
    """Read, and return what that took at most: bytes of Python's and of Arrow's objects."""
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        samples = read_samples(path, SampleOptions(keep_characters=keep))
        return samples, tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


@pytest.mark.parametrize(("name", "n"), [("s.jsonl", 4000), ("s.csv", 4000), ("s.parquet", 10**4)])
def test_texts_that_are_not_kept_are_never_together_in_memory(tmp_path, name, n):
    """Texts pass through 4 MB at a time, held a few times over."""
    rng = random.Random(0)
    rows = [{**ROWS[0], "output": rng.randbytes(LENGTH // 2).hex()} for _ in range(n)]
    path = write_long(tmp_path / name, rows)
    del rows
    n_bytes = n * LENGTH
    samples, most = read_with_memory(path, 64)
    assert len(samples.output_texts) == n
    assert most < 0.8 * n_bytes
    whole, everything = read_with_memory(path, None)
    assert len(whole.output_texts[-1]) == LENGTH
    assert everything > n_bytes


def test_a_text_that_stands_for_many_rows_is_held_once_at_a_time(tmp_path):
    """A million characters for 200 rows, before texts that fill the row group."""
    rng = random.Random(0)
    texts = ["x" * 10**6] * 200 + [rng.randbytes(LENGTH // 2).hex() for _ in range(4500)]
    path = write_long(tmp_path / "s.parquet", [{**ROWS[0], "output": text} for text in texts])
    assert path.stat().st_size < 1.1 * 4500 * LENGTH
    samples, most = read_with_memory(path, 64)
    assert np.bincount(samples.output)[0] == 200
    assert most < 0.25 * 200 * 10**6


def test_places_without_samples(tmp_path):
    with pytest.raises(InputError, match="is not there: name a file of samples or a run"):
        read_samples(tmp_path / "none")
    with pytest.raises(InputError, match="has no samples: neither"):
        read_samples(tmp_path)
    (tmp_path / "s.xyz").write_text("what is this")
    with pytest.raises(InputError, match="is neither JSON Lines, CSV, TSV nor Parquet"):
        read_samples(tmp_path / "s.xyz")
    (tmp_path / "s.txt").touch()
    with pytest.raises(InputError, match="is empty"):
        read_samples(tmp_path / "s.txt")
    with pytest.raises(ArgumentError, match=r"samples must be a path.* got int"):
        read_samples(5)
    with pytest.raises(ArgumentError, match="must have one length, got prompt 2, output 1"):
        read_samples({"prompt": ["a", "b"], "output": ["c"]})
    with pytest.raises(ArgumentError, match="bad_rows must be 'refuse' or 'drop', got 'skip'"):
        SampleOptions(bad_rows="skip")


@given(st.lists(st.text(max_size=4)), st.integers(1, 3) | st.none())
def test_equal_texts_have_one_number_and_each_is_kept_once(texts, keep):
    """Oracle: a dictionary."""
    interner = Interner(keep)
    numbers, new = interner.numbers(texts)
    more, again = interner.numbers(texts)
    wanted = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    assert numbers.tolist() == more.tolist() == [wanted[text] for text in texts]
    assert new == list(wanted)
    assert not again
    assert list(interner.texts()) == [text[:keep] for text in wanted]


def test_texts_with_one_hash_stay_two(monkeypatch):
    monkeypatch.setattr("polymode.diagnostics.recorded.interning.hash", lambda _: 7, raising=False)
    interner = Interner()
    assert interner.numbers(["a", "b", "a", "c", "b"])[0].tolist() == [0, 1, 0, 2, 1]
