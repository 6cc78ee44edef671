"""Settings from files, scripts, commands and objects, with places; wrong input in one line."""

import argparse
from collections import UserDict
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from polymode.diagnostics.audit.documents import MAX_BYTES
from polymode.diagnostics.audit.fixing import corrected
from polymode.diagnostics.audit.reading import read_settings
from polymode.diagnostics.audit.settings import Settings, Source, flatten
from polymode.errors import ArgumentError, InputError

YAML = """\
# a comment
beta: 1e-3   # strength
use_vllm: yes
generation_kwargs:
  top_p: 0.9
  stop: ['on', no]
name: '0.5'
empty: {}
missing:
"""


def write(tmp_path, text, name="run.yaml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def places(settings):
    return {key: str(item.source) for key, item in settings.items_by_key.items()}


def test_yaml_keeps_its_lines_and_reads_words_as_the_frameworks_do(tmp_path):
    path = write(tmp_path, YAML)
    found = read_settings(path)
    assert dict(found) == {
        **{"beta": 0.001, "use_vllm": True, "generation_kwargs.top_p": 0.9},
        **{"generation_kwargs.stop": ["on", False], "name": "0.5", "empty": {}, "missing": None},
    }
    assert places(found)["beta"] == f"{path}:2"
    assert places(found)["generation_kwargs.top_p"] == f"{path}:5"


def test_aliases_and_merges_are_followed(tmp_path):
    path = write(tmp_path, "base: &b {beta: 1, top_p: 0.9}\nrun:\n  <<: *b\n  beta: 2\n")
    found = read_settings(path)
    assert (found["run.beta"], found["run.top_p"]) == (2, 0.9)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("run.json", '{\n "actor": {"beta": 0.1},\n "n": [1, 2]\n}', 3),
        ("run.toml", "n = [1, 2]\n[actor]\nbeta = 0.1\n", 1),
    ],
)
def test_json_and_toml(tmp_path, name, text, line):
    found = read_settings(write(tmp_path, text, name))
    assert dict(found) == {"actor.beta": 0.1, "n": [1, 2]}
    assert found.setting("n").source.line == line


def bomb():
    """Six generations of ten aliases each: a million values in half a kilobyte."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(6)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system ['true']", r":1: tag !!python/object.* is refused"),
        ("a: 1\nb: !mine {c: 1}", r":2: tag !mine is refused"),
        ("- a\n- b", "must hold a mapping of options, got a list"),
        ("just words", "must hold a mapping of options, got a text"),
        ("", "must hold a mapping of options, got nothing"),
        ("a: [1", "is no YAML: while parsing"),
        ("a: 1\na: 2", r":2: key 'a' stands twice"),
        ("[1]: 2", "a key must be a word, got a list"),
        ("a: 1\n---\nb: 2", "is no YAML: expected a single document"),
        ("a: &x\n  b: *x", "nested more than 40 deep"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested more than 40 deep"),
        (bomb(), "unfolds into more than 20,000 values"),
        (b"\xff\xfe\x00a", "is no text"),
        (b"a: 1\x00", "zero bytes"),
        (b"a" * (MAX_BYTES + 1), "more than 1 MB: that is no configuration"),
    ],
)
def test_what_is_no_configuration_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_settings(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="is a directory"):
        read_settings(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        read_settings(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"must end in one of \.yaml, \.yml, \.json, \.toml, \.sh"):
        read_settings(write(tmp_path, "beta = 1", "run.py"))
    with pytest.raises(InputError, match="is no JSON"):
        read_settings(write(tmp_path, "{", "run.json"))
    with pytest.raises(InputError, match="got a list"):
        read_settings(write(tmp_path, "[1]", "run.json"))


SCRIPT = """\
#!/bin/bash
set -x
export BETA=0.04
N=${N:-8}
python prepare.py --out data
accelerate launch --config_file zero3.yaml --num_processes 4 \\
  train_grpo.py \\
  --beta $BETA --num_generations ${N} \\
  --reward_weights 1.0 0.5 --use_vllm \\
  --generation_kwargs '{"top_p": 0.9}' \\
  --epsilon_high=0.28 --top_k -1 --output $UNSET
echo done
"""


def test_a_script_gives_the_command_with_most_options(tmp_path):
    path = write(tmp_path, SCRIPT, "run.sh")
    found = read_settings(path)
    assert found.program == "train_grpo.py"
    assert dict(found) == {
        **{"beta": 0.04, "num_generations": 8, "reward_weights": [1.0, 0.5], "use_vllm": True},
        **{"generation_kwargs.top_p": 0.9, "epsilon_high": 0.28, "top_k": -1, "output": "$UNSET"},
    }
    assert places(found)["beta"] == f"{path}:8"
    assert places(found)["epsilon_high"] == f"{path}:11"


def test_dotted_overrides_of_a_script(tmp_path):
    text = "python3 -m verl.trainer.main_ppo a.b=grpo +c.d=1e-3 \\\n e.f=\"['x','y']\" $@\n"
    found = read_settings(write(tmp_path, text, "run.sh"))
    assert found.program == "verl.trainer.main_ppo"
    assert dict(found) == {"a.b": "grpo", "c.d": 0.001, "e.f": ["x", "y"]}


def test_scripts_without_a_command(tmp_path):
    with pytest.raises(InputError, match="no command with options"):
        read_settings(write(tmp_path, "echo hello\n", "run.sh"))
    with pytest.raises(InputError, match="never closed"):
        read_settings(write(tmp_path, "echo 'hello\n" + "x\n" * 600, "run.sh"))


SHAPES = {
    "a variable": 'ARGS="a.b=1 c.d=x"\npython3 -m verl.trainer.main_ppo $ARGS e.f=2\n',
    "within another": (
        'IN="a.b=1"\nARGS="$IN \\\n c.d=x"\npython3 -m verl.trainer.main_ppo ${ARGS} e.f=2\n'
    ),
    "appended": "ARGS=a.b=1\nARGS+=' c.d=x'\npython3 -m verl.trainer.main_ppo $ARGS e.f=2\n",
    "a command": 'CMD="python3 -m verl.trainer.main_ppo a.b=1 c.d=x e.f=2"\neval $CMD\n',
    "another shell": 'B=1\nbash -lc "python3 -m verl.trainer.main_ppo a.b=$B c.d=x e.f=2"\n',
    "an array": 'A=(a.b=1 c.d=x)\npython3 -m verl.trainer.main_ppo "${A[@]}" e.f=2\n',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_scripts(tmp_path, shape):
    found = read_settings(write(tmp_path, SHAPES[shape], "run.sh"))
    assert found.program == "verl.trainer.main_ppo"
    assert dict(found) == {"a.b": 1, "c.d": "x", "e.f": 2}
    assert found.remarks == ()


def test_what_a_script_does_not_say_is_remarked(tmp_path):
    text = "source model.sh\npython3 train.py ${MODEL_ARGS[@]} $MORE --kl-coef 0.1\n"
    (remark,) = read_settings(write(tmp_path, text, "run.sh")).remarks
    assert "${MODEL_ARGS[@]}, $MORE" in remark


def test_here_documents_are_no_commands_and_no_options(tmp_path):
    body = "<<EOT\n--beta 0.1 --loss_type grpo\nEOT\n"
    text = f"cat {body}trl grpo --beta 0.2\n"
    assert dict(read_settings(write(tmp_path, text, "run.sh"))) == {"beta": 0.2}
    with pytest.raises(InputError, match="here-documents are not read"):
        read_settings(write(tmp_path, f"trl grpo $(cat {body})\n", "run.sh"))
    with pytest.raises(InputError, match=r"run\.sh:1: the options stand in a here-document"):
        read_settings(write(tmp_path, f"trl grpo --beta 1 $(cat {body})\n", "run.sh"))


def test_commands_as_words():
    found = read_settings(["trl", "rloo", "--beta", "0.05", "--no_shuffle_dataset"])
    assert (found.program, found["beta"], found["no_shuffle_dataset"]) == ("trl rloo", 0.05, True)
    assert str(found.setting("beta").source) == "command line"
    with pytest.raises(InputError, match="must have options"):
        read_settings(["trl"])


def test_a_command_lies_over_the_file_that_it_names(tmp_path):
    path = write(tmp_path, "beta: 0.1\ntop_p: 0.9\n")
    found = read_settings(["trl", "grpo", "--config", str(path), "--beta", "0.2"])
    assert (found["beta"], found["top_p"]) == (0.2, 0.9)
    assert found.program == "trl grpo"
    script = write(tmp_path, "trl grpo --config run.yaml --beta 0.3\n", "run.sh")
    assert read_settings(script)["top_p"] == 0.9


def test_overrides_lie_over_everything(tmp_path):
    path = write(tmp_path, "a:\n  b: 1\nc: 2\n")
    found = read_settings(path, ["a.b=3", "--d", "4", "5"])
    assert dict(found) == {"a.b": 3, "c": 2, "d": [4, 5]}
    assert found.name == str(path)
    assert places(found)["a.b"] == "command line"
    with pytest.raises(InputError, match="must be key=value or --key value, got 'b'"):
        read_settings(path, ["b"])


@dataclass
class Config:
    beta: float = 0.1
    inner: dict = field(default_factory=dict)
    loss: str = "a"


def test_objects_tell_what_was_set_from_what_was_not():
    found = read_settings(Config(beta=0.1, inner={"x": 1}, loss="b"))
    assert found.program == "Config"
    assert {key: found.given(key) for key in found} == {
        **{"beta": False, "inner.x": True, "loss": True}
    }
    assert places(found)["beta"] == "default of Config"


def test_mappings_and_namespaces():
    nested = UserDict({"a": UserDict({"b": 1}), "c": 2})
    assert dict(read_settings(nested)) == {"a.b": 1, "c": 2}
    assert dict(read_settings(argparse.Namespace(beta=1.0))) == {"beta": 1.0}
    assert dict(read_settings(SimpleNamespace(beta=1.0))) == {"beta": 1.0}
    for wrong in (3, None, print, [1, 2]):
        with pytest.raises(ArgumentError, match="config must be a path, a mapping"):
            read_settings(wrong)


def test_settings_lie_over_defaults():
    base = Settings.from_mapping({"a": 1, "b": {"c": 2}}, Source("default", "X 1"))
    both = Settings.from_mapping({"a": 3}, Source("object", "dict")).over(base)
    assert dict(both) == {"a": 3, "b.c": 2}
    assert both.given("a")
    assert not both.given("b.c")
    assert not both.given("none")
    assert both.setting("none") is None
    assert flatten({"a": {}, "b": {"c": {"d": 1}}}) == {"a": {}, "b.c.d": 1}


COMMENTED = """\
# head
model: "x"   # quoted
actor:       # ours
    beta: 0.1  # strength
    list:
      - 1
      - 2
# tail
"""


def test_a_corrected_copy_keeps_comments_order_and_quotes(tmp_path):
    path = write(tmp_path, COMMENTED)
    text = corrected(path, {"actor.beta": 0.5, "new": None, "actor.deep.key": "v"})
    for kept in ("# head", 'model: "x"   # quoted', "# ours", "# strength", "# tail"):
        assert kept in text
    assert text.index("model") < text.index("actor") < text.index("new")
    after = read_settings(write(tmp_path, text, "fixed.yaml"))
    before = read_settings(path)
    changed = {"actor.beta": 0.5, "new": None, "actor.deep.key": "v"}
    assert dict(after) == {**before, **changed}
    assert path.read_text() == COMMENTED


def test_a_simple_file_changes_in_the_lines_that_change(tmp_path):
    text = "# run\nbeta: 0.04  # KL\nweights:\n  - 1.0\n  - 0.5\nloss: 'a'\n"
    lines = corrected(write(tmp_path, text), {"beta": 0.1}).splitlines()
    assert [new for new, old in zip(lines, text.splitlines(), strict=True) if new != old] == [
        "beta: 0.1   # KL"
    ]


def test_what_cannot_be_corrected(tmp_path):
    with pytest.raises(InputError, match=r"only that is corrected; change by hand beta=0\.1"):
        corrected(write(tmp_path, "x", "run.sh"), {"beta": 0.1})
    with pytest.raises(InputError, match=r"a must be a mapping to hold a\.b"):
        corrected(write(tmp_path, "a: 1\n"), {"a.b": 2})
