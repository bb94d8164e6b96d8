"""Do the tests see a wrong program? 100 seeded mutants over all rooms, and named faults: writes benchmarks/results/mutants.json.

Usage: python benchmarks/mutants.py [--count N] [--seed S] [--named | --again]. Mutants are drawn room by room, file by file, place by
place; each is made in a copy of the committed tree and run against the tests of its room, the quickest first, until one fails. A row is
written as soon as it is known, and a run goes on where it was stopped. A test that fails on the copy without the mutant too does not count.

--again makes the mutants that survived once more in the tree as it is now, and runs them against the slow tests too and against every test
that names the module: the row keeps its first fate and gets that of the second run.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mutation import Mutation, c_mutations, python_mutations
from results import commit, load, save

ROOT = Path(__file__).resolve().parents[1]
TIME_LIMIT_S = 900
"""For all tests of one mutant: what is not caught by then is called undecided."""
OUT_OF_TIME, NOTHING_COLLECTED = -1, 5
KERNELS = ("test_kernels.py", "test_overlap.py", "test_exact_inference.py", "test_exact_learning.py", "test_exact_convolutions.py")
RULES: tuple[str, ...] = (
    "test_rules_math.py",
    "test_rule_contract.py",
    "test_compositions.py",
    "test_pepita_variants.py",
    "test_pepita_device.py",
)
RULES += (
    "test_rules_local.py",
    "test_forward_forward.py",
    "test_forward_gradients.py",
    "test_rules_scff.py",
    "test_rules_phyll.py",
    "test_rules_tdca.py",
)
FORMATS: tuple[str, ...] = (
    "test_operator_formats.py",
    "test_onnx.py",
    "test_tflite.py",
    "test_onnx_convolutions.py",
    "test_tflite_convolutions.py",
)
FORMATS += (
    "test_onnx_foreign.py",
    "test_tflite_foreign.py",
    "test_onnx_quantised.py",
    "test_keras.py",
    "test_windows.py",
    "test_hostile_models.py",
    "test_tflite_refused_images.py",
    "test_onnx_refused_images.py",
)
COMMON_NAMES = ("__init__", "kernel", "onnx", "tflite", "x4", "dsp", "main")
"""File names that say less than their folders'."""
TESTS: dict[str, Sequence[str]] = {
    "edgeff/ops": (
        "test_operators.py",
        "test_operator_formats.py",
        *KERNELS,
        "test_gradient_layers.py",
        "test_forward_derivatives.py",
        "test_windows.py",
        "test_mfcc.py",
        "test_quantize.py",
        "test_conv_learning.py",
        "test_host_training.py",
        "test_onnx.py",
        "test_tflite.py",
    ),
    "edgeff/kernels": (*KERNELS, "test_lower.py", "test_c_export.py"),
    "edgeff/rules": (*RULES, *KERNELS[:1], "test_conv_learning.py", "test_learning_rate.py", "test_early_exit.py", "test_tables.py"),
    "edgeff/program": (
        "test_lower.py",
        "test_plan.py",
        "test_quantize.py",
        "test_deploy.py",
        "test_lines.py",
        "test_number_formats.py",
        "test_bad_samples.py",
        "test_learning_rate.py",
        "test_overlap.py",
        "test_rule_contract.py",
        "test_exact_inference.py",
        "test_exact_learning.py",
    ),
    "edgeff/codegen": (
        "test_c_interface.py",
        "test_c_export.py",
        "test_lines.py",
        "test_bad_samples.py",
        "test_exact_inference.py",
        "test_cli_firmware.py",
    ),
    "edgeff/formats": FORMATS,
    "edgeff/device": (
        "test_boards.py",
        "test_cores.py",
        "test_cycles.py",
        "test_gdb.py",
        "test_toolchains.py",
        "test_unicorn.py",
        "test_profile.py",
        "test_machines.py",
        "test_qemu.py",
        "test_bad_samples.py",
        "test_exact_learning.py",
        "test_cli_firmware.py",
    ),
    "edgeff/train": ("test_train.py", "test_host_training.py", "test_rules_math.py"),
    "edgeff/verify": ("test_verify.py", "test_rule_contract.py", "test_litert_rounding.py"),
    "edgeff/contracts": ("test_boards.py", "test_cli_check.py", "test_rule_contract.py"),
    "edgeff/tasks": (
        "test_tasks_digits.py",
        "test_tasks_arrays.py",
        "test_tasks_files.py",
        "test_tasks_images.py",
        "test_tasks_audio.py",
        "test_tasks_keywords.py",
        "test_tasks_bearings.py",
        "test_tasks_pictures.py",
        "test_tasks_open.py",
        "test_cli_check.py",
    ),
    "edgeff/networks": (
        "test_networks.py",
        "test_lower.py",
        "test_train.py",
        "test_audio_networks.py",
        "test_mlperf_tiny.py",
        "test_host_training.py",
        "test_tables.py",
    ),
    "edgeff/report": ("test_report.py", "test_report_page.py", "test_report_boards.py", "test_report_rules.py"),
    "edgeff/studies": ("test_analytic.py", "test_theory.py", "test_attack.py", "test_early_exit.py"),
    "edgeff/cli": (
        "test_cli.py",
        "test_cli_check.py",
        "test_bad_input.py",
        "test_cli_models.py",
        "test_cli_reports.py",
        "test_cli_firmware.py",
    ),
    "firmware_templates": ("test_cli_firmware.py", "test_unicorn.py", "test_bad_samples.py"),
}
"""Room -> the tests of what is in it, the quickest first."""
CONTRACT, SPLITS = ("test_rule_contract.py",), ("test_splits.py", "test_cli_check.py")
NAMED: dict[str, tuple[str, str, str, Sequence[str]]] = {
    "the integer learning step doubled": ("edgeff/ops/dense/__init__.py", '"int8": 22, "int16": 16', '"int8": 23, "int16": 17', CONTRACT),
    "integer bias steps times 4": ("edgeff/ops/dense/__init__.py", "(lr * delta.scale / b", "(4 * lr * delta.scale / b", CONTRACT),
    "integer bias steps times 8": ("edgeff/ops/dense/__init__.py", "(lr * delta.scale / b", "(8 * lr * delta.scale / b", CONTRACT),
    "half the error in step": (
        "edgeff/rules/dfa.py",
        "e = h[run.network.layers[-1].name] - t",
        "e = (h[run.network.layers[-1].name] - t) / 2",
        CONTRACT,
    ),
    "a device's rate that decays one step early": (
        "edgeff/program/lower/compose.py",
        '"period": period',
        '"period": max(period - 1, 0)',
        CONTRACT,
    ),
    "a host's rate that decays one epoch early": ("edgeff/rules/__init__.py", "sum(epoch >= at", "sum(epoch + 1 >= at", SPLITS),
    "test rows in the training part": (
        "edgeff/tasks/digits.py",
        "return Data(x_train,",
        "x_train[:20] = x_test[:20]\n        return Data(x_train,",
        SPLITS,
    ),
    "the same split for every seed": ("edgeff/tasks/digits.py", "random_state=seed", "random_state=0", SPLITS),
    "an accuracy of the training data": (
        "edgeff/device/simulate.py",
        "predict_many(x_test)[0] == data.y_test",
        "predict_many(x)[0] == data.y_train",
        SPLITS,
    ),
}
"""Faults that once passed: file, what stands there, what takes its place, the tests."""


ANSWERS = {
    "edgeff/cli/train.py:69 condition: metric == \"auc\" and item.target == \"input\" -> (not metric == 'auc' and item.target == 'input')": (  # noqa: E501
        "tests/test_cli.py: an autoencoder is measured on the test part alone"
    ),
    "firmware_templates/bare_metal/memory.c:57 statement left out: *out++ = (uint8_t)value -> (void)0": "tests/test_firmware_memory.py",
    "edgeff/kernels/__init__.py:252 constant - 1: 0 -> (-1)": "tests/test_kernels.py: a parameter that may be absent says so",
    "edgeff/verify/step.py:122 constant - 1: 0 -> (-1)": (
        "tests/test_verify.py: small and saturated errors are told from those that reach an update"
    ),
    "edgeff/verify/step.py:175 condition: np.isfinite(worst[tensor.name]) -> not np.isfinite(worst[tensor.name])": (
        "tests/test_verify.py: a rule whose step and program disagree fails by layer and parameter"
    ),
    "edgeff/contracts/operators.py:66 relation: \"bias\" in domains(operator) -> ('bias' not in domains(operator))": (
        "tests/test_operator_contract.py: an example has a bias where the operator can have one"
    ),
    "edgeff/networks/pepita_cnn.py:12 constant - 1: 50 -> (49)": "docs/rules/defaults.md, which tests/test_tables.py compares",
    "edgeff/networks/pepita_cnn.py:16 constant + 1: 10 -> 11": "docs/rules/defaults.md, which tests/test_tables.py compares",
    "edgeff/rules/fa.py:33 constant + 1: 54 -> 55": "argued: that line has gone; docs/rules/defaults.md has its shares",
    "edgeff/program/distances.py:113 constant + 1: 0 -> 1": "argued: the bound is rounded up to 8 bytes, in which one byte is lost",
    "edgeff/train/loop.py:63 constant - 1: 1 -> (0)": "tests/test_host_training.py: scores of many samples are those of a few",
    "edgeff/program/state.py:35 sign or not: -2 -> (2)": "tests/test_state.py: the codes have the numbers of the header",
    "edgeff/networks/resnet8.py:24 constant + 1: 3 -> 4": "tests/test_networks.py",
    "edgeff/studies/attack/gradients.py:27 constant + 1: 26 -> 27": "argued: how many bytes a batch may take, no figure depends on it",
    "firmware_templates/bare_metal/main.c:60 operator: - -> +": (
        "tests/test_unicorn.py: a state that the free RAM does not hold is neither saved nor restored"
    ),
    "edgeff/networks/fc_ae.py:17 constant + 1: 128 -> 129": "tests/test_networks.py",
    "edgeff/report/figures/parts.py:24 constant - 1: 30 -> (29)": "argued: a margin of a figure, in pixels",
    "firmware_templates/bare_metal/main.c:87 constant - 1: 1 -> 0": (
        "tests/test_unicorn.py: a state that the free RAM does not hold is neither saved nor restored"
    ),
    "edgeff/contracts/operators.py:73 constant - 1: 1 -> (0)": "argued: the seed of an example's biases, any of which will do",
    "edgeff/tasks/gas_drift.py:21 constant + 1: 4 -> 5": "tests/test_tasks_open.py, which was no test of this room",
    "edgeff/train/loop.py:85 constant + 1: 0 -> 1": "tests/test_train.py: the seed of fit is 0 unless another is given",
    'edgeff/networks/mobilenet_v1_025.py:20 statement left out: stack.conv("conv", 8, (3, 3), (2, 2)) -> pass': "tests/test_networks.py",
    "edgeff/verify/oracle.py:28 constant - 1: 32767 -> (32766)": (
        "argued: a range may be left by 1 % before a sample counts as outside, so 1 of 65,535 steps decides nothing"
    ),
    "edgeff/report/figures/accuracy.py:158 operation: spots[right][0] + 12 -> (spots[right][0] - 12)": (
        "argued: 24 pixels less room beside a label, no figure is wrong"
    ),
}
"""What became of mutants that survived: the test that they got, or why none."""


def room_of(path: str) -> str:
    return next(room for room in TESTS if path.startswith(f"{room}/"))


def tests_of(path: str) -> Sequence[str]:
    return TESTS[room_of(path)]


def places(path: Path) -> list[Mutation]:
    text = path.read_text(encoding="utf-8")
    return list(python_mutations(text) if path.suffix == ".py" else c_mutations(text))


def drawn(count: int, seed: int) -> Iterator[tuple[str, Mutation]]:
    """``count`` mutants: the rooms in turn, in each a file in the ratio of its places, C and Python alike, and one of those."""
    rng, rooms = random.Random(seed), []
    for room in TESTS:
        files = {path: found for path in sorted((ROOT / room).rglob("*")) if path.suffix in (".py", ".c", ".h") and (found := places(path))}
        rooms.append(files)
    used: set[tuple[Path, int, str]] = set()
    while len(used) < count:
        files = rooms[len(used) % len(rooms)]
        (path,) = rng.choices([*files], [len(found) for found in files.values()])
        mutation = rng.choice(files[path])
        if (path, mutation.start, mutation.new) not in used:
            used.add((path, mutation.start, mutation.new))
            yield str(path.relative_to(ROOT)), mutation


class Tree:
    """A clone of the committed tree, in which one file at a time is changed."""

    def __init__(self, folder: Path, *, slow: bool = False) -> None:
        self._folder, self._slow, self._clean = folder, slow, {}  # type: Path, bool, dict[str, bool]
        subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
        subprocess.run(
            ["git", "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit().rstrip("+")], cwd=folder, check=True
        )

    def pytest(self, *arguments: str, limit_s: float = TIME_LIMIT_S) -> tuple[int, str]:
        """The exit status and the first test that fails; OUT_OF_TIME where it took longer."""
        environment = os.environ | {"PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            *([] if self._slow else ["-m", "not slow"]),
            *arguments,
        ]
        try:
            done = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            return OUT_OF_TIME, ""
        failed = re.search(r"^(?:FAILED|ERROR) (tests/.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
        return done.returncode, failed[1] if failed else ""

    def fate(self, path: str, text: str, tests: Sequence[str]) -> tuple[str, str]:
        """``caught`` and by which test, ``survived``, or ``undecided`` for want of time, of a file with another text."""
        file = self._folder / path
        original = file.read_text(encoding="utf-8")
        end = time.monotonic() + TIME_LIMIT_S
        for test in tests:
            file.write_text(text, encoding="utf-8")
            status, failed = self.pytest(f"tests/{test}", limit_s=max(end - time.monotonic(), 1.0))
            file.write_text(original, encoding="utf-8")
            if status == OUT_OF_TIME:
                return "undecided", f"tests/{test} was not done"
            if status not in (0, NOTHING_COLLECTED) and self._passes_clean(failed or f"tests/{test}"):
                return "caught", failed or f"tests/{test}"
        return "survived", ""

    def _passes_clean(self, test: str) -> bool:
        target = test.partition("[")[0]
        if target not in self._clean:
            self._clean[target] = self.pytest(target)[0] == 0
        return self._clean[target]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--named", action="store_true", help="the named faults alone")
    parser.add_argument("--again", action="store_true", help="those that survived, in the tree as it is now")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = load("mutants").get("rows", [])
    if options.again:
        again(rows)
        return
    known = {row["mutant"] for row in rows}
    with tempfile.TemporaryDirectory(prefix="edgeff-mutants-") as folder:
        tree = Tree(Path(folder))
        for mutant, path, text, tests in mutants(options.count, options.seed, named=options.named):
            if mutant in known:
                continue
            fate, by = tree.fate(path, text, tests)
            rows.append({"mutant": mutant, "file": path, "fate": fate, "by": by, "commit": commit()})
            save("mutants", rows)
            print(f"{fate:9} {mutant}  {by}", flush=True)
    caught = sum(row["fate"] == "caught" for row in rows)
    print(f"{caught} of {len(rows)} caught")


def again(rows: list[dict[str, Any]]) -> None:
    """Runs each mutant that was not caught, and is not argued away, in the tree as it is now; one whose line has gone stays as it is."""
    with tempfile.TemporaryDirectory(prefix="edgeff-mutants-") as folder:
        tree = Tree(Path(folder), slow=True)
        for row in rows:
            answer = ANSWERS.get(row["mutant"], "")
            if row["fate"] == "caught" or answer.startswith("argued") or row.get("again", {}).get("fate") == "caught":
                continue
            text = moved(row)
            if text is None:
                print(f"gone      {row['mutant']}", flush=True)
                continue
            named = re.findall(r"tests/(test_\w+\.py)", answer)
            fate, by = tree.fate(row["file"], text, [*named, *(test for test in relevant_tests(row["file"]) if test not in named)])
            row["again"] = {"fate": fate, "by": by, "commit": commit()}
            save("mutants", rows)
            print(f"{fate:9} {row['mutant']}  {by}", flush=True)


def moved(row: dict[str, Any]) -> str | None:
    """The file as it is now with a row's mutant, at the line that reads as it did when the mutant was drawn; None where no line does."""
    drawn_from = subprocess.run(
        ["git", "show", f"{row['commit']}:{row['file']}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    file = ROOT / row["file"]
    now, name = file.read_text(encoding="utf-8"), row["mutant"]
    number = int(name.partition(":")[2].partition(" ")[0])
    line = drawn_from.split("\n")[number - 1]
    lines = now.split("\n")
    same = [at for at, other in enumerate(lines, 1) if other == line]
    for at in sorted(same, key=lambda at: abs(at - number)):
        for mutation in places(file):
            if now.count("\n", 0, mutation.start) + 1 == at and called(row["file"], number, now, mutation) == name:
                return mutation.applied(now)
    return None


def relevant_tests(path: str) -> Sequence[str]:
    """The tests of a file's room, and every other test that names the module."""
    known, file = tests_of(path), Path(path)
    stem = file.parent.name if file.stem in COMMON_NAMES else file.stem
    naming = [
        test.name for test in sorted((ROOT / "tests").glob("test_*.py")) if re.search(rf"\b{stem}\b", test.read_text(encoding="utf-8"))
    ]
    return (*known, *(name for name in naming if name not in known))


def called(path: str, line: int, text: str, mutation: Mutation) -> str:
    """The name of a mutant in its row."""
    old = " ".join(text[mutation.start : mutation.end].split())
    return f"{path}:{line} {mutation.operator}: {old} -> {mutation.new}"


def mutants(count: int, seed: int, *, named: bool) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """Each mutant's name, its file, the file's text with it, and the tests to run."""
    for name, (path, old, new, tests) in NAMED.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        if old not in text:
            sys.exit(f"named fault {name!r}: {path} has no {old!r}")
        yield name, path, text.replace(old, new), tests
    for path, mutation in [] if named else drawn(count, seed):
        text = (ROOT / path).read_text(encoding="utf-8")
        line = text.count("\n", 0, mutation.start) + 1
        yield called(path, line, text, mutation), path, mutation.applied(text), tests_of(path)


if __name__ == "__main__":
    main()
