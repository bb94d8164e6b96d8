"""Keyword spotting as in MLPerf Tiny: ten commands, silence and unknown words, from one second of speech at 16 kHz.

Inputs are 49 frames x 10 mel-frequency cepstral coefficients (``edgeff.ops.mfcc`` with its defaults). The test part is the benchmark's
1,000 clips: the official int8 features as real numbers, so that an int8 model reads the official bits, or the same computed from the
clips. Training reads Speech Commands v2 (Warden 2018; CC BY 4.0, 2.4 GB), which most machines do not have: then the training part is
empty and the metadata say how to get it. Background noise is mixed into the audio, as in the recipe: before the features, once for each
clip and seed, so it is no ``augment``. The features are computed once (some minutes) and kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edgeff.errors import BadInput
from edgeff.ir import Array, Attr
from edgeff.ops import make
from edgeff.ops.mfcc import Mfcc, coefficients
from edgeff.ops.mfcc.kernel import feature_steps
from edgeff.resources import cache_folder
from edgeff.tasks import Data, Task, register
from edgeff.tasks._audio import of_length, read_wav, with_noise
from edgeff.tasks._files import Remote, Wanted, _bar, check_labels, fetch, local, need_local, read_arrays

RATE = 16_000
WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
CLASSES = (*WORDS, "silence", "unknown")
FEATURES: Mapping[str, Attr] = Mfcc().attributes
OFFICIAL: Mapping[str, Attr] = {**FEATURES, "rounding": "truncate", "overflow": "wrap"}
"""How the benchmark's int8 files were computed: truncated, and wrapped around where they overflow."""
INPUT_SCALE, INPUT_ZERO = float(np.float32(0.5847029)), 83
"""The input quantisation of the reference model, used in those files."""

FILE, CLIPS = "mlperf_kws01_mfcc_int8.npz", "speech_commands_v2_test1000_16k_int16.npz"
SOURCE = "MLPerf Tiny's kws01 samples (github.com/eembc/energyrunner, datasets/kws01) as the arrays of docs/data.md"
ARCHIVE = Remote(
    "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    2_428_923_189,
)
NOISE, VALIDATION_NOISE = "_background_noise_", "running_tap.wav"
LISTS = ("validation_list.txt", "testing_list.txt")
LARGEST_MEMBER_BYTES = 16_000_000
AT_ONCE = 512


@register
class KeywordSpotting(Task):
    """The coefficients of one-second clips, (49, 10, 1) float32."""

    name = "kws"
    summary = "MLPerf Tiny's keyword spotting: 1,000 clips to test, Speech Commands v2 to train on, 49 x 10 MFCC, 12 classes"
    input_shape = (49, 10, 1)
    classes = CLASSES
    features = FEATURES
    samples = RATE

    def load(self, seed: int = 0) -> Data:
        x_test, y_test, which = _test_part()
        metadata = {
            "inputs": "mel-frequency cepstral coefficients of one second",
            "features": dict(FEATURES),
            "samples": RATE,
            "test": which,
        }
        archive = archive_path()
        if archive is None:
            x_train, y_train = np.empty((0, 49, 10, 1), np.float32), np.empty(0, np.int64)
            metadata["training"] = f"none: {how_to_get()}"
        else:
            x_train, y_train = _training_part(archive, seed)
            metadata["training"] = f"{len(x_train):,} clips of Speech Commands v2 with background noise"
        return Data(x_train, y_train, x_test, y_test, self.classes, metadata)


def archive_path() -> Path | None:
    """Speech Commands v2 in the user's folder or in the cache; None if it is in neither."""
    if (path := local(ARCHIVE.name)) is not None:
        return path
    cached = cache_folder() / ARCHIVE.name
    return cached if cached.is_file() else None


def how_to_get() -> str:
    """The two ways to the training data, in one line."""
    return (
        f"{ARCHIVE.name} (2.4 GB) is not here; download it into the cache, python -c 'from edgeff.tasks.kws import download; download()', "
        "or put it into the folder that EDGEFF_DATA_DIR names"
    )


def download() -> Path:
    """Speech Commands v2, downloaded into the cache unless it is available. Raises BadInput if it cannot be obtained."""
    return fetch(ARCHIVE, "the training data of kws", ARCHIVE.name)


# ------------------------------------------------------------------ the test part


def _test_part() -> tuple[Array, Array, str]:
    """Inputs (n, 49, 10, 1) float32, labels (n,) int64, and where they come from."""
    if local(FILE) is None and (clips := local(CLIPS)) is not None:
        arrays = read_arrays(clips, {"x": ("int16", (None, RATE)), "y": ("uint8", (None,)), "classes": ("U", (len(CLASSES),))})
        exact = coefficients(arrays["x"], make(Mfcc, OFFICIAL))
        integers = (feature_steps(exact[..., 0], INPUT_SCALE, INPUT_ZERO, 1) + 128) % 256 - 128
        return *_checked(clips, arrays, integers, INPUT_SCALE, INPUT_ZERO), "features of MLPerf Tiny's 1,000 clips"
    path = need_local(FILE, "MLPerf Tiny's keywords", SOURCE)
    wanted: Wanted = {
        "x": ("int8", (None, 49, 10)),
        "y": ("uint8", (None,)),
        "classes": ("U", (len(CLASSES),)),
        "in_scale": ("float32", ()),
        "in_zero_point": ("int32", ()),
    }
    arrays = read_arrays(path, wanted)
    scale, zero = float(arrays["in_scale"]), int(arrays["in_zero_point"])
    if not 0.0 < scale < 1e6 or not -128 <= zero <= 127:
        raise BadInput(f"data file {path}", got=f"scale {scale}, zero point {zero}", allowed="a scale above 0, a zero point of int8")
    return *_checked(path, arrays, arrays["x"], scale, zero), "MLPerf Tiny's official int8 features"


def _checked(path: Path, arrays: Mapping[str, Array], integers: Array, scale: float, zero: int) -> tuple[Array, Array]:
    if tuple(arrays["classes"].tolist()) != CLASSES or len(arrays["x"]) != len(arrays["y"]) or len(arrays["y"]) == 0:
        raise BadInput(f"data file {path}", got="other classes or counts", allowed=f"the classes {', '.join(CLASSES)}, one label per clip")
    check_labels(path, arrays["y"], len(CLASSES))
    x = ((integers.astype(np.float64) - zero) * scale).astype(np.float32)
    return x[..., None], arrays["y"].astype(np.int64)


# ------------------------------------------------------------------ the training part


def _training_part(archive: Path, seed: int) -> tuple[Array, Array]:
    """Inputs and labels of the archive's training clips; from the cache if an earlier run left them there."""
    what = json.dumps([FEATURES, seed, archive.stat().st_size, 1], sort_keys=True)
    cached = cache_folder() / f"kws_{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz"
    if cached.is_file():
        try:
            arrays = read_arrays(cached, {"x": ("float32", (None, 49, 10, 1)), "y": ("int64", (None,))})
            check_labels(cached, arrays["y"], len(CLASSES))
        except BadInput:
            cached.unlink(missing_ok=True)
        else:
            return arrays["x"], arrays["y"]
    x, y = read_speech_commands(archive, seed)
    cached.parent.mkdir(parents=True, exist_ok=True)
    part = cached.with_suffix(".part.npz")
    np.savez(part, x=x, y=y)
    part.replace(cached)
    return x, y


def read_speech_commands(archive: Path, seed: int) -> tuple[Array, Array]:
    """Inputs (n, 49, 10, 1) and labels (n,) of all clips that the archive's own lists neither test nor validate on, and of silence.

    Silence clips begin every half second in the noise recordings, except the one reserved for validation; noise is mixed into every clip as
    in ``with_noise``, and the clips come in an order drawn from the seed. The archive is read and never unpacked. Raises BadInput for
    a damaged one.
    """
    texts: dict[str, bytes] = {}
    noises: dict[str, Array] = {}
    count = 0
    for folder, name, raw in _members(archive):
        count += name.endswith(".wav")
        if name in LISTS and not folder:
            texts[name] = raw
        elif folder == NOISE and name.endswith(".wav") and name != VALIDATION_NOISE:
            noises[name] = read_wav(raw, RATE, f"{archive}, {folder}/{name}")
    if len(texts) != len(LISTS) or not noises:
        missing = [name for name in LISTS if name not in texts] or [f"{NOISE}/*.wav"]
        raise BadInput(f"data file {archive}", got=f"no {missing[0]}", allowed="Speech Commands v2", next_step=how_to_get())
    held_out = {line.strip() for text in texts.values() for line in text.decode("utf-8", "replace").splitlines()}
    rng = np.random.default_rng([seed, 3])
    recordings = [noises[name] for name in sorted(noises)]
    bar = _bar("features of Speech Commands")
    if bar:
        bar.total = count
    x: list[Array] = []
    labels: list[int] = []
    waiting: list[Array] = []

    def flush() -> None:
        if waiting:
            x.append(coefficients(np.stack(waiting), make(Mfcc, FEATURES)))
            waiting.clear()

    def add(clip: Array, label: str) -> None:
        waiting.append(with_noise(clip, recordings, rng))
        labels.append(CLASSES.index(label))
        if len(waiting) == AT_ONCE:
            flush()
            if bar:
                bar.update(AT_ONCE)

    for folder, name, raw in _members(archive):
        if folder and folder != NOISE and name.endswith(".wav") and f"{folder}/{name}" not in held_out:
            clip = of_length(read_wav(raw, RATE, f"{archive}, {folder}/{name}"), RATE)
            add(clip, folder if folder in WORDS else "unknown")
    for noise in recordings:
        for first in range(0, len(noise) - RATE + 1, RATE // 2):
            add(noise[first : first + RATE], "silence")
    flush()
    if bar:
        bar.close()
    order = np.random.default_rng([seed, 4]).permutation(len(labels))
    return np.concatenate(x)[order], np.array(labels, np.int64)[order]


def _members(archive: Path) -> Iterator[tuple[str, str, bytes]]:
    """Folder, name and content of each file of the archive, in its order."""
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                wanted = member.isfile() and "/" not in folder and name.endswith((".wav", ".txt"))
                if wanted and member.size > LARGEST_MEMBER_BYTES:
                    raise BadInput(f"data file {archive}, {member.name}", got=f"{member.size:,} bytes", allowed=f"{LARGEST_MEMBER_BYTES:,}")
                file = tar.extractfile(member) if wanted else None
                if file is not None:
                    yield folder, name, file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise BadInput(f"data file {archive}", got=str(error) or type(error).__name__, allowed="Speech Commands v2") from None
