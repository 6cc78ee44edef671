"""Make the list of features that the diverse-hits suite takes for known, and calibrate its limit.

    .venv/bin/python benchmarks/science/chemistry/known_features.py sample.smi

The benchmark's own list is of 1.3 million molecules of ChEMBL and cannot be had. `sample.smi` of
the package molscore 1.9.5 (MIT) holds 273,626 molecules like those of ChEMBL: the same share of
them, drawn at random, gives the known features, and the others the share of known features that
99 % of molecules exceed. Writes `known_features.npz` into the package, and the figures as JSON.
"""

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from polymode.chemistry.bench.tasks.limits import features

ROOT = Path(__file__).resolve().parents[3]
TARGET = ROOT / "src" / "polymode" / "chemistry" / "bench" / "tasks" / "known_features.npz"
SHARE = 1.3 / 1.591378
"""Of the molecules, those that features are taken from, as in the benchmark."""


def main() -> None:
    """Read molecules, write the list and what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("smiles", type=Path, help="a file with one SMILES a line")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prints = read(options.smiles)
    order = np.random.default_rng(options.seed).permutation(len(prints))
    n = int(len(prints) * SHARE)
    known = np.unique(np.concatenate([prints[i] for i in order[:n]]))
    shares = np.array([np.isin(prints[i], known).mean() for i in order[n:]])
    np.savez_compressed(TARGET, steps=np.diff(known, prepend=np.uint32(0)).astype(np.uint32))
    kept = {
        "schema_version": 1,
        "script": "benchmarks/science/chemistry/known_features.py",
        "date": date.today().isoformat(),
        "source": "sample.smi of molscore 1.9.5 (MIT)",
        "seed": options.seed,
        "n_molecules": len(prints),
        "n_for_features": n,
        "n_known_features": len(known),
        "share_that_99_percent_exceed": float(np.quantile(shares, 0.01)),
        "share_of_unseen_molecules_above_the_benchmarks_limit": float((shares > 11 / 12).mean()),
        "bytes": TARGET.stat().st_size,
    }
    name = f"{date.today().isoformat()}-known-features.json"
    path = ROOT / "benchmarks" / "science" / "results" / name
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(kept, indent=1))


def read(path: Path) -> list[np.ndarray]:
    """Return the features of each different molecule of a file."""
    found: dict[str, np.ndarray] = {}
    with rdBase.BlockLogs():
        for line in path.read_text("utf-8").splitlines():
            mol = Chem.MolFromSmiles(line.split()[0]) if line.strip() else None
            if mol is not None and mol.GetNumAtoms():
                found.setdefault(Chem.MolToSmiles(mol), features(mol))
    return list(found.values())


if __name__ == "__main__":
    main()
