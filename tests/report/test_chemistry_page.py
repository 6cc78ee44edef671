"""The page of a run on molecules: what it says, and that it is small, whole and safe."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("pyarrow")
pytest.importorskip("rdkit")

from polymode.diagnostics.chemistry import molecule_findings, read_molecule_run
from polymode.report import to_latex, to_markdown
from polymode.report.chemistry import chemistry_page, chemistry_tables, verdict
from polymode.report.chemistry.gallery import CLUSTERS, MORE, cluster_gallery, scaffold_gallery
from polymode.report.chemistry.plots import (
    MOST_POINTS,
    collapse_plots,
    found_plots,
    learning_plots,
    promise_plots,
)
from polymode.report.drawing import draw_molecule
from tests.report.hostile import HOSTILE
from tests.report.made_run import made_run, molecules


def made(path, **options):
    return read_molecule_run(made_run(path / "run", **options))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def found(run):
    return molecule_findings(run)


def test_the_verdict_says_what_was_found(run, found):
    first, course, promise = verdict(run, found)
    n, top = len(found.scaffolds), found.scaffolds[0].share
    assert first == (
        f"39 hits in 77 oracle calls: {found.n_circles} circles and {n} scaffolds, of which the "
        f"most frequent has {100 * top:.0f} % of the hits."
    )
    assert course == "All steps are taken, after 12 steps. It showed no sign of collapse."
    assert promise == (
        "Promised are 9.60 effective modes, measured 6.00 of 12 modes that are known; total "
        "variation between promised and measured shares is 0.250."
    )


def test_the_verdict_on_a_run_that_went_wrong(tmp_path):
    text = "effective_scaffolds was 2"
    alerts = [(step, text) for step in (3, 11, 12)]
    lost = made(tmp_path, threshold=2.0, alerts=alerts, result=False)
    first, course, _ = verdict(lost, molecule_findings(lost))
    assert first == "No hit in 77 oracle calls: the best reward is 1.00, the threshold 2."
    assert course.startswith("The run has not ended: it stands at 12 steps. It has collapsed: ")
    assert f"{text}. Lower learner.sigma" in course
    assert course.endswith(
        "Lower target.threshold, or give it more calls, for hits to be anchored at all."
    )


def test_curves_are_those_of_the_log(run, found):
    (yields, circles), learning = found_plots(run, found), learning_plots(run)
    hits, _, burden = yields.traces
    assert hits["x"] == run.metrics["n_calls"].tolist()
    assert hits["y"] == run.metrics["hits/total"].tolist()
    assert (burden["x"], burden["y"]) == ([39, 48], [1, 10])  # a hundredth hit never came
    assert circles.traces[0]["y"][-1] == 5
    assert [plot.name for plot in learning] == ["reward", "shares", "kl"]
    assert learning[0].layout["shapes"][0]["y0"] == 0.5
    assert [plot.name for plot in promise_plots(run)] == ["modes", "distance"]
    assert promise_plots(run)[0].traces[1]["y"][:2] == [None, 1.6]  # no mode in the first step


def test_many_steps_are_put_together(tmp_path):
    long = made(tmp_path, n_steps=450)
    reward = learning_plots(long)[0]
    mean, best = reward.traces
    values = long.metrics["reward/mean"]
    assert len(mean["x"]) == 150 <= MOST_POINTS
    assert mean["x"][:2] == [3, 6]
    np.testing.assert_allclose(mean["y"], values.reshape(150, 3).mean(axis=1), rtol=1e-4)
    assert best["y"] == pytest.approx(long.metrics["reward/best"][2::3].tolist(), rel=1e-4)
    assert reward.caption.endswith("Each point is the mean of 3 steps.")
    assert "Each point" not in found_plots(long, molecule_findings(long))[0].caption


def test_alerts_are_bars_at_the_foot(tmp_path):
    run = made(tmp_path, alerts=[(step, "repeats") for step in (2, 3, 4, 9)])
    repeats = collapse_plots(run)[0]
    limit, *bars = repeats.layout["shapes"]
    assert limit["y0"] == 0.8
    assert [(bar["x0"], bar["x1"]) for bar in bars] == [(1.5, 4.5), (8.5, 9.5)]
    page = chemistry_page(run)
    assert page.count("<li>step 2: repeats</li>") == page.count("<li>step 9: repeats</li>") == 1
    assert "<li>step 3: repeats</li>" not in page


def test_galleries_show_the_best_of_each(run, found):
    gallery, scaffolds = cluster_gallery(run, found), scaffold_gallery(run, found)
    rewards = [float(card.title) for card in gallery.cards]
    assert rewards == sorted(rewards, reverse=True)
    assert gallery.cards[0].smiles == run.calls.smiles[-1]
    assert gallery.cards[0].facts == [("qed", "1.00")]
    assert gallery.cards[0].detail == "call 77"
    assert max(len(card.more) for card in gallery.cards) <= MORE
    shares = [card.share for card in scaffolds.cards]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)


def test_a_cluster_with_a_long_name_is_counted_only(tmp_path):
    modes = dict.fromkeys(molecules(), "O=C(Nc1ccccc1)c1ccccc1")
    run = made(tmp_path, kind="murcko", modes=modes)
    (card,) = cluster_gallery(run, molecule_findings(run)).cards
    assert card.kind == "39 molecules"


def test_the_page_stays_small_whatever_the_run(tmp_path):
    """A hundred clusters of four molecules each: as many are drawn as ever are."""
    tails = [f"c1ccc(O{'C' * j})cc1N" for j in range(1, 21)]
    names = tuple("C" * i + tail for i in range(1, 21) for tail in tails)
    modes = {name: str(i // 4) for i, name in enumerate(names)}
    run = made(tmp_path, names=names, kind="cluster", modes=modes, threshold=0.0, n_steps=40)
    found = molecule_findings(run)
    assert len(found.clusters) == 100
    page = chemistry_page(run, found)
    assert page.count('<svg class="drawing"') == CLUSTERS * (1 + MORE) + len(found.scaffolds)
    assert len(page) < 2.5e6
    assert "the first 60 of 100 clusters" in page


def test_tables_for_papers(run, found):
    tables = chemistry_tables(run, found)
    assert [table.name for table in tables] == ["molecules", "oracle", "times", "config"]
    molecule, oracle, times, config = map(to_markdown, tables)
    assert (
        "| molecule | reward | call | step | cluster | qed (measured) | qed (score) |" in molecule
    )
    assert "| invalid | 12 | 7.2 % | no molecule |" in oracle
    assert "| all steps | 6.00 | s |" in times
    assert r"| oracle.components.0.type | qed |" in config
    assert r"| target.threshold | 0.5 |" in config
    assert r"\label{tab:molecules}" in to_latex(tables[0])


def test_losses_of_the_oracle_are_told(tmp_path):
    run = made(tmp_path, losses=["vina took too long for CCO (timed_out)"])
    page = chemistry_page(run)
    assert "<li>vina took too long for CCO (timed_out)</li>" in page
    assert "qed/timed_out" in page


@pytest.mark.parametrize("kept", [0, 3])
def test_a_killed_run_has_a_page(tmp_path, kept):
    page = chemistry_page(made(tmp_path, kept=kept, result=False))
    assert "The run has not ended" in page
    assert "it goes on with --resume" in page


def test_a_page_of_the_same_run_is_the_same(run, found):
    assert chemistry_page(run, found) == chemistry_page(run, molecule_findings(run))


def test_text_of_users_is_escaped(tmp_path):
    path = made_run(tmp_path / "run", component=HOSTILE[1], prior=HOSTILE[0], losses=HOSTILE)
    page = chemistry_page(read_molecule_run(path))
    body = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not [text for text in HOSTILE if re.search("[<>]", text) and text in body]
    assert "&lt;img src=x onerror=" in body


@pytest.mark.parametrize(
    ("smiles", "colours"),
    [("CC", {"c"}), ("CN", {"c", "n"}), ("OP(F)(Cl)S", set("ofxsp")), ("[Na+].[Br-]", {"c", "x"})],
)
def test_drawings_have_the_colours_of_their_elements(smiles, colours):
    drawing = draw_molecule(smiles)
    assert {stroke.colour for stroke in drawing.strokes} == colours
    for stroke in drawing.strokes:
        assert re.fullmatch(r"[MLQCZ0-9.,\s-]+", stroke.path)
    assert draw_molecule(smiles) == drawing


def test_nothing_of_a_drawing_is_lost():
    """Oracle: every path of RDKit's own SVG has its place in ours."""
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DSVG

    smiles = "C[C@H](F)c1ccc(C(=O)N[C@@H]2CCN(S(C)(=O)=O)C2)c(Cl)c1[N+](=O)[O-]"
    artist = MolDraw2DSVG(250, 170)
    artist.drawOptions().clearBackground = False
    artist.drawOptions().fixedBondLength, artist.drawOptions().padding = 22, 0.06
    artist.DrawMolecule(MolFromSmiles(smiles))
    artist.FinishDrawing()
    paths = re.findall(r"<path\b[^>]*?\bd='([^']+)'", artist.GetDrawingText())
    ours = "".join(stroke.path for stroke in draw_molecule(smiles).strokes)
    assert len(paths) > 30
    for path in paths:
        assert re.sub(r"\s*([MLQCZ])\s*", r"\1", path).strip() in ours


def test_style_sheet_has_every_colour_of_drawings():
    import polymode.report

    css = (Path(polymode.report.__file__).parent / "static" / "page.css").read_text()
    for name in "cnosfxp":
        assert css.count(f"--atom-{name}: #") == 3  # light, dark, dark by the system
        assert f".drawing .{name} " in css
