"""What a command imports: nothing that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "joblib",
    "jinja2",
    "onnx",
    "onnxruntime",
    "plotly",
    "scipy",
    "sklearn",
    "tensorflow",
    "unicorn",
    "edgeff.bench.suites",
    "edgeff.report.html",
}
RUN = """
import sys, json
from edgeff.cli import main
sys.argv[0] = "edgeff"
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command has imported when it ends well."""
    done = subprocess.run([sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, timeout=120, check=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert not code, done.stderr
    return set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ("cost", "64-32-10", "--rule", "pepita", "--numeric", "int8"),
        ("cost", "ds_cnn", "--rule", "bp", "--board", "rpi_pico", "--json"),
        ("list", "rules"),
        ("build", "--help"),
        ("profile", "--help"),
        ("import", "--help"),
    ],
    ids=" ".join,
)
def test_a_command_imports_no_more_than_it_uses(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments) & HEAVY == set()
