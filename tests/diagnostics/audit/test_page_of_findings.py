"""Every number on the page of findings is the one that the code gives, or names a setting."""

import math
import re
import tomllib
from pathlib import Path

import pytest

from polymode.diagnostics.audit import EffectiveObjective, explaining
from polymode.diagnostics.audit.frameworks.tables import bundled_options
from polymode.diagnostics.audit.frameworks.trl_releases import history_of
from polymode.diagnostics.audit.rules.divergence import TELLING
from polymode.diagnostics.audit.simulation import simulate

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "audit-findings.md"
KINDS = {
    "tokens": {"kl_placement": "loss", "kl_estimator": "k2"},
    "k3": {"kl_placement": "loss", "kl_estimator": "k3"},
}


def objective(**facts):
    named = {"framework": "trl", "version": "0", "trainer": "any", "beta": 0.2}
    return EffectiveObjective(**named, **facts)


def short(x, digits):
    """As the page writes numbers: without the zero in front."""
    return f"{x:.{digits}f}".removeprefix("0")


def distance(kind, *, anchored=False):
    return short(simulate(objective(**KINDS[kind]), anchored=anchored).distance, 3)


def gap(p, n):
    facts = {"baseline": "group_mean", "scale": "group_std", "scale_epsilon": 1e-4}
    return objective(**facts).reward_gap(p, n)


def changed(key, n=-1):
    """The release of TRL's GRPO that changed a default, for the n-th time."""
    return [*history_of("grpo")[key]][n].removesuffix(".0")


small = [gap(p, 8) for p in (0.5, 0.9, 0.99)]
large = [gap(p, 64) for p in (0.5, 0.9, 0.99)]
openrlhf_clip = bundled_options("openrlhf").defaults["reward.clip_range"][1]

PHRASES = {
    "PM101": [f"since {changed('beta')}"],
    "PM103": [f"before {changed('use_bias_correction_kl')} by default"],
    "PM104": [f"at $\\beta = .2$ they are {distance('tokens')} apart"],
    "PM108": [f"bound of 10 nats that is a factor of\n{math.exp(10) // 1000 * 1000:,.0f}"],
    "PM109": [
        f"At $\\beta = .001$ a gap of .1 is a factor of $10^{{{0.1 / 0.001 / math.log(10):.0f}}}$",
        f"where a gap of .1 is worth more than a factor of {TELLING:,}",
    ],
    "PM201": [
        "in groups of 8, $\\delta$ is {:.3f} at $p = .5$, {:.3f} at .9 and {:.3f} at .99".format(
            *small
        ),
        "in groups of 64 it is {:.2f}, {:.2f} and {:.2f}".format(*large),
    ],
    "PM204": [f"{ {14: 'Fourteen'}[round(100 * (8 / 7 - 1))] } per cent at $G = 8$"],
    "PM205": [f"OpenRLHF clips at {openrlhf_clip:g} by default"],
    "PM207": ["becomes .2: the reward counts a fifth", f"= {1 / 0.2:g} \\beta$", "paper has 5"],
    "PM303": [f"before {changed('use_bias_correction_kl')} did so"],
    "PM401": [f"had `top_k: 50` by default before {changed('top_k', 1)}"],
    "PM403": ["TRL before 0.16"],
    "PM607": [f"{short(0.9**8, 2)} for $x = .1$ and $G = 8$", "16 to 64 completions"],
    "PM701": [f"in TRL {changed('use_bias_correction_kl')}:"],
    "PM703": [
        "at $\\beta = .2$",
        f"end {distance('tokens', anchored=True)} from their flat target",
        f"{distance('k3', anchored=True)} under plain k3",
    ],
}
SETTINGS = {"PM207": ["left at PPO's .2"]}
# Names with digits, powers and denominators, and the numbers of settings: 0, 1 and 2.
NAMES = re.compile(
    r"`[^`]*`|https?://\S+|\]\([^)]*\)|\{#pm\d+\}|PM\dxx|PM\d{3}|k[123]\b|k_[0-9]|[a-z]_[0-9]"
    r"|beta = 0|A = 0|q_1|\b[012]\b"
)


def sections():
    text = PAGE.read_text(encoding="utf-8")
    found = re.split(r"^### (PM\d{3}): ", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], (part.split("\n## ")[0] for part in found[2::2]), strict=True))


@pytest.mark.parametrize("code", sections())
def test_every_number_of_a_section_is_computed(code):
    section = sections()[code]
    flat = " ".join(section.split())
    for phrase in PHRASES.get(code, ()):
        shown = " ".join(phrase.split())
        assert shown in flat, shown
        flat = flat.replace(shown, "")
    for phrase in SETTINGS.get(code, ()):
        flat = flat.replace(phrase, "")
    assert re.findall(r"[0-9][0-9.,]*", NAMES.sub("", flat)) == []


def test_the_page_is_shipped_where_it_is_looked_for():
    root = PAGE.parents[2]
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    shipped = settings["build"]["targets"]["wheel"]["force-include"]
    where = {str(root / source): str(root / "src" / place) for source, place in shipped.items()}
    assert where[str(PAGE)] == str(explaining._HOMES[0])
