"""Figures that others have published for the tasks of the suites; read the differences, too."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    """One published figure."""

    method: str
    task: str
    figure: str
    """Which of our figures it stands beside."""
    value: float
    spread: float | None = None
    """Standard deviation over runs; None where it is not known."""
    source: str = ""


_RENZ = "Renz, Luukkonen and Klambauer, JCIM 64, 2024"
_PMO = "Gao et al., NeurIPS 2022, as listed by Lee et al. (f-RAG), 2024"
_SATURN = "trace committed with Saturn, one seed"
_DIVERSE_HITS = {
    "AugMemory": ((636, 6), (176, 11)),
    "AugmentedHC": ((674, 11), (111, 27)),
    "LSTM-HC": ((456, 9), (103, 13)),
    "BAR": ((361, 11), (69, 20)),
    "Reinvent": ((198, 18), (35, 11)),
    "GraphGA": ((115, 14), (24, 37)),
    "random screening": ((93, 6), (15, 13)),
}
"""GSK3β and JNK3: diverse hits, and their standard deviation in percent."""
_REINVENT = {
    "albuterol_similarity": 0.882,
    "amlodipine_mpo": 0.635,
    "celecoxib_rediscovery": 0.710,
    "deco_hop": 0.666,
    "fexofenadine_mpo": 0.784,
    "gsk3b": 0.865,
    "isomers_c7h8n2o2": 0.852,
    "isomers_c9h10n2o2pf2cl": 0.642,
    "jnk3": 0.783,
    "median1": 0.356,
    "median2": 0.276,
    "mestranol_similarity": 0.618,
    "osimertinib_mpo": 0.837,
    "perindopril_mpo": 0.537,
    "qed": 0.941,
    "ranolazine_mpo": 0.760,
    "scaffold_hop": 0.560,
    "sitagliptin_mpo": 0.021,
    "thiothixene_rediscovery": 0.534,
    "troglitazone_rediscovery": 0.441,
    "valsartan_smarts": 0.178,
    "zaleplon_mpo": 0.358,
}
"""AUC of the top 10 of REINVENT in PMO."""


def _diverse_hits() -> tuple[Peer, ...]:
    return tuple(
        Peer(method, task, "diverse_hits", value, value * percent / 100, _RENZ)
        for method, pair in _DIVERSE_HITS.items()
        for task, (value, percent) in zip(("gsk3b", "jnk3"), pair, strict=True)
    )


PEERS: Mapping[str, tuple[Peer, ...]] = {
    "diverse-hits": _diverse_hits(),
    "pmo": tuple(
        Peer("REINVENT", task, "auc_top10_stopped", value, None, _PMO)
        for task, value in _REINVENT.items()
    ),
    "saturn-illustrative": tuple(
        Peer("Saturn (Mamba)", "illustrative", figure, value, None, _SATURN)
        for figure, value in {
            "yield": 125,
            "ob1": 608,
            "ob10": 762,
            "ob100": 972,
            "scaffolds": 61,
        }.items()
    ),
    "qed-sa": (),
    "mara-proxy": (),
}
"""By suite. The paper's own figures are not here: its tasks are not ours."""
