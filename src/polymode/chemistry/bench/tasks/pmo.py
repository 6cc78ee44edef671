"""The tasks of PMO that need nothing but RDKit, as one component.

Definitions are GuacaMol's, as PyTDC carries them; where PMO's figures were made with others,
`definition` chooses. A
task is a mean of terms, each a score of one molecule.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from rdkit.Chem import QED, Crippen, Descriptors, MolFromSmiles, rdMolDescriptors

from polymode.chemistry.bench.tasks.isomers import Definition, formula_terms
from polymode.chemistry.bench.tasks.measures import (
    Measure,
    at_least,
    at_most,
    clipped,
    count_of,
    gaussian,
    has,
    lacks,
    scored,
    similarity,
)
from polymode.core import checks

__all__ = ["GUACAMOL_TASKS", "PmoTask", "Task", "task"]

_DESCRIPTORS: Any = Descriptors  # RDKit makes some of their functions when they are imported
_CRIPPEN: Any = Crippen
_log_p: Measure = _CRIPPEN.MolLogP
_tpsa: Measure = rdMolDescriptors.CalcTPSA
_bertz: Measure = _DESCRIPTORS.BertzCT
_n_rings: Measure = rdMolDescriptors.CalcNumRings
_n_aromatic: Measure = rdMolDescriptors.CalcNumAromaticRings

CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"
TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"
THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"
ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"
CAMPHOR, MENTHOL = "CC1(C)C2CCC1(C)C(=O)C2", "CC(C)C1CCC(C)CC1O"
TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"
SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"
OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"
RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"
PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"
AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"
SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"
ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"
HOPPED = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
_SCAFFOLD = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"
_DECORATION = "[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"


@dataclass(frozen=True)
class Task:
    """A mean of terms, each a score of one molecule."""

    terms: tuple[Measure, ...]
    mean: Literal["geometric", "arithmetic"] = "geometric"

    def __call__(self, mol: Any) -> float:
        """Return the score; a geometric mean with a term that is not above 0 is 0."""
        values = [term(mol) for term in self.terms]
        if self.mean == "arithmetic":
            return sum(values) / len(values)
        if min(values) <= 0:
            return 0.0
        return math.exp(sum(map(math.log, values)) / len(values))


class PmoTask:
    """A task of PMO as a component: ``type = "polymode.chemistry.bench.tasks.pmo:PmoTask"``.

    Parameters
    ----------
    task : str
        Name, as in PMO.
    definition : {"pmo", "guacamol"}
        That of PMO's published figures, or GuacaMol's; they differ in the four tasks with a
        molecular formula.

    Raises
    ------
    ArgumentError
        If there is no such task or definition.
    """

    def __init__(self, task: str, definition: Definition = "pmo") -> None:
        self._score = _task(task, definition)

    def __call__(self, mols: Sequence[Any]) -> Float[np.ndarray, " n"]:
        """Return the score of each molecule."""
        return np.array([self._score(mol) for mol in mols], dtype=np.float64)


def task(name: str, definition: Definition = "pmo") -> Task:
    """Return a task by its name.

    Parameters
    ----------
    name : str
        As in PMO.
    definition : str
        Whose definition.

    Raises
    ------
    ArgumentError
        If there is no such task or definition.
    """
    return _task(name, definition)


@functools.cache
def _task(name: str, definition: Definition) -> Task:
    known = ("pmo", "guacamol")
    checks.require(
        checks.known("task", name, GUACAMOL_TASKS), checks.known("definition", definition, known)
    )
    return GUACAMOL_TASKS[name](definition)


def _alike(smiles: str, kind: Any, modifier: Any = None) -> Callable[[Definition], Task]:
    """Return a task that asks for likeness to one molecule."""

    def make(_: Definition) -> Task:
        measure = similarity(smiles, kind)
        return Task((measure if modifier is None else scored(measure, modifier),))

    return make


def _median(first: str, second: str, kind: Any) -> Callable[[Definition], Task]:
    return lambda _: Task((similarity(first, kind), similarity(second, kind)))


def _isomers(formula: str) -> Callable[[Definition], Task]:
    return lambda definition: Task(formula_terms(formula, definition))


def _osimertinib(_: Definition) -> Task:
    return Task(
        (
            scored(similarity(OSIMERTINIB, "FCFP4"), clipped(0.8)),
            scored(similarity(OSIMERTINIB, "ECFP6"), at_most(0.85, 0.1)),
            scored(_tpsa, at_least(100, 10)),
            scored(_log_p, at_most(1, 1)),
        )
    )


def _fexofenadine(_: Definition) -> Task:
    return Task(
        (
            scored(similarity(FEXOFENADINE, "AP"), clipped(0.8)),
            scored(_tpsa, at_least(90, 10)),
            scored(_log_p, at_most(4, 1)),
        )
    )


def _ranolazine(_: Definition) -> Task:
    return Task(
        (
            scored(similarity(RANOLAZINE, "AP"), clipped(0.7)),
            scored(_log_p, at_least(7, 1)),
            scored(_tpsa, at_least(95, 20)),
            scored(count_of("F"), gaussian(1, 1)),
        )
    )


def _perindopril(_: Definition) -> Task:
    return Task((similarity(PERINDOPRIL, "ECFP4"), scored(_n_aromatic, gaussian(2, 0.5))))


def _amlodipine(_: Definition) -> Task:
    return Task((similarity(AMLODIPINE, "ECFP4"), scored(_n_rings, gaussian(3, 0.5))))


def _sitagliptin(definition: Definition) -> Task:
    """Other than sitagliptin, with its formula, logP and polar surface."""
    formula = _mean_of(formula_terms("C16H15F6N5O", definition))
    alike = similarity(SITAGLIPTIN, "ECFP4")
    model = MolFromSmiles(SITAGLIPTIN)
    return Task(
        (
            scored(alike, gaussian(0, 0.1)),
            scored(_log_p, gaussian(_log_p(model), 0.2)),
            scored(_tpsa, gaussian(_tpsa(model), 5)),
            formula,
        )
    )


def _zaleplon(definition: Definition) -> Task:
    formula = _mean_of(formula_terms("C19H17N3O2", definition))
    return Task((similarity(ZALEPLON, "ECFP4"), formula))


def _mean_of(terms: tuple[Measure, ...]) -> Measure:
    return Task(terms)


def _valsartan(_: Definition) -> Task:
    model = MolFromSmiles(SITAGLIPTIN)
    return Task(
        (
            has("CN(C=O)Cc1ccc(c2ccccc2)cc1"),
            scored(_log_p, gaussian(_log_p(model), 0.2)),
            scored(_tpsa, gaussian(_tpsa(model), 5)),
            scored(_bertz, gaussian(_bertz(model), 30)),
        )
    )


def _deco_hop(_: Definition) -> Task:
    return Task(
        (
            scored(similarity(HOPPED, "PHCO"), clipped(0.85)),
            lacks("CS([#6])(=O)=O"),
            lacks("[#7]-c1ccc2ncsc2c1"),
            has(_SCAFFOLD),
        ),
        mean="arithmetic",
    )


def _scaffold_hop(_: Definition) -> Task:
    terms = (scored(similarity(HOPPED, "PHCO"), clipped(0.75)), has(_DECORATION), lacks(_SCAFFOLD))
    return Task(terms, mean="arithmetic")


GUACAMOL_TASKS: Mapping[str, Callable[[Definition], Task]] = {
    "albuterol_similarity": _alike(ALBUTEROL, "FCFP4", clipped(0.75)),
    "amlodipine_mpo": _amlodipine,
    "celecoxib_rediscovery": _alike(CELECOXIB, "ECFP4"),
    "deco_hop": _deco_hop,
    "fexofenadine_mpo": _fexofenadine,
    "isomers_c7h8n2o2": _isomers("C7H8N2O2"),
    "isomers_c9h10n2o2pf2cl": _isomers("C9H10N2O2PF2Cl"),
    "median1": _median(CAMPHOR, MENTHOL, "ECFP4"),
    "median2": _median(TADALAFIL, SILDENAFIL, "ECFP6"),
    "mestranol_similarity": _alike(MESTRANOL, "AP", clipped(0.75)),
    "osimertinib_mpo": _osimertinib,
    "perindopril_mpo": _perindopril,
    "qed": lambda _: Task((QED.qed,)),
    "ranolazine_mpo": _ranolazine,
    "scaffold_hop": _scaffold_hop,
    "sitagliptin_mpo": _sitagliptin,
    "thiothixene_rediscovery": _alike(THIOTHIXENE, "ECFP4"),
    "troglitazone_rediscovery": _alike(TROGLITAZONE, "ECFP4"),
    "valsartan_smarts": _valsartan,
    "zaleplon_mpo": _zaleplon,
}
"""Names in PMO, and what makes the task: the twenty that need nothing but RDKit."""
