"""``report.json``: traces are written as JSON and checked when read. Unknown is null, never 0.

An external file is checked against the schema field by field; a violation raises BadInput, one line that names the field. Fields that
are not known here are ignored, so that a newer report of the same schema can be read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgeff.errors import BadInput
from edgeff.ir import CallCost, Cost, LineCost, Memory, Trace
from edgeff.report.evidence import trace_evidence
from edgeff.report.versions import installed_versions

SCHEMA = 1
FILE_NAME = "report.json"
ACCURACIES = ("float", "quantized", "before", "after")
_FILE_LIMIT_BYTES = 256 * 2**20
_SHARD = re.compile(r"shard-(?P<number>\d+)-of-(?P<of>\d+)")
_MOST_NAMED = 5
_ALLOWED = f"a report.json of schema {SCHEMA}"

Versions = Mapping[str, str | None]
Text = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Joules = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Record:
    """The runs of one or more reports and the versions of the software that made them."""

    runs: tuple[Trace, ...]
    versions: Versions = field(default_factory=dict)


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Call(_Part):
    name: Text
    kernel: Text
    stage: Text = ""
    macs: Count
    instructions: Count | None = None
    cycles: Count | None = None


class _Cost(_Part):
    macs: Count | None = None
    instructions: Count | None = None
    cycles: Count | None = None
    latency_s: Seconds | None = None
    energy_j: Joules | None = None
    evidence: Text | None = None
    layers: list[_Call] = []

    def line(self) -> LineCost:
        cost = Cost(self.macs, self.instructions, self.cycles, self.latency_s, self.energy_j, self.evidence)
        return LineCost(cost, tuple(CallCost(**dict(call)) for call in self.layers))


class _Memory(_Part):
    flash_bytes: Count | None = None
    weight_bytes: Count | None = None
    arena_bytes: Count | None = None
    static_ram_bytes: Count | None = None
    stack_bytes: Count | None = None
    total_ram_bytes: Count | None = None

    def memory(self) -> Memory:
        return Memory(self.flash_bytes, self.weight_bytes, self.arena_bytes, self.static_ram_bytes, self.stack_bytes)

    @model_validator(mode="after")
    def _total_is_the_sum(self) -> _Memory:
        total = self.memory().total_ram_bytes
        if self.total_ram_bytes != total:
            raise ValueError(f"total_ram_bytes is {self.total_ram_bytes}, but static_ram_bytes + stack_bytes is {total}")
        return self


class _Stay(_Part):
    tensor: Text
    role: Text
    layer: Text
    line: Text
    offset: Count
    size_bytes: Count
    first: Count
    last: Count

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> _Stay:
        if self.last < self.first:
            raise ValueError(f"first is {self.first}, but last is {self.last}")
        return self


class _Artifact(_Part):
    path: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Run(_Part):
    task: Text
    network: Text
    rule: Text
    numeric: Text
    board: Text | None
    target: Text
    seed: Count
    accuracy: dict[Text, Finite | None] = {}
    memory: _Memory = _Memory()
    infer: _Cost = _Cost()
    learn: _Cost = _Cost()
    lines: dict[Text, _Cost] = {}
    functions: dict[Text, Count] = {}
    curve: list[Annotated[list[Finite], Field(min_length=2, max_length=2)]] = []
    memory_map: list[_Stay] = []
    artifacts: dict[Text, _Artifact] = {}
    refused: Text | None = None
    remarks: list[Text] = []
    mse: dict[Text, Finite] = {}

    @model_validator(mode="after")
    def _stays_are_in_lines(self) -> _Run:
        known = {"persistent", "infer", "learn", *self.lines}
        for index, stay in enumerate(self.memory_map):
            if stay.line not in known:
                raise ValueError(f"memory_map.{index}.line is {stay.line!r:.40}, which is not a line of the program")
        return self

    @model_validator(mode="after")
    def _shares_are_shares(self) -> _Run:
        for name in ACCURACIES:
            value = self.accuracy.get(name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"accuracy.{name} is {value}, not a share between 0 and 1")
        for samples, share in self.curve:
            if not (0.0 <= share <= 1.0 and samples >= 0.0 and samples == math.floor(samples)):
                raise ValueError(f"curve holds [{samples}, {share}], not [samples, share]")
        return self

    def trace(self) -> Trace:
        known = {"infer": self.infer, "learn": self.learn} | self.lines
        return Trace(
            task=self.task,
            network=self.network,
            rule=self.rule,
            numeric=self.numeric,
            board=self.board,
            target=self.target,
            seed=self.seed,
            accuracy=self.accuracy,
            memory=self.memory.memory(),
            lines={name: line for name, cost in known.items() if (line := cost.line()) != LineCost()},
            functions=self.functions,
            curve=tuple((int(samples), share) for samples, share in self.curve),
            memory_map=tuple(dict(stay) for stay in self.memory_map),
            artifacts={name: dict(artifact) for name, artifact in self.artifacts.items()},
            refused=self.refused or "",
            remarks=tuple(self.remarks),
            mse=self.mse,
        )


class _Report(_Part):
    versions: dict[Text, Text | None] = {}
    runs: list[_Run]


def to_json(traces: Iterable[Trace], versions: Versions | None = None) -> dict[str, Any]:
    """The JSON-able content of a ``report.json``; ``versions`` are by default those installed here."""
    return {
        "schema": SCHEMA,
        "versions": dict(installed_versions() if versions is None else versions),
        "runs": [run_json(trace) for trace in traces],
    }


def run_json(trace: Trace) -> dict[str, Any]:
    """One entry of ``runs``: ``infer`` and ``learn`` in every one, and under ``lines`` the program's further lines."""
    further = {name: _line_json(line) for name, line in trace.lines.items() if name not in ("infer", "learn")}
    accuracy = dict.fromkeys(ACCURACIES) | {name: None if value is None else float(value) for name, value in trace.accuracy.items()}
    return {
        "task": trace.task,
        "network": trace.network,
        "rule": trace.rule,
        "numeric": trace.numeric,
        "board": trace.board,
        "target": trace.target,
        "seed": trace.seed,
        "accuracy": accuracy,
        "memory": asdict(trace.memory) | {"total_ram_bytes": trace.memory.total_ram_bytes},
        **{name: _line_json(trace.line(name)) for name in ("infer", "learn")},
        **({"lines": further} if further else {}),
        "functions": dict(trace.functions),
        "curve": [[int(samples), float(share)] for samples, share in trace.curve],
        "memory_map": [dict(stay) for stay in trace.memory_map],
        "artifacts": {name: dict(artifact) for name, artifact in trace.artifacts.items()},
        "refused": trace.refused or None,
        "remarks": list(trace.remarks),
        **({"mse": dict(trace.mse)} if trace.mse else {}),
        "evidence": trace_evidence(trace),
    }


def _line_json(line: LineCost) -> dict[str, Any]:
    return asdict(line.cost) | {"layers": [asdict(call) for call in line.calls]}


def from_json(content: Mapping[str, Any], source: str = FILE_NAME) -> list[Trace]:
    """The traces of a report's content. Raises BadInput for content that violates the schema, naming ``source`` and the field."""
    return list(read_content(content, source).runs)


def read_content(content: object, source: str = FILE_NAME) -> Record:
    """The record of a report's content, checked as ``from_json`` does."""
    if not isinstance(content, Mapping):
        _refuse(source, f"{type(content).__name__} instead of an object")
    schema = content.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        _refuse(source, f"schema {schema!r:.40}")
    try:
        report = _Report.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        _refuse(source, f"{where[:200]}: {reason}" if where else reason)
    return Record(tuple(run.trace() for run in report.runs), report.versions)


def _refuse(source: str, got: str) -> NoReturn:
    raise BadInput(f"report {source}", got=got, allowed=_ALLOWED) from None


def read_report(path: Path | str) -> Record:
    """The record of a ``report.json``, or of the one in a folder. Raises BadInput if it is missing or not one."""
    path = Path(path)
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            raw = stream.read(_FILE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"report {file}",
            got=getattr(error, "strerror", None) or str(error),
            allowed=f"a {FILE_NAME}, or a folder with one",
            next_step="make one with `edgeff demo`, `edgeff simulate` or `edgeff bench`",
        ) from None
    if len(raw) > _FILE_LIMIT_BYTES:
        _refuse(str(file), f"more than {_FILE_LIMIT_BYTES:,} bytes")
    try:
        content = json.loads(raw.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        _refuse(str(file), f"not JSON: {str(error) or type(error).__name__}")
    return read_content(content, str(file))


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def read_runs(path: Path | str) -> list[Trace]:
    """The traces of a ``report.json``, or of the one in a folder. Raises BadInput if it is missing or not one."""
    return list(read_report(path).runs)


def shard_folder(number: int, of: int) -> str:
    """The name of the folder of one share of a comparison.

    >>> shard_folder(2, 8)
    'shard-2-of-8'
    """
    return f"shard-{number}-of-{of}"


def shards_of(path: Path | str) -> list[Path]:
    """The folders of all shares in ``path``, or ``path`` itself when it holds none. Raises BadInput when a share is missing.

    Shares of two divisions (1-of-2 and 1-of-4) would hold some runs twice: they are refused too.
    """
    path = Path(path)
    if not path.is_dir() or (path / FILE_NAME).is_file():
        return [path]
    names = [match for entry in path.iterdir() if (match := _SHARD.fullmatch(entry.name))]
    counts = sorted({int(match["of"]) for match in names})
    if len(counts) > 1:
        got = " and ".join(f"shares of {count}" for count in counts)
        raise BadInput(f"report folder {path}", got=got, allowed="shares of one division", next_step="remove those that you do not want")
    folders = [path / shard_folder(number, of) for of in counts for number in range(1, of + 1)]
    if missing := [number for number, folder in enumerate(folders, 1) if not (folder / FILE_NAME).is_file()]:
        more = "" if len(missing) <= _MOST_NAMED else f" and {len(missing) - _MOST_NAMED} more"
        raise BadInput(
            f"report folder {path}",
            got=f"no report of share {', '.join(map(str, missing[:_MOST_NAMED]))}{more} of {counts[0]}",
            allowed="a report.json of every share",
            next_step=f"run the same `edgeff bench` with --shard {missing[0]}/{counts[0]}",
        )
    return folders or [path]


def read_reports(paths: Iterable[Path | str]) -> Record:
    """The runs of several reports one after the other, of a folder of shares those of every share; if versions differ, each is named."""
    runs: list[Trace] = []
    versions: dict[str, list[str]] = {}
    for path in (folder for each in paths for folder in shards_of(each)):
        record = read_report(path)
        runs += record.runs
        for name, version in record.versions.items():
            known = versions.setdefault(name, [])
            if version is not None and version not in known:
                known.append(version)
    return Record(tuple(runs), {name: ", ".join(known) or None for name, known in versions.items()})
