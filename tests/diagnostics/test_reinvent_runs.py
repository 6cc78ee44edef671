"""Tables of REINVENT 4: signs, sigma, and what is wrong with a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymode.diagnostics.runs import reinvent_csv
from polymode.errors import InputError

HEADER = "Agent,Prior,Target,Score,SMILES,SMILES_state,QED,QED (raw),step"

# Two rows as REINVENT 4.8 writes them at sigma = 64, before its first update: agent and prior agree
PUBLISHED = (
    "28.7554,28.7554,-28.2362,0.0081133,O=[P-](=O)(Oc1ccccc1-c1ccccc1O)[n+]1ccccc1,1,0.1,0.1,1",
    "29.5017,29.5017,-27.8552,0.0257267,COC(=O)C1=C(C(=O)OC)C2(OC(=O)CS2)C(C#N)=C(N)O1,1,0.1,0.1,1",
)


def table(path, *rows, header=HEADER, end="\n"):
    path.write_text("\n".join((header, *rows)) + end, encoding="utf-8")
    return path


def written(agent, prior, score, smiles, state, step, *, sigma=128.0):
    """A row as REINVENT rounds it."""
    target = -prior + sigma * score
    return f"{agent:.4f},{prior:.4f},{target:.4f},{score:.7f},{smiles},{state},0.5,0.5,{step}"


def test_published_rows(tmp_path):
    columns = reinvent_csv(table(tmp_path / "stage1_1.csv", *PUBLISHED))
    assert columns.ref_log_probs.tolist() == columns.log_probs.tolist() == [-28.7554, -29.5017]
    assert columns.rewards.tolist() == [0.0081133, 0.0257267]
    assert columns.smiles[1].startswith("COC(=O)")
    assert columns.steps.tolist() == [1, 1]
    assert columns.valid.tolist() == [True, True]
    # -28.2362 + 28.7554 = 64 · 0.0081133, up to the digits that are written
    assert columns.sigma == pytest.approx(64, rel=1e-3)
    assert columns.notes == ()


@given(
    st.lists(
        st.tuples(st.floats(1, 200), st.floats(1, 200), st.floats(0, 1), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([20.0, 128.0, 500.0]),
)
def test_what_was_written_comes_back(tmp_path_factory, rows, sigma):
    lines = [
        written(agent, prior, score, f"{'C' * (i + 1)}", state, i // 4 + 1, sigma=sigma)
        for i, (agent, prior, score, state) in enumerate(rows)
    ]
    columns = reinvent_csv(table(tmp_path_factory.mktemp("run") / "a.csv", *lines))
    agent, prior, score, state = map(np.asarray, zip(*rows, strict=True))
    np.testing.assert_allclose(columns.log_probs, -agent, atol=6e-5)
    np.testing.assert_allclose(columns.ref_log_probs, -prior, atol=6e-5)
    np.testing.assert_allclose(columns.rewards, score, atol=6e-8)
    assert columns.valid.tolist() == (state != 0).tolist()
    assert columns.steps.tolist() == [i // 4 + 1 for i in range(len(rows))]
    if (score > 0.011).any():
        assert columns.sigma == pytest.approx(sigma, rel=1e-3)
    else:
        assert np.isnan(columns.sigma) or columns.sigma == pytest.approx(sigma, rel=1e-2)


def test_other_objectives_have_no_sigma(tmp_path):
    rows = [written(30, 30 + i, 0.1 * i, "C", 1, 1, sigma=10.0**i) for i in range(1, 6)]
    columns = reinvent_csv(table(tmp_path / "a.csv", *rows))
    assert np.isnan(columns.sigma)
    assert len(columns.smiles) == 5


def test_steps_whose_likelihoods_moved_up_are_left_out(tmp_path):
    """As REINVENT writes a step whose second molecule failed: the third has moved up."""
    good = [written(20 + i, 21 + i, 0.1 + 0.1 * i, "C", 1, 1) for i in range(4)]
    moved = (
        "23.0000,24.0000,27.2000,nan,CC,1,nan,nan,2",
        "25.0000,26.0000,0.0000,0.4000000,CCC,1,1,1,2",
    )
    columns = reinvent_csv(table(tmp_path / "a.csv", *good, *moved))
    assert columns.smiles == ("C",) * 4
    assert columns.sigma == pytest.approx(128, rel=1e-3)
    assert columns.notes == (
        "2 of 6 rows left out: likelihoods of their step do not belong to its SMILES (a component "
        "failed)",
    )


def test_a_failed_molecule_alone_stays(tmp_path):
    rows = [written(20, 21, 0.5, "C", 1, 1), "23.0000,24.0000,nan,nan,CC,1,nan,nan,1"]
    with pytest.raises(InputError, match="line 3 has Target 'nan'"):
        reinvent_csv(table(tmp_path / "a.csv", *rows))
    rows[1] = "23.0000,24.0000,27.2000,nan,CC,1,nan,nan,1"
    columns = reinvent_csv(table(tmp_path / "a.csv", *rows))
    assert np.isnan(columns.rewards).tolist() == [False, True]
    assert columns.notes == ()


def test_old_versions_do_not_say_what_is_valid(tmp_path):
    header = HEADER.replace("SMILES_state,", "")
    columns = reinvent_csv(table(tmp_path / "a.csv", "1,2,2,0.5,C,0.1,0.1,1", header=header))
    assert columns.valid is None
    assert columns.sigma == pytest.approx(8)


@pytest.mark.parametrize("end", [PUBLISHED[1][:40], PUBLISHED[1][:-2], '1,2,3,0.5,"CC'])
def test_a_line_that_was_cut_off_is_left_out(tmp_path, end):
    columns = reinvent_csv(table(tmp_path / "a.csv", PUBLISHED[0], end, end=""))
    assert len(columns.smiles) == 1
    assert columns.notes == ("the last line was cut off, and is left out",)


def test_a_step_that_was_cut_off_is_no_step(tmp_path):
    rows = [written(20, 21, 0.5, "C", 1, 12) for _ in range(3)]
    columns = reinvent_csv(table(tmp_path / "a.csv", *rows, rows[0][:-1], end=""))
    assert columns.steps.tolist() == [12, 12, 12]
    assert columns.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"must have the columns Agent, Prior, .*got an empty file"),
        ("SMILES,NLL,State\nC,1,1\n", r"staged learning, got SMILES, NLL, State"),
        (f"{HEADER.lower()}\n", "did you mean 'agent'"),
        (f"{HEADER}\n", "has no molecules"),
        (f"{HEADER}\n-1,2,3,0.5,C,1,1,1,1\n", "negative log-likelihoods >= 0 in Agent and Prior"),
        (
            f"{HEADER}\nx,2,3,0.5,C,1,1,1,1\n1,2,3\n1,inf,3,1,C,1,1,1,1\n1,2,3,y,C,1,1,1,1\n"
            "1,2,3,y,C,1,1,1,1\n",
            r"line 2 has Agent 'x'; line 3 has 3 fields, not 9; line 4 has Prior 'inf'; and 2 more",
        ),
        (f'{HEADER}\n1,2,3,0.5,"C"x,1,1,1,1\n', "cannot be read as CSV"),
    ],
)
def test_messages(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        reinvent_csv(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        reinvent_csv(tmp_path / "missing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        reinvent_csv(tmp_path / "binary.csv")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        reinvent_csv(tmp_path)
