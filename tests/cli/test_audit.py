"""`polymode audit` as a user meets it."""

import json

import pytest

pytest.importorskip("ruamel.yaml")

from typer.testing import CliRunner

import polymode
from polymode.cli import app
from polymode.diagnostics.audit.rules import RULES
from tests.cli.test_cli import one_line_error
from tests.cli.test_cli import polymode as command

YAML = """\
# my run
beta: 0.04  # KL
loss_type: grpo
num_generations: 8
top_p: 0.95
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "grpo.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)


def numbers(*arguments):
    return json.loads(run("--json", "-", *arguments).stdout)


def test_the_verdict_comes_first_and_findings_say_where_and_how(home):
    done = run("grpo.yaml", "--version", "1.16.0")
    assert done.exit_code == 0
    first, second, *rest = done.stdout.splitlines()
    assert first == "REVERSE KL OF TOKENS, IN THE LOSS"
    assert second.startswith(
        "GRPOTrainer, trl 1.16.0 (its loss is tested by running it); grpo.yaml"
    )
    text = "\n".join(rest)
    for said in (
        "effective beta",
        "PM201 error: Beta depends on the success rate  default of TRL 1.16.0 (scale_rewards)",
        "PM301 warning: Short completions weigh more  grpo.yaml:3 (loss_type)",
        "→ Weigh all tokens alike.  loss_type: dapo",
        "1 error, 3 warnings",
        "docs/reference/audit-findings.md",
    ):
        assert said in text
    codes = [line.split()[0] for line in rest if line.startswith("PM")]
    assert codes == sorted(codes, key=lambda c: (["error", "warning", "note"].index(level(c)), c))


def level(code):
    return RULES[code].severity


def test_a_clean_run_says_so(home):
    done = run("trl rloo --beta 0.05 --num_generations 16 --max_completion_length 64")
    assert done.stdout.startswith("REVERSE KL OF WHOLE OUTPUTS, IN THE REWARD")
    assert "anchoring       exact" in done.stdout
    assert "Nothing to report: the target is the one that beta names." in done.stdout


@pytest.mark.parametrize(("severity", "code"), [("error", 1), ("warning", 1), ("note", 1)])
def test_strict_fails_at_a_severity_or_worse(home, severity, code):
    assert run("grpo.yaml", "--strict", severity).exit_code == code
    mended = ["--", "--scale_rewards", "none"]
    assert run("grpo.yaml", "--strict", "error", *mended).exit_code == 0
    assert run("grpo.yaml", "--strict", "warning", *mended).exit_code == 1


def test_json_has_everything(home):
    found = numbers("grpo.yaml", "--version", "1.9.2")
    assert found["schema_version"] == 1
    assert found["config"] == "grpo.yaml"
    assert found["objective"]["divergence"] == "forward_kl"
    assert found["objective"]["beta_eff"]["0.5"] == pytest.approx(0.04 / 1.735, rel=1e-3)
    assert not found["objective"]["anchoring_is_exact"]
    (finding,) = [each for each in found["findings"] if each["code"] == "PM301"]
    assert finding["place"] == "grpo.yaml:3 (loss_type)"
    assert finding["fix"]["changes"] == {"loss_type": "dapo"}
    assert {s["key"] for s in found["settings"]} == {
        *("beta", "loss_type", "num_generations", "top_p")
    }


def test_overrides_lie_over_the_file(home):
    assert numbers("grpo.yaml", "--", "--beta", "0.5")["objective"]["beta"] == 0.5
    assert numbers("grpo.yaml", "beta=0.25")["objective"]["beta"] == 0.25


def test_fix_writes_a_corrected_copy_and_leaves_the_file(home):
    done = run("grpo.yaml", "--fix", "fixed.yaml")
    assert "wrote fixed.yaml" in done.stdout
    assert (home / "grpo.yaml").read_text() == YAML
    text = (home / "fixed.yaml").read_text()
    assert text.startswith("# my run\nbeta: 0.04  # KL\nloss_type: dapo\n")
    assert "top_p: 1.0" in text
    codes = {each["code"] for each in numbers("fixed.yaml")["findings"]}
    assert not codes & {"PM201", "PM301", "PM401"}
    errors = run("grpo.yaml", "--fix", "errors.yaml", "--fix-from", "error")
    assert errors.exit_code == 0
    assert "loss_type: grpo" in (home / "errors.yaml").read_text()
    assert "scale_rewards: none" in (home / "errors.yaml").read_text()


def test_the_file_itself_is_replaced_only_when_asked(home):
    with pytest.raises(polymode.InputError, match="is there already: --overwrite"):
        run("grpo.yaml", "--fix", "grpo.yaml")
    assert (home / "grpo.yaml").read_text() == YAML
    assert run("grpo.yaml", "--fix", "grpo.yaml", "--overwrite").exit_code == 0
    assert "loss_type: dapo" in (home / "grpo.yaml").read_text()


def test_nothing_to_fix(home):
    (home / "clean.yaml").write_text("beta: 0.05\nnormalize_advantages: false\n")
    done = run("clean.yaml", "--fix", "fixed.yaml")
    assert done.exit_code == 0
    assert not (home / "fixed.yaml").exists()
    assert "nothing to fix" in done.stderr


def test_simulate_draws(home):
    pytest.importorskip("matplotlib")
    done = run("grpo.yaml", "--simulate", "ends.svg", "--", "--scale_rewards", "none")
    assert "wrote ends.svg" in done.stdout
    svg = (home / "ends.svg").read_text()
    assert svg.lstrip().startswith("<?xml")
    assert len(svg) > 10_000
    with pytest.raises(polymode.InputError, match="must end in"):
        run("grpo.yaml", "--simulate", "ends.doc")


def test_a_command_has_no_corrected_copy(home):
    with pytest.raises(polymode.InputError, match="needs a file"):
        run("trl grpo --beta 0.1", "--fix", "fixed.yaml")
    with pytest.raises(polymode.InputError, match="cannot be read: No closing quotation"):
        run("trl grpo --beta '0.1")


def test_wrong_input_is_one_line_and_exit_code_2(home):
    (home / "tags.yaml").write_text("beta: !!python/object/apply:os.system ['touch seen']\n")
    done = command("audit", "tags.yaml", cwd=home)
    one_line_error(done, "tags.yaml:1: tag !!python/object/apply:os.system is refused")
    assert not (home / "seen").exists()
    with pytest.raises(polymode.InputError, match="cannot be read"):
        run("none.yaml")
    with pytest.raises(polymode.ConfigError, match="unknown option 'scale_reward'; did you mean"):
        run("grpo.yaml", "scale_reward=1")


def test_the_function_has_the_public_name():
    audit = polymode.audit({"beta": 0.05, "normalize_advantages": False})
    assert isinstance(audit, polymode.Audit)
    assert audit.objective.level == "sequence"


@pytest.mark.parametrize("code", ["PM201", "pm705"])
def test_explain_prints_the_section_of_a_code(home, code):
    done = run("--explain", code)
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{code.upper()}: ")
    assert "](" not in done.stdout
    if code == "PM201":
        assert "$$\n\\delta(p, G)" in done.stdout  # a formula stays in one piece
        assert "Mend it:" in done.stdout
    assert "### " not in done.stdout


def test_explain_knows_every_code_and_no_other(home):
    from polymode.diagnostics.audit.explaining import explanation
    from polymode.diagnostics.audit.rules import RULES

    for code, rule in RULES.items():
        assert explanation(code).startswith(f"{code}: {rule.title}\n\n")
    with pytest.raises(polymode.ArgumentError, match="got 'PM20'; did you mean 'PM20"):
        run("--explain", "PM20")
    with pytest.raises(polymode.InputError, match="--explain CODE needs none"):
        run()
