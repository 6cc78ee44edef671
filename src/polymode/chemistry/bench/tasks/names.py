"""Names of PMO's tasks, for whoever only lists them: importing this loads no RDKit."""

__all__ = ["GUACAMOL_NAMES", "MPO_NAMES"]

MPO_NAMES = (
    "amlodipine_mpo",
    "fexofenadine_mpo",
    "osimertinib_mpo",
    "perindopril_mpo",
    "ranolazine_mpo",
    "sitagliptin_mpo",
    "zaleplon_mpo",
)
"""The seven tasks with several properties."""

GUACAMOL_NAMES = (
    *MPO_NAMES,
    "albuterol_similarity",
    "celecoxib_rediscovery",
    "deco_hop",
    "isomers_c7h8n2o2",
    "isomers_c9h10n2o2pf2cl",
    "median1",
    "median2",
    "mestranol_similarity",
    "qed",
    "scaffold_hop",
    "thiothixene_rediscovery",
    "troglitazone_rediscovery",
    "valsartan_smarts",
)
"""The twenty tasks that need nothing but RDKit."""
