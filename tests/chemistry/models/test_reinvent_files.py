"""Priors of REINVENT 4: read without running anything, written so that REINVENT reads them."""

import os
import pickle
import sys
import types
from collections import Counter

import pytest

pytest.importorskip("torch")

import torch

from polymode.chemistry import GRUModel, LSTMModel, TransformerModel, Vocabulary, log_likelihood
from polymode.chemistry.models import encode
from polymode.chemistry.models.reinvent_files import read_reinvent, write_reinvent
from polymode.errors import InputError

VOCABULARY = Vocabulary(("$", "^", "1", "=", "Br", "C", "O", "c"))
SMILES = ["CCO", "c1ccccc1Br", "", "C=O"]


def theirs(vocabulary, cell="GRU", **changed):
    """A prior as REINVENT 4.8 lays it out, with weights of torch's own, and its -log p."""
    embedding = torch.nn.Embedding(8, 5)
    rnn = getattr(torch.nn, cell)(5, 6, 2, batch_first=True)
    linear = torch.nn.Linear(6, 8)
    parts = {"_embedding": embedding, "_rnn": rnn, "_linear": linear}
    params = {
        "dropout": 0.0,
        "layer_size": 6,
        "num_layers": 2,
        "cell_type": cell.lower(),
        "embedding_layer_size": 5,
        "layer_normalization": False,
    }
    state = {
        "model_type": "Reinvent",
        "version": 1,
        "metadata": None,
        "vocabulary": vocabulary,
        "max_sequence_length": 256,
        "network": {f"{p}.{k}": v for p, m in parts.items() for k, v in m.state_dict().items()},
        "network_params": params | changed,
    }

    @torch.no_grad()
    def log_prob(ids, start):
        """Log p of ids, end included, once the start token cannot be drawn."""
        states, _ = rnn(embedding(torch.tensor([[start, *ids[:-1]]])))
        logits = linear(states[0])
        logits[:, start] = -torch.inf
        return float(sum(row.log_softmax(0)[i] for row, i in zip(logits, ids, strict=True)))

    return state, log_prob


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_a_prior_is_read_with_its_probabilities(cell, tmp_path):
    # The tokens stand in another order than ours: $ is 3 and ^ is 0.
    tokens = {"^": 0, "C": 1, "O": 2, "$": 3, "=": 4, "c": 5, "1": 6, "Br": 7}
    state, log_prob = theirs({"tokens": tokens, "pad_token": 0}, cell)
    torch.save(state, tmp_path / "a.prior")
    model = read_reinvent(tmp_path / "a.prior")
    assert model.vocabulary.tokens == ("$", "^", "C", "O", "=", "c", "1", "Br")
    expected = [log_prob([1, 1, 2, 3], 0), log_prob([1, 4, 2, 3], 0), log_prob([3], 0)]
    found = log_likelihood(model, ["CCO", "C=O", ""])
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("module", ["reinvent", "reinvent_models"])
def test_older_files_hold_objects_which_become_stand_ins(module, tmp_path, monkeypatch):
    def made(name, **attributes):
        cls = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, cls)
        made = cls()
        vars(made).update(attributes)
        return made

    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    ids = {"$": 0, "^": 1, "1": 2, "=": 3, "Br": 4, "C": 5, "O": 6, "c": 7}
    both = {**ids, **{number: token for token, number in ids.items()}}
    state, log_prob = theirs(made("Vocabulary", _tokens=both, _current_id=8))
    state["tokenizer"] = made("SMILESTokenizer")
    state["metadata"] = made("ModelMetaData", hash_id="x", comments=["a"])
    torch.save(state, tmp_path / "old.prior")
    monkeypatch.delitem(sys.modules, module)
    model = read_reinvent(tmp_path / "old.prior")
    assert model.vocabulary == VOCABULARY
    assert log_likelihood(model, ["CO"]).item() == pytest.approx(log_prob([5, 6, 0], 1), abs=1e-5)


@pytest.mark.parametrize("cls", [GRUModel, LSTMModel])
def test_written_files_come_back_and_hold_nothing_but_plain_values(cls, tmp_path):
    model = cls(VOCABULARY, n_layers=2, hidden=7, embedding=3)
    write_reinvent(model, tmp_path / "b.prior", source="ten strings")
    state = torch.load(tmp_path / "b.prior", weights_only=True)  # REINVENT's classes are not needed
    assert state["metadata"]["origina_data_source"] == "ten strings"
    assert state["vocabulary"]["tokens"]["$"] == 0
    assert set(state["metadata"]) >= {"hash_id", "hash_id_format", "model_id", "creation_date"}
    again = read_reinvent(tmp_path / "b.prior")
    assert again.architecture == model.architecture
    assert torch.equal(log_likelihood(again, SMILES), log_likelihood(model, SMILES))


def padded_log_probs(network, ids):
    """As REINVENT adds them up: over all of the table, whatever stands behind the end."""
    embedding = torch.nn.Embedding.from_pretrained(network["_embedding.weight"])
    rnn = torch.nn.GRU(16, 32, 1, batch_first=True)
    rnn.load_state_dict({k.removeprefix("_rnn."): v for k, v in network.items() if "_rnn" in k})
    head = torch.nn.Linear(32, 8)
    head.load_state_dict({k[8:]: v for k, v in network.items() if k.startswith("_linear.")})
    before = torch.cat([torch.ones_like(ids[:, :1]), ids[:, :-1]], 1)
    logits = head(rnn(embedding(before))[0])
    logits[..., 1] = -torch.inf
    return logits.log_softmax(2).gather(2, ids[..., None])[..., 0].sum(1)


def test_padding_costs_nothing_in_a_written_file(tmp_path):
    strings = [each for each in SMILES if each]  # behind "" no prior is trained
    model = GRUModel(VOCABULARY, n_layers=1, hidden=32, embedding=16)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(60):  # so that it knows what to write, and its gates are not all alike
        loss = -log_likelihood(model, strings).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    write_reinvent(model, tmp_path / "p.prior")
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    network = torch.load(tmp_path / "p.prior", weights_only=True)["network"]
    ids = encode(VOCABULARY, strings).ids
    with torch.no_grad():
        exact = log_likelihood(model, strings)
        padded = padded_log_probs(network, torch.nn.functional.pad(ids, (0, 8)))
        network["_embedding.weight"][0] = before["embedding.weight"][0]
        untrained = padded_log_probs(network, torch.nn.functional.pad(ids, (0, 8)))
    assert float((untrained - exact).abs().max()) > 1
    assert float((padded - exact).abs().max()) < 0.1


class Malicious:
    """Runs a command when it is unpickled without care."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path):
    state, _ = theirs({"tokens": {}})
    state["tokenizer"] = Malicious(tmp_path / "ran")
    torch.save(state, tmp_path / "evil.prior")
    with pytest.raises(InputError, match=r"evil.prior names (posix|nt).system.*: refused"):
        read_reinvent(tmp_path / "evil.prior")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "evil.prior", weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_the_checkpoint_of_a_run_is_read_and_its_memories_are_nothing_but_names(
    tmp_path, monkeypatch
):
    """As REINVENT 4 writes it at the end of a stage: the diversity filter is pickled with it."""
    memories = types.ModuleType("reinvent.runmodes.RL.memories")

    class BucketCounter(Counter):  # pickles as a call of itself, then attributes
        def __init__(self, *given):
            super().__init__(*given)
            (tmp_path / "ran").touch()

    class Filter:
        def __init__(self):
            self.scaffolds, self.seen = BucketCounter({"c1ccccc1": 2}), {"C"}

    for cls in (BucketCounter, Filter):
        cls.__module__, cls.__qualname__ = memories.__name__, cls.__name__
        setattr(memories, cls.__name__, cls)
    for name in ("reinvent", "reinvent.runmodes", "reinvent.runmodes.RL", memories.__name__):
        monkeypatch.setitem(sys.modules, name, memories)
    state, log_prob = theirs(PLAIN)
    state["staged_learning"] = {"name": "staged learning", "diversity_filter": Filter()}
    torch.save(state, tmp_path / "run.chkpt")
    (tmp_path / "ran").unlink()
    model = read_reinvent(tmp_path / "run.chkpt")
    assert not (tmp_path / "ran").exists()
    with torch.no_grad():
        (ours,) = log_likelihood(model, ["CO"]).tolist()
    assert ours == pytest.approx(log_prob([5, 6, 0], start=1), abs=1e-5)


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path):
    (tmp_path / "bare.prior").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(InputError, match=r"bare.prior is no file of torch"):
        read_reinvent(tmp_path / "bare.prior")
    assert not (tmp_path / "ran").exists()


PLAIN = {"tokens": {"$": 0, "^": 1, "1": 2, "=": 3, "Br": 4, "C": 5, "O": 6, "c": 7}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "Libinvent"}, "the kind 'Libinvent': only 'Reinvent'"),
        ({"network": {}}, "does not have the layout of REINVENT 4: '_embedding.weight'"),
        ({"vocabulary": {"tokens": {"$": 0, "C": 1}}}, "must number tokens from 0"),
        ({"network_params": {"layer_normalization": True}}, "layer normalisation"),
        ({"network_params": {"cell_type": "rnn"}}, "must be a gru or an lstm, got 'rnn'"),
        ({"network_params": {"layer_size": 7}}, "size mismatch"),
    ],
)
def test_files_of_another_layout_are_refused(change, message, tmp_path):
    state, _ = theirs(PLAIN)
    state["network_params"] |= change.pop("network_params", {})
    torch.save(state | change, tmp_path / "c.prior")
    with pytest.raises(InputError, match=message):
        read_reinvent(tmp_path / "c.prior")


def test_what_is_no_prior_is_refused(tmp_path):
    torch.save([1], tmp_path / "list.prior")
    with pytest.raises(InputError, match="holds a list, not a prior"):
        read_reinvent(tmp_path / "list.prior")
    with pytest.raises(InputError, match=r"none.prior is no file"):
        read_reinvent(tmp_path / "none.prior")


def test_transformers_have_no_file_there(tmp_path):
    model = TransformerModel(VOCABULARY, n_layers=1, hidden=8, n_heads=2)
    with pytest.raises(InputError, match="GRU and LSTM priors, got a transformer model"):
        write_reinvent(model, tmp_path / "t.prior")
