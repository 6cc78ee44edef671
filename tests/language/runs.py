"""Trainers on the tiny model. Completions are prescribed, so that batches can be compared."""

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer

from polymode.language import MARAConfig, MARAGRPOConfig, MARAGRPOTrainer, MARATrainer

EOS = 1
BETA = 0.05
PROMPTS = ("roll: ", "pick one: ", "a ")
# One group of six per prompt: good answers end in a digit; the last of each is cut off (no end).
ANSWERS = ("x1", "yy2", "x1", "bad", "3", "z4")
N_GENERATIONS = len(ANSWERS)

TRAINERS = {
    "rloo": (MARATrainer, MARAConfig),
    "grpo": (MARAGRPOTrainer, MARAGRPOConfig),
}


def reward(completions, **_):
    """1 for a completion that ends in a digit."""
    return [float(text[-1:].isdigit()) for text in completions]


def last_letter(prompt, completion):
    """Mode of a completion: whether its digit is odd or even."""
    return int(completion[-1]) % 2 if completion[-1:].isdigit() else None


def lora():
    return LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


def options(out, **changes):
    """Settings of a run of few steps on the CPU."""
    return {
        "output_dir": str(out),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "beta": BETA,
        "threshold": 0.5,
        "num_generations": N_GENERATIONS,
        "per_device_train_batch_size": N_GENERATIONS * len(PROMPTS),
        "max_completion_length": 4,
        "learning_rate": 1e-2,
        "max_steps": 1,
        "shuffle_dataset": False,
        "seed": 3,
        **changes,
    }


def make_trainer(
    kind, model_dir, out, *, adapter=False, base=None, trainer_kwargs=None, host=None, **changes
):
    """Build one of our trainers (or `host`, with config class `base`) on the tiny model."""
    trainer_class, config_class = TRAINERS[kind]
    settings = options(out, **changes)
    if base is not None:
        trainer_class, config_class = host, base
        settings = {k: v for k, v in settings.items() if k in config_class.__dataclass_fields__}
    return trainer_class(
        model=AutoModelForCausalLM.from_pretrained(model_dir),
        reward_funcs=reward,
        args=config_class(**settings),
        train_dataset=Dataset.from_dict({"prompt": list(PROMPTS) * 4}),
        processing_class=AutoTokenizer.from_pretrained(model_dir),
        peft_config=lora() if adapter else None,
        **(trainer_kwargs or {}),
    )


def prescribed_ids(tokenizer, index):
    """Token ids of the completion at a global index; the last of each group never ends."""
    ids = tokenizer(ANSWERS[index % N_GENERATIONS])["input_ids"]
    return ids if index % N_GENERATIONS == N_GENERATIONS - 1 else [*ids, EOS]


def prescribe_samples(trainer):
    """Replace sampling: row i of the global batch gets completion i."""

    def _generate_single_turn(prompt_ids, *_):
        start = trainer.accelerator.process_index * len(prompt_ids)
        ids = [prescribed_ids(trainer.processing_class, start + i) for i in range(len(prompt_ids))]
        return (ids, None) if isinstance(trainer, GRPOTrainer) else ids

    trainer._generate_single_turn = _generate_single_turn
    return trainer
