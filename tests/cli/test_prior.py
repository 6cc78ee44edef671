"""`polymode prior` as a user types it."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("rdkit")

from typer.testing import CliRunner

from polymode.chemistry import load_model
from polymode.cli import app
from polymode.errors import InputError
from tests.chemistry.prior.test_data import STRINGS

TINY = ("--hidden", "16", "--layers", "1", "--embedding", "8", "--epochs", "1", "--samples", "5")


def polymode(*arguments):
    return CliRunner().invoke(app, ["prior", *map(str, arguments)])


def test_from_strings_to_a_file_of_reinvent_and_back(tmp_path):
    (tmp_path / "strings.smi").write_text("\n".join(STRINGS))
    trained = polymode("train", tmp_path / "strings.smi", "-o", tmp_path / "p.safetensors", *TINY)
    assert trained.exit_code == 0, trained.output
    assert "1 steps in" in trained.output
    assert "-log p held out" in trained.output
    assert load_model(tmp_path / "p.safetensors").architecture["hidden"] == 16
    written = polymode("export", tmp_path / "p.safetensors", "-o", tmp_path / "p.prior")
    assert f"wrote {tmp_path / 'p.prior'}: gru 1 x 16, 5 tokens" in written.output
    read = polymode("import", tmp_path / "p.prior", "-o", tmp_path / "again.safetensors")
    assert "gru 1 x 16, 5 tokens" in read.output
    assert load_model(tmp_path / "again.safetensors").vocabulary.tokens[2:] == ("C", "N", "O")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "none.smi"), "none.smi cannot be read as a text"),
        (("train", "none.smi", "--epochs", "0"), "epochs must be an integer >= 1"),
        (("export", "zink", "-o", "x.prior"), "prior must be a file or one of"),
        (("import", "none.prior", "-o", "x.safetensors"), "none.prior is no file"),
    ],
)
def test_mistakes_are_errors_of_ours(arguments, message):
    """`polymode.cli.main` makes one line on stderr and exit code 2 of them."""
    result = polymode(*arguments)
    assert isinstance(result.exception, (InputError, ValueError))
    assert message in str(result.exception)
