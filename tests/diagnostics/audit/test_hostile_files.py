"""Files that are no configuration, or want to do harm: refused in one line, quickly, unexecuted."""

import itertools
import json
import os
import time

import pytest

pytest.importorskip("ruamel.yaml")

from polymode.diagnostics.audit import audit_config
from polymode.errors import PolymodeError
from tests.cli.test_cli import one_line_error, polymode

GRPO = "loss_type: dapo\nbeta: 0.01\n"
ACTOR = "actor_rollout_ref.actor."
DEEP = 100_000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefg", "bcdefgh", strict=True)
)
ENDLESS = "nested more than|unfolds into|is no YAML"

YAML = {
    "empty": ("", "must hold a mapping"),
    "a list": ("- beta: 0.1\n- 2\n", "must hold a mapping of options, got a list"),
    "a text": ("beta is 0.1", "must hold a mapping of options, got a text"),
    "broken": ("beta: [0.1\nloss_type: dapo", "is no YAML"),
    "tabs": ("beta:\n\t- 1", "is no YAML"),
    "two documents": (f"{GRPO}---\n{GRPO}", "is no YAML"),
    "a key twice": (f"{GRPO}beta: 0.2\n", "key 'beta' stands twice"),
    "a list as key": ("? [a, b]\n: 1\n", "a key must be a word"),
    "an object": (f"{GRPO}x: !!python/object/apply:os.system ['touch {{}}']\n", "is refused"),
    "a module": (f"{GRPO}x: !!python/name:os.system\n", "is refused"),
    "a tag of its own": (f"{GRPO}x: !include /etc/passwd\n", "tag !include is refused"),
    "binary data": (f"{GRPO}x: !!binary aGVsbG8=\n", "is refused"),
    "a billion laughs": (GRPO + LAUGHS, "unfolds into more than"),
    "itself": (f"{GRPO}x: &x [*x]\n", "nested more than|unfolds into"),
    "merging itself": (f"x: &x\n  beta: 1\n  <<: *x\n{GRPO}", ENDLESS),
    "deep lists": (f"x: {'[' * DEEP}{']' * DEEP}\n", "is no YAML|nested more than"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(300)), ENDLESS),
}  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXY"
PAIRS = list(itertools.pairwise(LETTERS))
DOUBLING = "A=xxxxxxxxxx\n" + "".join(f"{new}=${old}${old}\n" for old, new in PAIRS)
NINE = '"${OLD[@]}" ' * 9
ARRAYS = "A=(--x 1 --y 2 --z 3)\n" + "".join(
    f"{new}=({NINE.replace('OLD', old)})\n" for old, new in PAIRS[:12]
)
OTHERS = {
    "deep.json": ('{"a":' * DEEP + "1" + "}" * DEEP, "is no JSON"),
    "list.json": ("[1, 2]", "must hold a mapping of options, got a list"),
    "broken.json": ('{"beta": 0.1,}', "is no JSON"),
    "broken.toml": ("beta = = 1", "is no TOML"),
    "deep.toml": ("a = " + "[" * DEEP + "]" * DEEP, "is no TOML"),
    "nothing.sh": ("#!/bin/bash\nset -x\necho hello\n", "has no command with options"),
    "open.sh": (f"trl grpo --beta 'oh {'x' * 200_000}", "never closed"),
    "quotes.sh": ("trl grpo --beta '" + "\n''" * 40_000, "never closed"),
    "doubling.sh": (f"{DOUBLING}trl grpo --run_name $Y\n", "unfolds into more than"),
    "arrays.sh": (f'{ARRAYS}trl grpo "${{M[@]}}"\n', "unfolds into more than"),
    "mixed.yaml": (
        "actor_rollout_ref:\n  actor: {use_kl_loss: true}\nloss_fn: {ratio_clip_min: 0.2}\n"
        "grpo: {num_generations_per_prompt: 8}\n",
        "options of verl and NeMo-RL are mixed",
    ),
    "stranger.yaml": ("colour: red\nsize: 3\n", "name the framework"),
    "negative.yaml": ("loss_type: dapo\nbeta: -0.1\n", "coefficient must be >= 0, got -0.1"),
    "nan.yaml": ("loss_type: dapo\nbeta: .nan\n", "coefficient must be >= 0, got nan"),
    "config.ini": ("[a]\nb=1\n", "must end in one of"),
}  # fmt: skip


def refuse(path, text):
    """Refused within a second, in one line that names the file and says what is wrong."""
    start = time.monotonic()
    with pytest.raises(PolymodeError, match=text) as caught:
        audit_config(str(path))
    assert time.monotonic() - start < 30
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 1000


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_is_refused(name, tmp_path):
    text, message = YAML[name]
    path = tmp_path / "grpo.yaml"
    path.write_text(text.replace("{}", str(tmp_path / "owned")))
    refuse(path, message)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_that_are_refused(name, tmp_path):
    text, message = OTHERS[name]
    path = tmp_path / name
    path.write_text(text)
    refuse(path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)) * 40, "is no text"),
        (b"beta: 0.1\n\x00\n", "zero bytes"),
        (GRPO.encode("utf-16"), "is no text"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 1000, "is no text"),
        (b"\x80\x04\x95" + b"c__builtin__\neval\n" * 9, "is no text"),
    ],
    ids=["bytes", "zero", "utf-16", "picture", "pickle"],
)
def test_binary_files(content, message, tmp_path):
    for ending in ("yaml", "json", "toml", "sh"):
        path = tmp_path / f"grpo.{ending}"
        path.write_bytes(content)
        refuse(path, message)


def test_a_hundred_megabytes(tmp_path):
    path = tmp_path / "grpo.yaml"
    with path.open("wb") as file:
        file.write(b"beta: 0.1\n")
        file.truncate(100_000_000)
    start = time.monotonic()
    refuse(path, "more than 1 MB")
    assert time.monotonic() - start < 5


def test_what_is_no_regular_file(tmp_path):
    refuse(tmp_path / "missing.yaml", "cannot be read: No such file")
    (tmp_path / "folder.yaml").mkdir()
    refuse(tmp_path / "folder.yaml", "is a directory")
    os.mkfifo(tmp_path / "pipe.yaml")  # opening it would wait for a writer for ever
    refuse(tmp_path / "pipe.yaml", "must be a file")
    os.mkfifo(tmp_path / "pipe.sh")
    refuse(tmp_path / "pipe.sh", "must be a file")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    refuse(tmp_path / "endless.yaml", "must be a file")


def test_nothing_in_a_script_is_run(tmp_path):
    path = tmp_path / "run.sh"
    owned = tmp_path / "owned"
    path.write_text(
        f"BETA=$(touch {owned}; echo 0.1)\n`touch {owned}`\n"
        f"trl grpo --beta 0.05 --run_name $(touch {owned}) --num_generations 8\n"
    )
    assert audit_config(str(path)).objective.beta == 0.05
    assert not owned.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": "much"}, "beta must be"),
        ({"beta": [0.1, 0.2]}, "beta must be"),
        ({"loss_type": "dappo"}, "did you mean 'dapo'"),
        ({"num_generation": 8, "beta": 0.1}, "did you mean 'num_generations'"),
    ],
)
def test_values_that_the_framework_would_refuse(options, message):
    with pytest.raises(PolymodeError, match=message):
        audit_config({"loss_type": "dapo", **options}, framework="trl:grpo")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm.adv_estimator": "gpro"}, "did you mean 'grpo'"),
        ({f"{ACTOR}kl_loss_type": "k9", f"{ACTOR}use_kl_loss": True}, "must be one of"),
        ({"actor_rollout_ref.rollout.n": "many"}, "rollout.n must be a number"),
        ({"actor_rollout_ref.rollout.n": 2.5}, "must be an integer"),
        ({f"{ACTOR}use_kl_los": True}, f"did you mean '{ACTOR}use_kl_loss'"),
    ],
)
def test_values_that_verl_would_refuse(options, message):
    with pytest.raises(PolymodeError, match=message):
        audit_config(options, framework="verl")


def test_the_command_line_says_it_in_one_line_and_exits_with_2(tmp_path):
    path = tmp_path / "grpo.yaml"
    path.write_text(f"{GRPO}x: !!python/object/apply:os.system ['true']\n")
    one_line_error(polymode("audit", str(path)), "grpo.yaml:3: tag !!python/object/apply:os.system")


def test_json_of_an_ordinary_file_has_no_surprise(tmp_path):
    path = tmp_path / "grpo.json"
    path.write_text(json.dumps({"loss_type": "dapo", "beta": 0.01}))
    assert audit_config(str(path)).objective.beta == 0.01
