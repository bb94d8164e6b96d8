"""Traces in; ``report.json``, a table for the terminal or for Markdown, and one self-contained page out."""

from typing import TYPE_CHECKING

from edgeff.lazy import lazy

if TYPE_CHECKING:
    from edgeff.report.folder import manifest, write_page, write_report
    from edgeff.report.html import page
    from edgeff.report.record import Record, from_json, read_report, read_reports, read_runs, run_json, to_json
    from edgeff.report.table import markdown_table, print_table, table_lines
    from edgeff.report.versions import installed_versions

__all__ = [
    "Record",
    "from_json",
    "installed_versions",
    "manifest",
    "markdown_table",
    "page",
    "print_table",
    "read_report",
    "read_reports",
    "read_runs",
    "run_json",
    "table_lines",
    "to_json",
    "write_page",
    "write_report",
]


__getattr__, __dir__ = lazy(
    __name__,
    {
        "folder": ("manifest", "write_page", "write_report"),
        "html": ("page",),
        "record": ("Record", "from_json", "read_report", "read_reports", "read_runs", "run_json", "to_json"),
        "table": ("markdown_table", "print_table", "table_lines"),
        "versions": ("installed_versions",),
    },
)
