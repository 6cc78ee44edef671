r"""Which objective a configuration really optimises.

A configuration goes through four stations, each a plain value:

1. `Settings`: what was set, and where. A mapping of dotted keys to values, each with its `Source`
   (``config.yaml:12``, command line, object, default of TRL 1.16.0). `settings` holds the types,
   `reading` reads files, `commands` command lines and shell scripts.
2. `Framework`: who reads it. One module of `frameworks` for each host, and one line in
   `FRAMEWORKS`: how likely settings are its own, the defaults of a version, what each of its
   options can change, and `read`, from settings to
3. `EffectiveObjective`: what the gradient of such a run descends, in words that no framework owns.
   What follows from these (divergence, effective beta, whether anchoring is exact) is computed
   here, once, and not by readers.
4. `Finding`: what is not as its author believes, by rules that read the objective alone, hence the
   same for every framework. `rules` holds them by their codes.

`audit_config` goes through all of them and returns an `Audit`.

Adding a framework
------------------
Write ``frameworks/NAME.py`` with a `Framework` and add it to `FRAMEWORKS`. Its `read` gets settings
that are complete (defaults are filled in), and builds the objective with `Decided`, which notes
for each field the settings that decided it; rules point at those. Where a rule knows a remedy by
name (`REMEDIES`), the framework says which of its keys to change. An objective that was read in
sources and not executed says so: ``evidence="read"``.

Notation: ``p`` policy, ``q`` reference, ``r`` reward, ``beta`` strength, ``G`` group size.
"""

from polymode.diagnostics.audit.audit import Audit, audit_config
from polymode.diagnostics.audit.findings import Finding, Fix, Severity
from polymode.diagnostics.audit.objective import EffectiveObjective
from polymode.diagnostics.audit.settings import Setting, Settings, Source

__all__ = [
    "Audit",
    "EffectiveObjective",
    "Finding",
    "Fix",
    "Setting",
    "Settings",
    "Severity",
    "Source",
    "audit_config",
]
