"""In CI nothing is skipped: the hook of conftest.py, tried on files that skip in every way pytest knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPS = {
    "call": "import pytest\n\ndef test_it():\n    pytest.skip('no tool a')\n",
    "mark": "import pytest\n\n@pytest.mark.skipif(True, reason='no tool b')\ndef test_it():\n    pass\n",
    "fixture": "def test_it(reference_data):\n    reference_data('no tool c')\n",
    "file": "import pytest\n\npytest.skip('no tool d', allow_module_level=True)\n",
    "import": "import pytest\n\npytest.importorskip('no_such_module', reason='no tool e')\n",
}
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert False\n"


def run(folder: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest on one file for each way to skip, and on one that fails as expected."""
    shutil.copy(CONFTEST, folder)
    for name, source in {**SKIPS, "expected": EXPECTED_FAILURE}.items():
        (folder / f"test_{name}.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEFF_", "PYTEST_"))} | settings
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--continue-on-collection-errors", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_in_ci_every_skip_fails_and_names_its_reason(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = run(tmp_path, *options, EDGEFF_CI="1")
    failures = {line for line in result.stdout.splitlines() if "nothing may be skipped" in line}
    for reason in "abcde":
        assert any(f"no tool {reason}" in line for line in failures), result.stdout
    assert "skipped," not in result.stdout
    assert "1 xfailed" in result.stdout
    assert result.returncode == 1


@pytest.mark.slow
def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert "5 skipped, 1 xfailed" in result.stdout
    assert result.returncode == 0
