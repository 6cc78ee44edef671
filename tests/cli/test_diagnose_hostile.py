"""Files made to break things, through the whole of `polymode diagnose`: counted, told, shown."""

import gzip
import json
import math
import random
import re
import sys

import pytest

pytest.importorskip("arviz_stats")
pytest.importorskip("jinja2")

from typer.testing import CliRunner

from polymode.cli import app
from tests.cli.test_cli import one_line_error, polymode
from tests.cli.test_diagnose import SETTINGS, rows
from tests.report.hostile import HOSTILE

GOOD = {"prompt": "Roll.", "output": "six", "reward": 1.0, "ref_log_prob": -1.0}


def line(**cells):
    return json.dumps(GOOD | cells).encode()


BAD = {
    "10 MB that is no JSON": b"x" * 10_000_000,
    "20 MB of one row": line(output="y" * 20_000_000),
    "NUL bytes": b"\x00" * 1000,
    "NaN": line(reward=math.nan),
    "infinite": line(ref_log_prob=-math.inf),
    "1e308": line(reward=1e308),
    "positive": line(ref_log_prob=1e308),
    "Latin-1": '{"prompt": "groß"}'.encode("latin-1"),
    "UTF-16": line(output="six").decode().encode("utf-16"),
    "cut off": line()[:-20],
    "an array": b"[" * 100_000,
    "a lone surrogate": line(output="\ud800"),
    "no object": b"null",
}
FINE = {
    "10 MB of one output": line(output="z" * 10_000_000),
    "NUL in a text": line(output="a\x00b"),
    "huge rewards": line(output="seven", reward=1e99, prompt="Another."),
    "a million nats": line(output="eight", ref_log_prob=-1e6),
    "no chance at all": line(output="nine", ref_log_prob=-1e308),
    **{f"hostile {i}": line(output=text) for i, text in enumerate(HOSTILE) if "\ud800" not in text},
    **{f"prompt {i}": line(prompt=text) for i, text in enumerate(HOSTILE) if "\ud800" not in text},
}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The command in this process, where a traceback would be an exception."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def call(name, *options):
        command = ["diagnose", name, *SETTINGS, "--json", "-", *options]
        return CliRunner().invoke(app, command, catch_exceptions=False)

    return call


def test_every_kind_of_bad_row_at_once(run, tmp_path):
    good = [json.dumps(row).encode() for row in rows(n=16)]
    lines = [*good, *FINE.values(), *BAD.values()]
    random.Random(0).shuffle(lines)
    # UTF-16 has bytes of line feeds of its own: how many lines there are, the file says.
    data = b"\n".join(lines)
    (tmp_path / "all.jsonl").write_bytes(data)
    n_lines = sum(bool(piece.strip()) for piece in data.split(b"\n"))
    done = run("all.jsonl", "--bad-rows", "drop", "--html", "page.html")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    counted = sum(bad["n"] for bad in found["samples"]["bad_rows"])
    assert found["samples"]["n_rows"] == n_lines
    assert found["samples"]["n_samples"] + counted == n_lines
    assert found["samples"]["n_samples"] >= len(good) + len(FINE) - 1
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(page) < 15_000_000
    assert not re.search(r"<script>\s*window\.hacked|<img src=x|<svg onload", page)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_refused_in_one_line(run, tmp_path, kind):
    (tmp_path / "s.jsonl").write_bytes(b"\n".join([line(), BAD[kind], line()]))
    from polymode.errors import InputError

    with pytest.raises(InputError, match=r"cannot be used|UTF-16|has no row") as caught:
        run("s.jsonl")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_files_that_are_not_what_they_say(run, tmp_path):
    from polymode.errors import InputError

    whole = gzip.compress(b"\n".join(json.dumps(row).encode() for row in rows()))
    files = {
        "cut.jsonl.gz": whole[: len(whole) // 2],
        "bomb.jsonl.gz": gzip.compress(b"x" * 50_000_000),
        "none.parquet": b"PAR1" + b"\x00" * 100 + b"PAR1",
        "zeros.csv": b"\x00" * 10_000,
        "empty.jsonl": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=name.replace(".", r"\.")) as caught:
            run(name)
        assert "\n" not in str(caught.value)
    done = polymode("diagnose", "none.parquet", *SETTINGS, cwd=tmp_path)
    one_line_error(done, "none.parquet")  # as a user meets it: no traceback


def test_a_parquet_bomb_is_refused(run, tmp_path):
    """Two rows more than the limit, in a few kilobytes."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from polymode.errors import InputError

    n = 50_000_002
    one = pa.table({name: pa.array([value]) for name, value in GOOD.items()})
    part = one.take(pa.array([0] * 1_000_002, pa.int32()))
    with pq.ParquetWriter(tmp_path / "bomb.parquet", part.schema, compression="zstd") as file:
        file.write_table(part)
        for _ in range(n // 1_000_000 - 1):
            file.write_table(part.slice(0, 1_000_000))
    assert (tmp_path / "bomb.parquet").stat().st_size < 5_000_000
    with pytest.raises(InputError, match="unpacks to 50,000,002 rows, more than 50,000,000"):
        run("bomb.parquet")


def test_repeated_ids_are_counted(run, tmp_path):
    lines = [json.dumps({**row, "key": i % 200}) for i, row in enumerate(rows())]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    done = run("s.jsonl", "--columns", "id=key", "--bad-rows", "drop")
    (bad,) = json.loads(done.stdout)["samples"]["bad_rows"]
    assert (bad["reason"], bad["n"]) == ("id came before", 56)
