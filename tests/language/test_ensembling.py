"""Ensembles of weights: exact, one tensor at a time, never a pickle; adapters as merged models."""

import json
import weakref
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.errors import ArgumentError, InputError, UnsupportedOptionError
from polymode.language import interpolate_checkpoints
from polymode.language.weights import entries, write_like
from tests.language.tiny import save_tiny_model

METADATA = "polymode_ensemble.json"


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    return str(save_tiny_model(tmp_path_factory.mktemp("other"), seed=1))


def weights(directory):
    """All tensors of a model as transformers loads it: shards and ties are its business."""
    return AutoModelForCausalLM.from_pretrained(directory).state_dict()


def logits(model):
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def test_every_weight_is_the_weighted_mean(tiny_model, other_model, tmp_path):
    out = tmp_path / "new" / "mixed"
    made = interpolate_checkpoints(tiny_model, other_model, out, weight=0.3)
    one, other, mixed = map(weights, (tiny_model, other_model, out))
    for name, tensor in mixed.items():
        torch.testing.assert_close(
            tensor, 0.7 * one[name] + 0.3 * other[name], rtol=1e-6, atol=1e-7
        )
    assert any((one[name] - other[name]).abs().max() > 0.1 for name in one)
    assert made == json.loads((out / METADATA).read_text())
    assert made["kind"] == "weights"
    assert (made["first"], made["second"], made["weight"]) == (tiny_model, other_model, 0.3)
    assert made["n_tensors"] == len(entries(out))
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("roll: ") == AutoTokenizer.from_pretrained(tiny_model)("roll: ")
    assert not list(tmp_path.glob("**/*.partial"))


@pytest.mark.parametrize("weight", [0, 0.37, 1])
def test_a_model_with_itself_is_itself(weight, tiny_model, tmp_path):
    interpolate_checkpoints(tiny_model, tiny_model, tmp_path / "same", weight=weight)
    before, after = map(AutoModelForCausalLM.from_pretrained, (tiny_model, tmp_path / "same"))
    assert torch.equal(logits(before), logits(after))


def test_the_ends_are_the_models(tiny_model, other_model, tmp_path):
    for weight, expected in ((0, tiny_model), (1, other_model)):
        out = tmp_path / str(weight)
        interpolate_checkpoints(tiny_model, other_model, out, weight=weight)
        found, known = weights(out), weights(expected)
        assert all(torch.equal(found[name], known[name]) for name in known)


def saved_in(dtype, source, out, **options):
    AutoModelForCausalLM.from_pretrained(source, dtype=dtype).save_pretrained(out, **options)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
    return out


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_of_the_first_is_kept(dtype, tiny_model, other_model, tmp_path):
    first = saved_in(dtype, tiny_model, tmp_path / "first")
    interpolate_checkpoints(first, other_model, tmp_path / "out", weight=0.25)
    found = load_file(tmp_path / "out" / "model.safetensors")
    other = load_file(f"{other_model}/model.safetensors")
    for name, tensor in load_file(first / "model.safetensors").items():
        assert found[name].dtype == dtype
        exact = 0.75 * tensor.double() + 0.25 * other[name].double()
        tolerance = 1e-6 if dtype == torch.float64 else torch.finfo(dtype).eps
        torch.testing.assert_close(found[name].double(), exact, rtol=tolerance, atol=1e-7)


def test_shards_are_kept_and_may_differ(tiny_model, other_model, tmp_path):
    sharded = saved_in(torch.float32, tiny_model, tmp_path / "first", max_shard_size="20KB")
    shards = sorted(path.name for path in sharded.glob("*.safetensors"))
    assert len(shards) > 2
    interpolate_checkpoints(sharded, other_model, tmp_path / "a", weight=0.3)
    assert sorted(path.name for path in (tmp_path / "a").glob("*.safetensors")) == shards
    interpolate_checkpoints(tiny_model, other_model, tmp_path / "b", weight=0.3)
    interpolate_checkpoints(other_model, sharded, tmp_path / "c", weight=0.7)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in b)
    assert all(torch.allclose(a[name], c[name], atol=1e-6) for name in b)


def test_one_tensor_is_held_at_a_time(tiny_model, tmp_path):
    file = next(iter(entries(Path(tiny_model)).values())).file
    alive = []

    def value(name):
        assert not any(ref() is not None for ref in alive)
        tensor = load_file(file)[name].clone()
        alive.append(weakref.ref(tensor))
        return tensor

    n_tensors = write_like(file, tmp_path / "copy.safetensors", value)
    assert n_tensors == len(alive) > 10
    assert (tmp_path / "copy.safetensors").read_bytes() == file.read_bytes()


def test_integers_must_be_equal(tmp_path):
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        tensors = {"steps": torch.tensor(number), "w": torch.full((2,), float(number))}
        save_file(tensors, tmp_path / name / "model.safetensors")
    interpolate_checkpoints(tmp_path / "a", tmp_path / "b", tmp_path / "out", weight=0.5)
    assert load_file(tmp_path / "out" / "model.safetensors")["steps"] == 1
    with pytest.raises(UnsupportedOptionError, match=r"^ensemble: steps must be equal in both, as"):
        interpolate_checkpoints(tmp_path / "a", tmp_path / "c", tmp_path / "no", weight=0.5)
    assert not (tmp_path / "no").exists()
    assert not (tmp_path / "no.partial").exists()


# Adapters: what they stand for is the interpolation of the merged models.


def save_adapter(base, out, seed, **options):
    """An adapter whose factors are both random."""
    torch.manual_seed(seed)
    options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options}
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **options)
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.1)
    model.save_pretrained(out, save_embedding_layers=False)
    return out


def merged(base, adapter):
    """Weights and logits of a base with its adapter merged."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    model = model.merge_and_unload()
    return model.state_dict(), logits(model)


def assert_between(found, one, other, weight):
    for name, tensor in found.items():
        expected = torch.lerp(one[name], other[name], weight)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"alpha_pattern": {"q_proj": 3}, "rank_pattern": {"k_proj": 2}},
        {"target_modules": ["embed_tokens", "v_proj"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("reverse", [False, True])
def test_an_adapter_beside_its_base_is_scaled(reverse, options, tiny_model, tmp_path):
    adapter = save_adapter(tiny_model, tmp_path / "adapter", 0, **options)
    pair = (adapter, tiny_model) if reverse else (tiny_model, adapter)
    made = interpolate_checkpoints(*pair, tmp_path / "out", weight=0.3)
    assert made["kind"] == "scaled adapter"
    one, other = weights(tiny_model), merged(tiny_model, adapter)[0]
    assert any((one[name] - other[name]).abs().max() > 0.01 for name in one)
    assert_between(merged(tiny_model, tmp_path / "out")[0], one, other, 0.7 if reverse else 0.3)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}], ids=str)
def test_two_adapters_become_one_of_their_summed_rank(options, tiny_model, tmp_path):
    targets = {"target_modules": ["q_proj", "down_proj", "embed_tokens"], **options}
    first = save_adapter(tiny_model, tmp_path / "first", 0, r=4, **targets)
    second = save_adapter(tiny_model, tmp_path / "second", 1, r=2, lora_alpha=3, **targets)
    made = interpolate_checkpoints(first, second, tmp_path / "out", weight=0.3)
    assert made["kind"] == "joined adapters"
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 6
    one, other = merged(tiny_model, first)[0], merged(tiny_model, second)[0]
    assert_between(merged(tiny_model, tmp_path / "out")[0], one, other, 0.3)


def test_the_base_may_be_a_name(tiny_model, tmp_path):
    adapter = save_adapter(tiny_model, tmp_path / "adapter", 0)
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "base_model_name_or_path": "some/model"}))
    interpolate_checkpoints("some/model", adapter, tmp_path / "out", weight=0.5)
    out = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert out["lora_alpha"] == 4
    with pytest.raises(
        UnsupportedOptionError, match=r"must be its base, some/model, got .*: merge"
    ):
        interpolate_checkpoints(tiny_model, adapter, tmp_path / "no", weight=0.5)


REFUSED = [
    ({"use_dora": True}, "must not have use_dora"),
    ({"modules_to_save": ["lm_head"]}, "must hold LoRA factors only, got .*lm_head"),
    ({"init_lora_weights": "pissa"}, "must not be initialised by pissa"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_adapters_that_are_not_linear_are_refused(options, message, tiny_model, tmp_path):
    adapter = save_adapter(tiny_model, tmp_path / "adapter", 0, **options)
    with pytest.raises(UnsupportedOptionError, match=message):
        interpolate_checkpoints(tiny_model, adapter, tmp_path / "out", weight=0.5)


def test_adapters_that_do_not_belong_together_are_refused(tiny_model, other_model, tmp_path):
    first = save_adapter(tiny_model, tmp_path / "first", 0)
    second = save_adapter(
        other_model, tmp_path / "second", 1, target_modules=["q_proj"], rank_pattern={"q_proj": 2}
    )
    with pytest.raises(UnsupportedOptionError) as error:
        interpolate_checkpoints(first, second, tmp_path / "out", weight=0.5)
    problems = error.value.problems
    assert [p.removeprefix(str(second)).strip()[:34] for p in problems] == [
        "must not have rank_pattern when tw",
        "both adapters must have one base, ",
        "both adapters must sit on the same",
    ]


# Messages.


def test_a_pickle_is_refused_with_a_remedy(tiny_model, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(
        InputError, match=r"no weights as safetensors, but pytorch_model.bin, which"
    ):
        interpolate_checkpoints(tmp_path / "old", tiny_model, tmp_path / "out", weight=0.5)
    with pytest.raises(InputError, match=r"save_pretrained\(DIRECTORY\)$"):
        interpolate_checkpoints(tiny_model, tmp_path / "old", tmp_path / "out", weight=0.5)


def test_missing_and_existing_directories(tiny_model, tmp_path):
    with pytest.raises(InputError, match=r"^no/such is no directory: .*hf download"):
        interpolate_checkpoints("no/such", tiny_model, tmp_path / "out", weight=0.5)
    with pytest.raises(InputError, match=r"already exists: name another directory$"):
        interpolate_checkpoints(tiny_model, tiny_model, tmp_path, weight=0.5)
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(InputError, match=r"left over from a run that was killed: remove it first$"):
        interpolate_checkpoints(tiny_model, tiny_model, tmp_path / "out", weight=0.5)
    with pytest.raises(ArgumentError, match=r"^weight must be a number in \[0, 1\], got 1.5$"):
        interpolate_checkpoints(tiny_model, tiny_model, tmp_path / "new", weight=1.5)


@pytest.mark.parametrize("cut", [5, 100, -1])
def test_damaged_files(cut, tiny_model, tmp_path):
    broken = saved_in(torch.float32, tiny_model, tmp_path / "broken")
    file = broken / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"model.safetensors is damaged \(.*download it again"):
        interpolate_checkpoints(broken, tiny_model, tmp_path / "out", weight=0.5)


def test_an_index_that_leaves_its_directory(tiny_model, tmp_path):
    index = {"weight_map": {"w": "../secret.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"names files outside of its directory$"):
        interpolate_checkpoints(tmp_path, tiny_model, tmp_path / "out", weight=0.5)


def test_models_that_do_not_fit_list_everything(tiny_model, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    known = LlamaConfig.from_pretrained(tiny_model)
    known.num_hidden_layers, known.intermediate_size, known.rms_norm_eps = 1, 40, 0.1
    LlamaForCausalLM(known).save_pretrained(tmp_path / "second")
    vocabulary = {"model": {"vocab": {"x": 0}}}
    (tmp_path / "second" / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(UnsupportedOptionError) as error:
        interpolate_checkpoints(tiny_model, tmp_path / "second", tmp_path / "out", weight=0.5)
    starts = [
        "both models must have the same tensors, only the first has model.layers.1.",
        "both models must have the same shapes, which differ for model.layers.0.mlp.",
        "both models must have one architecture, config.json differs in intermediate_size, ",
        "both tokenizers must have the same vocabulary",
    ]
    assert len(error.value.problems) == len(starts)
    for problem, start in zip(error.value.problems, starts, strict=True):
        assert problem.startswith(start)


def test_quantised_weights_are_refused(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"quantization_config": {"bits": 8}}')
        tensors = {"w": torch.ones(2).to(torch.float8_e4m3fn)}
        save_file(tensors, tmp_path / name / "model.safetensors")
    with pytest.raises(UnsupportedOptionError, match=r"(?s)quantised, got F8_E4M3 for w.*linear"):
        interpolate_checkpoints(tmp_path / "a", tmp_path / "b", tmp_path / "out", weight=0.5)
