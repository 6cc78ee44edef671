"""What cannot be used is counted, told, and never raises anything but an error of ours."""

import gzip
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.diagnostics import Limits, SampleOptions, read_samples
from polymode.errors import InputError, PolymodeError
from tests.diagnostics.recorded.made import ROWS, as_rows, write_json

GOOD = ROWS[0]
DROP = SampleOptions(bad_rows="drop")

BAD_CELLS = {
    ("reward", "NaN"): "reward is NaN",
    ("reward", "-Infinity"): "reward is infinite",
    ("reward", "1e308"): "reward is beyond 1e+100 in size",
    ("reward", "1" + "0" * 400): "reward is beyond 1e+100 in size",
    ("reward", '"0.5"'): "reward is not a number",
    ("reward", "[1]"): "reward is not a number",
    ("reward", "null"): "reward is missing",
    ("ref_log_prob", "0.5"): "ref_log_prob is positive",
    ("ref_log_prob", "-Infinity"): "ref_log_prob is infinite",
    ("output", "null"): "output is missing",
    ("output", "5"): "output is neither text nor messages",
    ("output", '"\\ud800"'): "output is not valid Unicode text",
    ("prompt", '{"a": 1}'): "prompt is neither text nor messages",
}
BAD_LINES = {
    b"not json": "is not JSON",
    b'{"prompt": "a"': "is not JSON",
    b"[1, 2]": "is not a JSON object",
    b'{"reward": ' + b"1" * 5000 + b"}": "is not JSON that can be read",
    b"[" * 100_000: "is not JSON that can be read",
    b'{"output": "\xff"}': "is not UTF-8 text",
    b'{"output": "a\x00b"}': "is not JSON",
    b"\x00" * 50: "is not JSON",
    b'{"output": "' + b"x" * 3000 + b'"}': "is longer than 2 KiB",
}


def line_with(name, text):
    cells = {key: json.dumps(value) for key, value in GOOD.items()} | {name: text}
    return ("{" + ", ".join(f'"{key}": {cell}' for key, cell in cells.items()) + "}").encode()


@pytest.mark.parametrize(("cell", "reason"), BAD_CELLS.items(), ids=lambda x: str(x)[:40])
def test_a_bad_cell_costs_its_row(tmp_path, cell, reason):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n".join([line_with("reward", "1.0"), b"", line_with(*cell)]))
    samples = read_samples(path, DROP)
    assert as_rows(samples) == [GOOD]
    (bad,) = samples.bad_rows
    assert (bad.reason, bad.n) == (reason, 1)
    assert bad.examples[0].startswith("line 3")
    with pytest.raises(InputError, match=r"1 of 2 rows cannot be used: .*line 3.*--bad-rows drop"):
        read_samples(path)


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: repr(line[:20]))
def test_a_bad_line_costs_itself(tmp_path, line):
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n".join([line_with("reward", "1.0"), line, line_with("reward", "1.0")]))
    limits = Limits(row_bytes=2048 if len(line) < 4000 else 1 << 24)
    samples = read_samples(path, SampleOptions(bad_rows="drop", limits=limits))
    assert as_rows(samples) == [GOOD, GOOD]
    (bad,) = samples.bad_rows
    assert (bad.reason, bad.n) == (BAD_LINES[line], 1)


_CELLS = st.sampled_from([("reward", "1.0"), *BAD_CELLS])
_LINES = st.lists(
    _CELLS.map(lambda cell: line_with(*cell)) | st.sampled_from([*BAD_LINES, b"", b" \r"]),
    min_size=1,
    max_size=12,
)


@given(_LINES)
def test_rows_kept_and_rows_counted_add_up(tmp_path_factory, lines):
    """Oracle: which lines are empty, and which are good, is known by how they were made."""
    path = tmp_path_factory.mktemp("law") / "s.jsonl"
    path.write_bytes(b"\n".join(lines))
    options = SampleOptions(bad_rows="drop", limits=Limits(row_bytes=2048))
    n_rows = sum(1 for line in lines if line.strip())
    n_good = lines.count(line_with("reward", "1.0"))
    if n_good == 0:
        with pytest.raises(InputError, match=r"has no row that can be|is a JSON array"):
            read_samples(path, options)
        return
    samples = read_samples(path, options)
    assert samples.n_samples == n_good
    assert samples.n_samples + sum(bad.n for bad in samples.bad_rows) == n_rows == samples.n_rows


_JUNK = st.binary(max_size=200) | st.lists(
    st.sampled_from([*b'{}[]",:\n\r\x00\xff1e-', *b"prompt output reward ref_log_prob"])
).map(bytes)


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "s.parquet", "s.jsonl.gz", "s"])
@given(junk=_JUNK)
def test_junk_is_refused_in_our_words(tmp_path_factory, name, junk):
    path = tmp_path_factory.mktemp("junk") / name
    for data in (junk, b"PAR1" + junk, b"\x1f\x8b" + junk, b"\x28\xb5\x2f\xfd" + junk):
        path.write_bytes(data)
        with pytest.raises(PolymodeError):
            read_samples(path, DROP)


@given(st.lists(st.lists(st.sampled_from(['"', ",", "\n", "x", "1", "", "é", "\x00"])), max_size=8))
def test_no_record_of_csv_is_lost(tmp_path_factory, junk):
    """A record that is whole before and after any junk is kept, however quotes are opened."""
    path = tmp_path_factory.mktemp("csv") / "s.csv"
    good = "roll,six,1.0,-1.5\n"
    middle = "".join("".join(line) + "\n" for line in junk)
    path.write_text("prompt,output,reward,ref_log_prob\n" + good + middle + good + good)
    samples = read_samples(path, DROP)
    assert as_rows(samples)[0] == GOOD
    quoted = middle.count('"')
    if quoted == 0:
        assert as_rows(samples)[-2:] == [GOOD, GOOD]
    n_lines = sum(bool(line) for line in middle.split("\n"))
    assert samples.n_rows <= n_lines + 3
    if quoted == 0:
        assert samples.n_rows == n_lines + 3


def test_a_quote_that_is_never_closed_costs_its_line(tmp_path):
    path = tmp_path / "s.csv"
    lines = ["prompt,output,reward,ref_log_prob", "roll,six,1.0,-1.5", 'roll,"six,1.0,-1.5']
    path.write_text("\n".join([*lines, *["roll,six,1.0,-1.5"] * 20_000]))
    samples = read_samples(path, DROP)
    assert samples.n_samples == 20_001
    (bad,) = samples.bad_rows
    assert (bad.reason, bad.n) == ("opens a quote that is not closed", 1)
    assert bad.examples == ("line 3",)


def test_bytes_of_another_encoding_cost_their_row(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(
        b"prompt,output,reward,ref_log_prob,other\n"
        b"roll,six,1.0,-1.5,gro\xdf\n"  # in a column that nobody reads
        b"roll,gro\xdf,1.0,-1.5,\n"
        b'roll,"more, ""or""\nless",1_0,-1.5,\n'
    )
    samples = read_samples(path, DROP)
    assert as_rows(samples) == [GOOD]
    reasons = {bad.reason: bad.examples[0] for bad in samples.bad_rows}
    assert reasons["output is not valid Unicode text"].startswith("line 3")
    assert reasons["reward is not a number"] == "line 4: '1_0'"
    (tmp_path / "s.jsonl").write_bytes(json.dumps(GOOD).encode("utf-16"))
    with pytest.raises(InputError, match="is UTF-16 text: save it as UTF-8"):
        read_samples(tmp_path / "s.jsonl")


@pytest.mark.parametrize("kind", ["cut", "damaged"])
def test_a_broken_gzip_keeps_what_comes_before(tmp_path, kind):
    rng = np.random.default_rng(0)
    rows = [{**GOOD, "reward": x} for x in rng.random(5000).tolist()]
    data = bytearray(write_json(tmp_path / "s.jsonl.gz", rows).read_bytes())
    if kind == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    (tmp_path / "s.jsonl.gz").write_bytes(data)
    samples = read_samples(tmp_path / "s.jsonl.gz", DROP)
    assert 0 < samples.n_samples < 5000
    assert any("what follows is lost" in bad.reason for bad in samples.bad_rows)
    with pytest.raises(InputError, match="cut off or damaged here"):
        read_samples(tmp_path / "s.jsonl.gz")


def test_what_unpacks_to_too_much_is_refused(tmp_path):
    bomb = tmp_path / "s.jsonl.gz"
    bomb.write_bytes(gzip.compress(b"x" * (1 << 24)))
    limits = Limits(n_bytes=1 << 20, row_bytes=1 << 16)
    with pytest.raises(InputError, match=r"unpacks to more than 1 MiB or 50,000,000 lines"):
        read_samples(bomb, SampleOptions(limits=limits))
    with pytest.raises(InputError, match=r"or 2 lines"):
        read_samples(write_json(tmp_path / "s.jsonl"), SampleOptions(limits=Limits(n_rows=2)))


def test_a_parquet_bomb_is_refused_by_what_it_says_of_itself(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    n = 200_000
    columns = {"prompt": "p", "output": "o", "reward": 1.0, "ref_log_prob": -1.0}
    path = tmp_path / "s.parquet"
    table = pa.table({name: [value] * n for name, value in columns.items()})
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 10_000
    assert read_samples(path).n_samples == n
    for limits, message in (
        (Limits(n_rows=1000), "unpacks to 200,000 rows, more than 1,000"),
        (Limits(n_bytes=100), "KiB, more than 100 bytes"),
        (Limits(row_group_bytes=100), "in one column of a row group, more than 100 bytes"),
    ):
        with pytest.raises(InputError, match=message):
            read_samples(path, SampleOptions(limits=limits))


def test_a_long_text_that_comes_often_is_held_once(tmp_path):
    """In Parquet's own bomb one text stands for all rows: 2 MB here, 100 GB if it were copied."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    n = 50_000
    text = pa.array(["x" * 2_000_000])
    same = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), text)
    table = pa.table(
        {"prompt": same, "output": same, "reward": [1.0] * n, "ref_log_prob": [-1.0] * n}
    )
    pq.write_table(table, tmp_path / "s.parquet")
    samples = read_samples(tmp_path / "s.parquet")
    assert (samples.n_samples, len(samples.output_texts)) == (n, 1)
    limits = Limits(row_bytes=1_000_000)
    with pytest.raises(InputError, match=r"prompt is longer than 977 KiB: 50,000"):
        read_samples(tmp_path / "s.parquet", SampleOptions(limits=limits))


def test_a_damaged_page_of_parquet_loses_rows_that_are_counted(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    rows = [{**GOOD, "reward": x} for x in rng.random(40_000).tolist()]
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10_000, compression="zstd")
    start = pq.ParquetFile(path).metadata.row_group(3).column(2).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 2000] = bytes(2000)
    path.write_bytes(data)
    samples = read_samples(path, DROP)
    assert 0 < samples.n_samples < 40_000
    assert samples.n_rows == 40_000


def test_repeated_ids_are_bad_where_they_are_mapped():
    rows = [{**GOOD, "key": name} for name in ("a", "b", "a", 1, "1")]
    assert read_samples(rows).n_samples == 5
    samples = read_samples(rows, SampleOptions(columns={"id": "key"}, bad_rows="drop"))
    assert samples.n_samples == 3
    (bad,) = samples.bad_rows
    assert (bad.reason, bad.n) == ("id came before", 2)
    assert bad.examples == ("row 3: 'a'", "row 5: '1'")


def test_columns_that_few_rows_have_are_none():
    """One row with log_prob does not make the others bad, nor the table draws of a policy."""
    rows = [GOOD, {**GOOD, "log_prob": -1.0}, GOOD]
    samples = read_samples(rows, DROP)
    assert (samples.n_samples, samples.drawn_from, samples.log_probs) == (2, "reference", None)
    (bad,) = samples.bad_rows
    assert bad.reason == "has log_prob, which the first rows lack"
    samples = read_samples([rows[1], rows[1], rows[0]], DROP)
    assert samples.log_probs.tolist() == [-1.0, -1.0]
    assert samples.bad_rows[0].reason == "log_prob is missing"


def test_a_column_of_nothing_is_none(tmp_path):
    rows = [{**GOOD, "log_prob": None, "step": None}] * 2
    assert read_samples(rows).log_probs is None
    path = tmp_path / "s.csv"
    path.write_text("prompt,output,reward,ref_log_prob,log_prob\nroll,six,1.0,-1.5,\n")
    samples = read_samples(path)
    assert (samples.log_probs, samples.steps, as_rows(samples)) == (None, None, [GOOD])


def test_files_of_a_folder_may_lack_a_column(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    full = {**GOOD, "log_prob": -1.0}
    for i, row in enumerate((full, GOOD, full)):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{i}.parquet")
    samples = read_samples(tmp_path, DROP)
    assert samples.n_samples == 2
    assert samples.bad_rows[0].reason == "log_prob is missing"


def test_rounding_above_zero_is_zero():
    samples = read_samples([{**GOOD, "ref_log_prob": 1e-6}])
    assert samples.ref_log_probs.tolist() == [0.0]


@pytest.mark.parametrize("value", [-1, 0.5, math.nan, "many"])
def test_counts_are_whole(value):
    rows = [{**GOOD, "n_tokens": 3}, {**GOOD, "n_tokens": value}]
    samples = read_samples(rows, DROP)
    assert samples.n_tokens.tolist() == [3]
    assert samples.bad_rows[0].reason.startswith("n_tokens is not a")
