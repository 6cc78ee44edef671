"""SMILES files as training data."""

import gzip

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from polymode.chemistry import Vocabulary
from polymode.chemistry.prior.data import EncodedSmiles, read_smiles, split_smiles
from polymode.errors import InputError

STRINGS = ["C" * n + tail for n in range(1, 21) for tail in ("", "O", "N")]


@pytest.mark.parametrize(
    "text",
    [
        "CCO\nc1ccccc1\n\nCCO\n",
        "CCO first\nc1ccccc1\tsecond 2\n",
        "smiles\nCCO\nc1ccccc1",
        'id,"SMILES",score\n1,CCO,0.5\n2,"c1ccccc1",0.1\n3\n',
        "CCO;1\r\nc1ccccc1;2\r\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_column_of_smiles_is_found_and_repeats_are_dropped(text, packed, tmp_path):
    data = text.encode()
    (tmp_path / "a.smi").write_bytes(gzip.compress(data) if packed else data)
    assert read_smiles(tmp_path / "a.smi") == ["CCO", "c1ccccc1"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no SMILES"),
        (b"smiles\n", "holds no SMILES"),
        (b"\xff\xfe", "cannot be read as a text"),
        (gzip.compress(b"CCO", mtime=0)[:-9], "cannot be read as a text"),
    ],
)
def test_files_without_smiles_are_refused(data, message, tmp_path):
    (tmp_path / "a.smi").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_smiles(tmp_path / "a.smi")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a text"):
        read_smiles(tmp_path / "none.smi")


@given(batch_size=st.integers(1, 70), seed=st.integers(0, 9))
def test_an_epoch_has_every_string_once(batch_size, seed):
    data = EncodedSmiles.of(STRINGS, Vocabulary.from_smiles(STRINGS))
    batches = list(data.epoch(batch_size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(batches)) == list(range(len(STRINGS)))
    assert len(batches) == data.n_batches(batch_size)
    assert max(map(len, batches)) <= batch_size


def test_lengths_in_a_batch_are_alike_and_the_order_is_random():
    data = EncodedSmiles.of(STRINGS, Vocabulary.from_smiles(STRINGS))
    one, other = (list(data.epoch(6, np.random.default_rng(seed))) for seed in (0, 1))
    # 60 strings have lengths from 2 to 22, three or so of each: six neighbours span three
    assert max(np.ptp(data.lengths[batch]) for batch in one) <= 3
    assert [batch.tolist() for batch in one] != [batch.tolist() for batch in other]


def test_a_batch_is_padded_by_the_end_token():
    vocabulary = Vocabulary(("$", "^", "C", "N", "O"))
    ids, lengths = EncodedSmiles.of(["CN", "C", "COO"], vocabulary).batch(np.array([2, 1]))
    assert ids.tolist() == [[2, 4, 4, 0], [2, 0, 0, 0]]
    assert lengths.tolist() == [4, 2]


def test_a_split_leaves_out_what_is_long_or_rare():
    split = split_smiles(
        [*STRINGS, "C" * 40, "[Na+]"], n_held_out=5, max_length=30, min_count=2, seed=0
    )
    assert split.left_out == 2
    assert split.vocabulary.tokens == ("$", "^", "C", "N", "O")
    assert len(split.held_out.smiles) == 5
    assert {*split.train.smiles, *split.held_out.smiles} == set(STRINGS)
    assert len(split.train.smiles) == len(STRINGS) - 5


def test_a_tenth_is_held_out_at_most_and_the_seed_says_which():
    one, two, other = (
        split_smiles(STRINGS, n_held_out=1000, max_length=30, min_count=1, seed=seed)
        for seed in (0, 0, 1)
    )
    assert len(one.held_out.smiles) == 6
    assert one.held_out.smiles == two.held_out.smiles != other.held_out.smiles


def test_too_few_strings_are_refused():
    with pytest.raises(InputError, match="needs 20 strings to train on at least, got 3"):
        split_smiles(["C", "CC", "CO"], n_held_out=1, max_length=9, min_count=1, seed=0)
