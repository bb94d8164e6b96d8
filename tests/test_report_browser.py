"""The page in a real browser: all pictures of the chosen runs are drawn, nothing is refused, and hostile names do nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from report_traces import hostile, several, trace

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


def opened(path: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """The document after its scripts have run, and what the browser logged."""
    command = [
        str(BROWSER),
        "--headless",
        *QUIET,
        *flags,
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


def test_filters_leave_what_is_asked_for_and_find_the_front_among_it(tmp_path: Path) -> None:
    """The page is opened with the rule ff and the box of the front chosen: of four choices two are of ff, one of which beats the other."""
    ends = {("pepita", 16): 0.9, ("pepita", 32): 0.95, ("ff", 16): 0.6, ("ff", 32): 0.5}
    traces = [replace(trace(rule, after=end, ram_bytes=100 * size), network=f"64-{size}-10") for (rule, size), end in ends.items()]
    path = write_page(tmp_path / "report.html", traces)
    text = path.read_text(encoding="utf-8")
    chosen = text.replace('<option value="1">ff', '<option selected value="1">ff').replace(
        " data-front autocomplete", " checked data-front autocomplete"
    )
    assert chosen.count(" selected ") == chosen.count(" checked ") == 1
    path.write_text(chosen, encoding="utf-8")
    document, log = opened(path, tmp_path / "profile")
    rows = re.findall(r"<tr data-run[^>]*?class=\"(\w*)\"[^>]*data-point=\"(\d)\"[^>]*>", document)
    whole = re.findall(r"<tr data-run[^>]*data-point[^>]*>", document)
    assert [point for kind, point in rows if kind == "best"] == ["2"]
    assert sum("hidden" not in row for row in whole) == 1
    assert "<output>1 of 4</output>" in document
    assert document.count(">LaTeX</button>") == document.count('<table class="results"')
    assert ">SVG</button>" in document
    assert "CONSOLE" not in log, log


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    document, log = opened(write_page(tmp_path / "report.html", [hostile()]), tmp_path / "profile")
    title = re.search(r"<title>(.*?)</title>", document)
    assert title is not None
    assert title[1] != "owned"
    assert not re.search(r"<img|<[^>]+onerror=", document[: document.index("<script")])
    assert "CONSOLE" not in log, log


ON_A_PHONE = """<iframe id=page src=report.html style="width:390px;height:9000px;border:0"></iframe><script>
page.onload = () => setTimeout(() => {
  const inside = page.contentDocument, found = [`wide ${inside.documentElement.scrollWidth}`];
  for (const text of inside.querySelectorAll(".picture svg text")) {
    const a = text.getBoundingClientRect(), b = text.closest(".picture").getBoundingClientRect();
    if (a.width && (a.left < b.left - 1 || a.right > b.right + 1)) found.push(`cut ${text.textContent}`);
    if (a.width && b.width > 390) found.push("scrolls");
  }
  document.title = [...new Set(found)].join("; ");
}, 3000);
</script>"""


def test_labels_are_whole_on_a_phone(tmp_path: Path) -> None:
    """390 pixels: the page is no wider, each picture scrolls in its figure, and no label is cut off."""
    write_page(tmp_path / "report.html", several())
    (tmp_path / "phone.html").write_text(ON_A_PHONE, encoding="utf-8")
    document, _ = opened(tmp_path / "phone.html", tmp_path / "profile", "--allow-file-access-from-files")
    (title,) = re.findall("<title>(.*)</title>", document)
    assert title == "wide 390; scrolls"
