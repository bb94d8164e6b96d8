"""What all tests share: in CI a skip is a failure, and the data files that lie outside the repository."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import CommandLine

ROOT = Path(__file__).resolve().parents[1]

Report = pytest.TestReport | pytest.CollectReport


class NoSkips:
    """Turns every skip, of a test or of a whole file, into a failure. An expected failure stays what it is."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        fail_when_skipped(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        fail_when_skipped(report)
        return report


def fail_when_skipped(report: Report) -> None:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: nothing may be skipped when EDGEFF_CI is set. {reason}"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the workers of one run share its cache of objects, and no run that of another or the user's
        folder = tempfile.TemporaryDirectory(prefix="edgeff-cache-")
        os.environ["EDGEFF_CACHE_DIR"] = folder.name
        config.add_cleanup(folder.cleanup)
    if os.environ.get("EDGEFF_CI"):
        config.pluginmanager.register(NoSkips(), "edgeff-no-skips")


@pytest.fixture(scope="session")
def reference_data() -> Callable[[str], Path]:
    """A function from a data file's name to its path, in EDGEFF_DATA_DIR or ../shared/data; it skips the test when the file is missing."""
    folder = Path(os.environ.get("EDGEFF_DATA_DIR") or ROOT.parent / "shared" / "data")

    def find(name: str) -> Path:
        path = folder / name
        if not path.is_file():
            pytest.skip(f"data file {name} is missing: EDGEFF_DATA_DIR names the folder it lies in")
        return path

    return find


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, in this process."""
    from command_line import CommandLine

    return CommandLine(capsys)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small models, as ``make_models`` names them; nothing may be written into it."""
    from command_line import make_models

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the one commands run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
