"""The rule that splits SMILES, and vocabularies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.chemistry import Vocabulary, tokenize
from polymode.errors import ArgumentError, InputError

TOKENS = (
    "$",
    "^",
    "#",
    "(",
    ")",
    "1",
    "=",
    "B",
    "Br",
    "C",
    "Cl",
    "[C@H]",
    "[nH]",
    "%10",
    "%(12)",
    "c",
    "n",
)
VOCABULARY = Vocabulary(TOKENS)


@given(st.text())
def test_tokens_joined_give_the_string(string):
    assert "".join(tokenize(string)) == string


@given(st.lists(st.sampled_from(TOKENS[2:])))
def test_what_is_written_in_tokens_splits_into_them(tokens):
    assert tokenize("".join(tokens)) == tokens


@given(st.lists(st.sampled_from(TOKENS[2:])))
def test_decoding_undoes_encoding(tokens):
    encoded = VOCABULARY.encode("".join(tokens))
    assert VOCABULARY.decode(encoded.ids) == "".join(tokens)
    assert (encoded.n_unknown, encoded.ids[-1], len(encoded.ids)) == (0, 0, len(tokens) + 1)


@given(st.text())
def test_any_string_encodes(string):
    encoded = VOCABULARY.encode(string)
    assert len(encoded.ids) - 1 + encoded.n_unknown == len(tokenize(string))
    assert VOCABULARY.n_unknown(string) == encoded.n_unknown


def test_unknown_tokens_and_the_names_of_start_and_end_are_skipped_and_counted():
    # C, $, [Na+], ^, C: three that the vocabulary does not have as atoms or bonds
    assert VOCABULARY.encode("C$[Na+]^C") == ([9, 9, 0], 3)


def test_decoding_stops_at_the_end_and_leaves_out_the_start():
    assert VOCABULARY.decode([1, 9, 10, 0, 9]) == "CCl"


def test_a_vocabulary_of_strings_is_sorted_and_has_no_parts_of_broken_ones():
    found = Vocabulary.from_smiles(["CCl", "c1ccccc1", "C[Na", "[]l%", "C C"])
    assert found.tokens == ("$", "^", "1", "C", "Cl", "N", "a", "c")
    assert Vocabulary.from_smiles(["CCl", "CN"], min_count=2).tokens == ("$", "^", "C")


def test_json_round_trip():
    assert Vocabulary.from_json(VOCABULARY.to_json()) == VOCABULARY


def test_all_that_is_wrong_with_tokens_is_listed():
    with pytest.raises(ArgumentError) as caught:
        Vocabulary(("^", "$", "C", "C", "r", "CC", "$"))
    assert caught.value.problems == (
        "tokens must begin with '$' and '^', got ('^', '$')",
        "tokens must differ, got 'C' twice",
        "a token must be one whole SMILES token, got 'r'",
        "a token must be one whole SMILES token, got 'CC'",
        "'$' must be the id 0 or 1 only",
    )


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1, 2]"])
def test_a_vocabulary_that_is_no_list_of_tokens_is_refused(text):
    with pytest.raises(InputError, match="a vocabulary must be a JSON list of tokens"):
        Vocabulary.from_json(text)
