"""The blocks of the how-to, as printed but for the size and the device of the run."""

import re
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from polymode.language import ShapedConfig
from tests.language.runs import PROMPTS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "dph-and-replay.md"
SMALL = (
    'output_dir="out", use_cpu=True, bf16=False, max_steps=2, max_completion_length=4, '
    'per_device_train_batch_size=16, logging_steps=1, report_to="none"'
)


def test_its_code_stores_and_trains(tiny_model, tmp_path, monkeypatch):
    def reward(prompts, **_):
        return [float(prompt == PROMPTS[0]) for prompt in prompts]

    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names = {
        "model": AutoModelForCausalLM.from_pretrained(tiny_model),
        "tokenizer": AutoTokenizer.from_pretrained(tiny_model),
        "dataset": Dataset.from_dict({"prompt": list(PROMPTS)}),
        "reward": reward,
    }
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        code = block.replace('output_dir="out"', SMALL).replace("=256", "=4")
        exec(compile(code, PAGE.name, "exec"), names)
    assert [stored.prompt for stored in names["perfect"]] == [PROMPTS[0]]
    assert names["trainer"].state.global_step == 2
    assert all("dph/divergence" in row for row in names["trainer"].state.log_history[:2])
    assert isinstance(names["args"], ShapedConfig)
