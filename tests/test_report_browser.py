"""The page in a real browser: all pictures of the chosen runs are drawn, nothing is refused, and hostile names do nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_traces import hostile, several

from edgeff.report import write_page

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="chromium is not installed: apt-get install chromium"),
]


def opened(path: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts have run, and what the browser logged."""
    command = [
        str(BROWSER),
        "--headless",
        *QUIET,
        f"--user-data-dir={profile}",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return done.stdout, done.stderr


def test_the_pictures_are_drawn_and_nothing_is_refused(tmp_path: Path) -> None:
    document, log = opened(write_page(tmp_path / "report.html", several()), tmp_path / "profile")
    drawn = re.findall(r'data-figure="(figure-\d+)"[^>]*data-drawn="yes"', document)
    assert drawn == ["figure-1", "figure-2", "figure-3", "figure-4", "figure-5"]
    assert document.count('class="main-svg"') >= len(drawn)
    assert "CONSOLE" not in log, log


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    document, log = opened(write_page(tmp_path / "report.html", [hostile()]), tmp_path / "profile")
    title = re.search(r"<title>(.*?)</title>", document)
    assert title is not None
    assert title[1] != "owned"
    assert not re.search(r"<img|<[^>]+onerror=", document[: document.index("<script")])
    assert "CONSOLE" not in log, log
