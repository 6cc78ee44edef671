"""Rows of samples, and files of them."""

import csv
import gzip
import json

ROWS = [
    {"prompt": "roll", "output": "six", "reward": 1.0, "ref_log_prob": -1.5},
    {"prompt": "roll", "output": "one", "reward": 0.5, "ref_log_prob": -2.0},
    {"prompt": "pick: “a”,\nor b", "output": "six", "reward": 0.0, "ref_log_prob": -0.25},
    {"prompt": "roll", "output": "six", "reward": 1.0, "ref_log_prob": -1.5},
]


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_json(path, rows=ROWS):
    data = json_lines(rows)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_csv(path, rows=ROWS):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if ".tsv" in path.name else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_rows(samples):
    """The rows of samples, by the texts that they point to."""
    return [
        {
            "prompt": samples.prompt_texts[prompt],
            "output": samples.output_texts[output],
            "reward": reward,
            "ref_log_prob": log_q,
        }
        for prompt, output, reward, log_q in zip(
            samples.prompt.tolist(),
            samples.output.tolist(),
            samples.rewards.tolist(),
            samples.ref_log_probs.tolist(),
            strict=True,
        )
    ]
