"""`polymode score`: what is added is what a forward pass by hand gives; nothing else changes."""

import csv
import gzip
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.diagnostics import SampleOptions, read_samples
from polymode.errors import ArgumentError, InputError, UnsupportedOptionError
from polymode.language.scoring import model as scoring_model
from polymode.language.scoring.model import batches, score_rows
from polymode.language.scoring.run import score_samples
from polymode.language.scoring.settings import ScoreSettings

ROWS = [
    {"prompt": "roll: ", "output": "x1", "reward": 1.0},
    {"prompt": "roll: ", "output": "a longer one", "reward": 0.5, "finished": False},
    {"prompt": "b", "output": "", "reward": 0.25},
    {"prompt": [{"role": "user", "content": "pick"}], "output": "x1", "reward": 0.0},
    {"prompt": "roll: ", "output": "x1", "reward": 1.0},
]


class Reporter:
    """Remembers what it is told, and may stop the run."""

    def __init__(self, stop_at=None):
        self.done, self.stages, self.stop_at = [], [], stop_at

    def stage(self, text):
        self.stages.append(text)

    def progress(self, done, total):
        self.done.append((done, total))
        if done == self.stop_at:
            raise KeyboardInterrupt


def by_hand(directory, row, *, end=True):
    """Oracle: one row, no batch, no mask."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        prompt = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    first, then = (tokenizer(text)["input_ids"] for text in (prompt, row["output"]))
    then = [*then, tokenizer.eos_token_id] if end else then
    model = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        log_p = model(torch.tensor([first + then])).logits[0].double().log_softmax(-1)
    return sum(log_p[len(first) - 1 + i, t].item() for i, t in enumerate(then)), len(then)


def write(path, rows=ROWS):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scored(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(samples, tiny_model, reporter=None, **settings):
    done = ScoreSettings(samples=samples, model=tiny_model, **settings)
    return score_samples(done, reporter or Reporter()), done.target


@pytest.mark.parametrize("batch_tokens", [1, 40, 2048])
def test_scores_are_those_of_a_forward_pass_by_hand(tiny_model, tmp_path, batch_tokens):
    samples = write(tmp_path / "s.jsonl")
    done, out = run(samples, tiny_model, batch_tokens=batch_tokens)
    assert out == tmp_path / "s.scored.jsonl"
    assert done.n_rows == 5
    assert not done.problems
    for before, after in zip(ROWS, scored(out), strict=True):
        log_prob, n_tokens = by_hand(tiny_model, before, end=before.get("finished", True))
        assert after.pop("ref_log_prob") == pytest.approx(log_prob, rel=1e-5)
        assert after.pop("n_tokens") == n_tokens
        assert after == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.jsonl", "s.scored.jsonl"]


def test_end_and_chat_change_what_is_scored(tiny_model, tmp_path):
    row = {"prompt": "pick", "output": "x"}
    samples = write(tmp_path / "s.jsonl", [row])
    _, out = run(samples, tiny_model, end="never", chat=True, column="log_prob")
    chat = {**row, "prompt": [{"role": "user", "content": "pick"}]}
    (after,) = scored(out)
    assert after["log_prob"] == pytest.approx(by_hand(tiny_model, chat, end=False)[0], rel=1e-5)
    _, out = run(
        write(tmp_path / "t.jsonl", [{**row, "finished": False}]), tiny_model, end="always"
    )
    assert scored(out)[0]["ref_log_prob"] == pytest.approx(by_hand(tiny_model, row)[0], rel=1e-5)


def test_formats_out_are_formats_in(tiny_model, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"prompt": row["prompt"], "output": row["output"], "other": 'a "b",\n€'} for row in ROWS[:2]
    ]
    wanted = [by_hand(tiny_model, row)[0] for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "s.parquet")
    with (tmp_path / "s.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with gzip.open(tmp_path / "s.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    outs = [run(tmp_path / f"s{end}", tiny_model)[1] for end in (".parquet", ".csv", ".jsonl.gz")]
    assert [out.name for out in outs] == ["s.scored.parquet", "s.scored.csv", "s.scored.jsonl.gz"]
    tables = [pq.read_table(outs[0]).to_pylist()]
    with outs[1].open(newline="") as file:
        tables.append(list(csv.DictReader(file)))
    with gzip.open(outs[2], "rt") as file:
        tables.append([json.loads(line) for line in file])
    for table in tables:
        assert [float(row.pop("ref_log_prob")) for row in table] == pytest.approx(wanted, rel=1e-5)
        assert [int(row.pop("n_tokens")) for row in table] == [3, 13]
        assert table == rows


def test_a_killed_run_goes_on_where_it_stopped(tiny_model, tmp_path, monkeypatch):
    rows = [{"prompt": "p", "output": letter} for letter in "abcdef"]
    samples = write(tmp_path / "s.jsonl", rows)
    monkeypatch.setattr("polymode.language.scoring.run._N_ROWS", 2)
    with pytest.raises(KeyboardInterrupt):
        run(samples, tiny_model, Reporter(stop_at=4))
    ledger = tmp_path / "s.scored.jsonl.scores"
    with ledger.open("a") as file:
        file.write("[-1.2")  # killed in the middle of a line
    again = Reporter()
    done, out = run(samples, tiny_model, again)
    assert done.n_resumed == 4
    assert again.done == [(4, 6), (6, 6)]
    wanted = [by_hand(tiny_model, row)[0] for row in rows]
    assert [row["ref_log_prob"] for row in scored(out)] == pytest.approx(wanted, rel=1e-5)
    assert not ledger.exists()


def test_scores_of_anything_else_are_not_gone_on_with(tiny_model, tmp_path):
    samples = write(tmp_path / "s.jsonl")
    with pytest.raises(KeyboardInterrupt):
        run(samples, tiny_model, Reporter(stop_at=5))
    with pytest.raises(InputError, match="has scores of other samples or settings: --overwrite"):
        run(samples, tiny_model, end="never")
    done, _ = run(samples, tiny_model, end="never", overwrite=True)
    assert done.n_resumed == 0


def test_rows_that_cannot_be_scored_are_counted_and_kept(tiny_model, tmp_path):
    lines = [
        '{"prompt": "p", "output": "x"}',
        "no json",
        '{"prompt": "p", "output": 5, "keep": 1e400}',
        '{"prompt": "p", "output": "\\ud800"}',
        json.dumps({"prompt": "p", "output": "x" * 5000}),
        '{"prompt": "", "output": "x"}',
        '{"prompt": [], "output": "x"}',
    ]
    samples = tmp_path / "s.jsonl"
    samples.write_text("\n".join(lines) + "\n\n")
    done, out = run(samples, tiny_model)
    assert done.problems == {
        "is not a JSON object": 1,
        "output is neither text nor messages": 2,
        "prompt and output are longer than the model's 2,048 tokens": 1,
        "prompt is neither text nor messages": 1,
    }
    after = out.read_text().splitlines()
    assert after[1] == "no json"
    values = [json.loads(line)["ref_log_prob"] for line in after if line != "no json"]
    assert [value is None for value in values] == [False, True, True, True, False, True]
    assert math.isfinite(values[-2])  # an empty prompt begins with the token that ends a text


def test_what_comes_out_can_be_diagnosed(tiny_model, tmp_path):
    _, out = run(write(tmp_path / "s.jsonl", ROWS[:2]), tiny_model)
    samples = read_samples(out)
    assert samples.n_samples == 2
    assert samples.n_tokens.tolist() == [3, 12]


def test_a_run_of_trl_is_scored_whole(tiny_model, tmp_path, monkeypatch):
    """Its last tables become one file, killed or not, and that is read as the run is."""
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    home = tmp_path / "run" / "completions"
    home.mkdir(parents=True)
    for step in (9, 10, 11):
        texts = [f"x{step}", "yy"]
        columns = {
            "step": [step] * 2,
            "prompt": ["roll: "] * 2,
            "completion": texts,
            "right": [1.0, 0.0],
            "form": [0.5, 0.5],
            "advantage": [1.0, -1.0],
        }
        pq.write_table(pa.table(columns), home / f"completions_{step:05d}.parquet")
    monkeypatch.setattr("polymode.language.scoring.run._N_ROWS", 2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", tiny_model, Reporter(stop_at=2), last=2)
    done, out = run(tmp_path / "run", tiny_model, last=2)
    assert (done.n_rows, done.n_resumed) == (4, 2)
    assert sorted(p.name for p in out.parent.iterdir()) == [
        "completions",
        "completions.scored.parquet",
    ]
    found = pq.read_table(out).to_pylist()
    assert [row["step"] for row in found] == [10, 10, 11, 11]
    for row in found:
        expected, n_tokens = by_hand(tiny_model, {"prompt": "roll: ", "output": row["completion"]})
        assert row["ref_log_prob"] == pytest.approx(expected, rel=1e-5)
        assert row["n_tokens"] == n_tokens
    read = read_samples(out, SampleOptions(drawn_from="reference"))
    assert read.rewards.tolist() == [1.5, 0.5] * 2
    assert "completions of steps 10 to 11" in read.notes
    with pytest.raises(InputError, match="there already"):
        run(tmp_path / "run", tiny_model)
    with pytest.raises(InputError, match=r"has no table of completions.*; output must be Parquet"):
        ScoreSettings(samples=tmp_path, model=tiny_model, output=tmp_path / "out.csv")


def test_adapters(tiny_model, tmp_path):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    lora = LoraConfig(target_modules=["q_proj"], init_lora_weights=False)
    tuned = get_peft_model(base, lora)
    adapter = tmp_path / "adapter"
    tuned.save_pretrained(adapter)
    samples = write(tmp_path / "s.jsonl", ROWS[:1])
    plain, _ = by_hand(tiny_model, ROWS[0])
    found = {}
    for name, settings in {
        "as model": {"model": str(adapter)},
        "on top": {"model": tiny_model, "adapter": str(adapter)},
        "reference": {"model": str(adapter), "reference_of_adapter": True},
    }.items():
        done = ScoreSettings(samples=samples, output=tmp_path / f"{name}.jsonl", **settings)
        score_samples(done, Reporter())
        found[name] = scored(done.target)[0]["ref_log_prob"]
    assert found["reference"] == pytest.approx(plain, rel=1e-5)
    assert found["as model"] == pytest.approx(found["on top"], rel=1e-6)
    assert abs(found["as model"] - plain) > 1e-3


def test_models_that_allow_no_shared_prompt_are_scored_row_by_row(
    tiny_model, tmp_path, monkeypatch
):
    def refuse(*_args, **_kwargs):
        raise UnsupportedOptionError("shared prompts", "a window")

    monkeypatch.setattr(scoring_model, "score_completions", refuse)
    _, out = run(write(tmp_path / "s.jsonl", ROWS[:1]), tiny_model)
    wanted = by_hand(tiny_model, ROWS[0])[0]
    assert scored(out)[0]["ref_log_prob"] == pytest.approx(wanted, rel=1e-5)


def test_rows_of_their_own_score_as_by_hand(tiny_model):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    pairs = [((5, 6, 7), (8, 1)), ((9,), (4, 5, 6, 1)), ((5, 6, 7), (3,))]
    with torch.no_grad():
        found = score_rows(model, [p for p, _ in pairs], [c for _, c in pairs])
        for (prompt, completion), value in zip(pairs, found, strict=True):
            log_p = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
            wanted = sum(log_p[len(prompt) - 1 + i, t] for i, t in enumerate(completion))
            assert value == pytest.approx(wanted.item(), rel=1e-5)


_TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple)


@given(st.sets(st.tuples(_TOKENS, _TOKENS), min_size=1), st.integers(1, 30))
def test_batches_hold_every_pair_once_and_keep_to_the_number_of_tokens(pairs, n_tokens):
    found = list(batches(sorted(pairs), n_tokens))
    assert sorted(pair for batch in found for pair in batch) == sorted(pairs)
    for batch in found:
        widths = {}
        for prompt, completion in batch:
            widths[prompt] = widths.get(prompt, len(prompt) - 1) + len(completion)
        assert len(batch) == 1 or max(widths.values()) * len(widths) <= n_tokens


def test_everything_that_is_wrong_with_the_settings_is_told(tmp_path):
    with pytest.raises(ArgumentError, match="column must be 'ref_log_prob' or 'log_prob'"):
        ScoreSettings(samples=tmp_path / "s.jsonl", model="m", column="reward")
    with pytest.raises(InputError, match=r"got 'reward'; choose one of.*is not there: name a file"):
        ScoreSettings(
            samples=tmp_path / "none.jsonl",
            model="m",
            columns={"reward": "r"},
            adapter="a",
            reference_of_adapter=True,
        )
    odd = tmp_path / "s.xlsx"
    odd.touch()
    with pytest.raises(InputError, match=r"must end in \.jsonl, \.csv"):
        ScoreSettings(samples=odd, model="m")
    samples = write(tmp_path / "s.jsonl")
    with pytest.raises(InputError, match=r"output must have the format of"):
        ScoreSettings(samples=samples, model="m", output=tmp_path / "s.csv")
    with pytest.raises(InputError, match="another file than the samples"):
        ScoreSettings(samples=samples, model="m", output=samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no row"),
        ('{"prompd": "p", "completion": "x"}', "no column 'prompt'; did you mean 'prompd'"),
        ('{"prompt": "p", "output": "x", "ref_log_prob": 0}', "--overwrite replaces it"),
    ],
)
def test_files_that_cannot_be_scored_are_refused(tiny_model, tmp_path, content, message):
    samples = tmp_path / "s.jsonl"
    samples.write_text(content)
    with pytest.raises(InputError, match=message):
        run(samples, tiny_model)
    assert [path.name for path in tmp_path.iterdir()] == ["s.jsonl"]


def test_damaged_files_are_one_line(tiny_model, tmp_path):
    whole = gzip.compress(b'{"prompt": "p", "output": "x"}\n' * 500)
    (tmp_path / "s.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read to its end"):
        run(tmp_path / "s.jsonl.gz", tiny_model)
    (tmp_path / "s.csv").write_text("prompt,output\np,x,y\n")
    with pytest.raises(InputError, match="line 2: 3 fields, and the header has 2"):
        run(tmp_path / "s.csv", tiny_model)
    (tmp_path / "s.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        run(tmp_path / "s.parquet", tiny_model)
