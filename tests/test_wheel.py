"""The wheel carries what edgeff reads at run time and works in an empty folder; built and installed without an index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, folder: Path, **changes: str) -> str:
    """What the command prints on stdout; pip reads no configuration and no index, and edgeff no settings of the user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEFF_", "PIP_", "PYTHON"))}
    environment = kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"} | changes
    result = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def shipped() -> dict[str, Path]:
    """Every file that has to be in the wheel besides Python modules: its name there, and the file it is a copy of."""
    files = {}
    for folder in ("boards", "firmware_templates"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"edgeff/_data/{path.relative_to(ROOT).as_posix()}"] = path
    for pattern in ("*.c", "*.h"):
        for path in (ROOT / "edgeff").rglob(pattern):
            files[path.relative_to(ROOT).as_posix()] = path
    return files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the build back end hatchling is not installed")
    pytest.importorskip("pip", reason="pip is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT), folder=folder)
    return next(folder.glob("edgeff-*.whl"))


@pytest.mark.slow
def test_the_wheel_contains_boards_templates_and_kernels(wheel: Path) -> None:
    files = shipped()
    data = ("edgeff/_data/boards/*.toml", "edgeff/_data/firmware_templates/*/*")
    for kind in (*data, "edgeff/kernels/*.h", "edgeff/ops/*/kernel.c", "edgeff/rules/words/*.c"):
        assert any(PurePosixPath(name).match(kind) for name in files), f"the tree has no {kind}"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert sorted(set(files) - names) == []
        assert [name for name, path in files.items() if archive.read(name) != path.read_bytes()] == []
    assert {name.split("/")[0] for name in names} == {"edgeff", wheel.name.split("-py3")[0] + ".dist-info"}


@pytest.mark.slow
def test_the_installed_wheel_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    run("-m", "pip", "install", "--no-deps", "--target", str(site), str(wheel), folder=empty)
    origin = run("-c", "import edgeff.resources as r; print(r.__file__, r.boards_folder(), sep='\\n')", folder=empty, PYTHONPATH=str(site))
    assert all(Path(line).is_relative_to(site) for line in origin.splitlines())
    boards = sorted(path.stem for path in (ROOT / "boards").glob("*.toml"))
    listed = json.loads(run("-m", "edgeff", "list", "boards", "--json", folder=empty, PYTHONPATH=str(site)))
    assert sorted(board["name"] for board in listed) == boards
    assert list(empty.iterdir()) == []
    run("-m", "edgeff", "demo", "--rule", "pepita", "--rule", "frozen", folder=empty, PYTHONPATH=str(site))
    report = json.loads((empty / "runs" / "demo" / "report.json").read_text(encoding="utf-8"))
    learned = {entry["rule"]: entry["accuracy"]["after"] for entry in report["runs"]}
    assert learned["pepita"] >= learned["frozen"] + 0.08
    assert (empty / "runs" / "demo" / "report.html").stat().st_size > 100_000
