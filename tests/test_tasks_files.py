"""Where data files come from: the user's folder, the cache, and downloads that go wrong in every way."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from data_server import Site, serve
from task_data import refusal

from edgeff.tasks import _files
from edgeff.tasks._files import Remote, at_hand, fetch, local, need_local

NAME = "numbers.bin.gz"
BODY = np.random.default_rng(0).bytes(300_000)
WAYS = ("connect to the network and repeat", "0.3 MB", "put numbers.npz into a folder and name that in EDGEFF_DATA_DIR")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder of data, an empty cache, and no server but those of the tests."""
    monkeypatch.delenv("EDGEFF_DATA_DIR", raising=False)
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serve(Site({NAME: BODY})) as served:
        monkeypatch.setenv("EDGEFF_DATA_URL", served.url)
        yield served


def numbers(body: bytes = BODY, algorithm: str = "sha256", size_bytes: int = len(BODY)) -> Remote:
    digest = hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
    return Remote(f"https://example.invalid/data/{NAME}", f"{algorithm}:{digest}", size_bytes)


def get(remote: Remote | None = None) -> Path:
    return fetch(remote or numbers(), "the numbers", "numbers.npz")


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*")) if cache.exists() else []


# ------------------------------------------------------------------ downloads


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_file_is_downloaded_once_and_read_from_the_cache_after_that(site: Site, cache: Path, algorithm: str) -> None:
    remote = numbers(algorithm=algorithm)
    assert at_hand(remote) is None
    assert get(remote).read_bytes() == BODY
    assert get(remote) == cache / NAME == at_hand(remote)
    assert (site.asked, left(cache)) == ([(NAME, "")], [NAME])


def test_a_download_goes_on_where_the_connection_broke(site: Site, cache: Path) -> None:
    site.breaks_after = [100_000, 50_000, 1]
    assert get().read_bytes() == BODY
    assert site.asked == [(NAME, ""), (NAME, "bytes=100000-"), (NAME, "bytes=150000-"), (NAME, "bytes=150001-")]
    assert left(cache) == [NAME]


def test_a_server_that_cannot_resume_sends_the_whole_again(site: Site, cache: Path) -> None:
    site.breaks_after, site.ranges = [200_000], False
    assert get().read_bytes() == BODY
    assert (len(site.asked), left(cache)) == (2, [NAME])


def test_a_connection_that_always_breaks_is_refused_and_leaves_nothing(site: Site, cache: Path) -> None:
    site.breaks_after = [1000] * 99
    message = refusal(get)
    assert f"got a connection that broke after 4,000 bytes from {site.url}/{NAME}" in message
    assert (len(site.asked), left(cache)) == (_files.ATTEMPTS, [])
    site.breaks_after = []
    assert get().read_bytes() == BODY


def test_an_end_before_the_known_size_is_a_break_even_where_the_server_states_no_length(site: Site) -> None:
    site.lengths, site.breaks_after = False, [1234]
    assert get().read_bytes() == BODY
    assert site.asked == [(NAME, ""), (NAME, "bytes=1234-")]


def test_bytes_are_kept_as_they_are_although_the_server_calls_them_compressed(site: Site) -> None:
    site.encoding, site.files[NAME] = "gzip", gzip.compress(b"numbers")
    assert get(numbers(site.files[NAME])).read_bytes() == site.files[NAME]


def test_another_checksum_is_refused_and_leaves_nothing(site: Site, cache: Path) -> None:
    site.files[NAME] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    message = refusal(get)
    assert f"got a checksum other than {numbers().checksum} from {site.url}/{NAME}" in message
    assert all(way in message for way in WAYS)
    assert left(cache) == []


def test_a_file_that_grows_beyond_its_size_is_not_read_on(site: Site, cache: Path) -> None:
    site.files[NAME] = bytes(5_000_000)
    assert "got more than the file's 300,000 bytes" in refusal(get)
    assert left(cache) == []


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_status_other_than_well_is_named_with_both_ways_to_the_data(site: Site, cache: Path, status: int) -> None:
    site.status = status
    message = refusal(get)
    assert message.startswith(f"the numbers, {NAME}: got HTTP {404 if status == 404 else status} from {site.url}/{NAME}; ")
    assert all(way in message for way in WAYS)
    assert (len(site.asked), left(cache)) == (1, [])


def test_a_refused_connection_is_one_line_with_both_ways(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("EDGEFF_DATA_URL", url)
    message = refusal(get)
    assert message.startswith(f"the numbers, {NAME}: got no answer (ConnectionError) from {url}/{NAME}; ")
    assert all(way in message for way in WAYS)
    assert left(cache) == []


def test_a_server_that_says_nothing_is_left_in_time(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "READ_SECONDS", 0.2)
    site.silent_s = 1.0
    assert f"got no answer in time from {site.url}/{NAME}" in refusal(get)
    assert left(cache) == []


def test_no_address_at_all_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_DATA_URL", "not an address")
    assert "got no answer (InvalidURL) from not an address/" in refusal(get)
    assert left(cache) == []


def test_mirrors_are_asked_in_order_until_one_has_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEFF_DATA_URL")
    remote = numbers()
    with serve(Site({NAME: b"something else"})) as wrong:
        urls = (f"http://127.0.0.1:9/{NAME}", f"{wrong.url}/{NAME}", f"{site.url}/{NAME}")
        assert get(Remote(urls[0], remote.checksum, remote.size_bytes, urls[1:])).read_bytes() == BODY
        assert (len(wrong.asked), len(site.asked)) == (1, 1)


def test_all_mirrors_are_named_where_none_has_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEFF_DATA_URL")
    site.files = {}
    urls = (f"http://127.0.0.1:9/{NAME}", f"{site.url}/{NAME}")
    message = refusal(lambda: get(Remote(urls[0], numbers().checksum, 0, urls[1:])))
    assert f"got no answer (ConnectionError) from {urls[0]} and HTTP 404 from {urls[1]}; " in message


def test_a_damaged_file_in_the_cache_counts_as_absent(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    (cache / NAME).write_bytes(BODY[:1000])
    assert at_hand(numbers()) is None
    monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    assert "got no answer" in refusal(get)
    monkeypatch.setenv("EDGEFF_DATA_URL", site.url)
    assert get().read_bytes() == BODY


def test_a_cache_that_cannot_be_written_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EDGEFF_CACHE_DIR", str(tmp_path / "file" / "cache"))
    message = refusal(get)
    assert f"in the cache {tmp_path / 'file' / 'cache'}; connect" in message
    assert site.asked == []


class Bar:
    """What a progress bar is told."""

    def __init__(self, breaks: bool) -> None:
        self.total, self.done, self.closed, self._breaks = 0, 0, False, breaks

    def update(self, count: int) -> None:
        self.done += count
        if self._breaks and self.done > 100_000:
            raise KeyboardInterrupt

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.closed = True


def test_the_progress_bar_ends_at_the_size_of_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar(breaks=False)
    monkeypatch.setattr(_files, "_bar", lambda _name: bar)
    site.breaks_after = [70_000]
    get()
    assert (bar.total, bar.done, bar.closed) == (len(BODY), len(BODY), True)


@pytest.mark.usefixtures("site")
def test_an_interrupted_download_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar(breaks=True)
    monkeypatch.setattr(_files, "_bar", lambda _name: bar)
    with pytest.raises(KeyboardInterrupt):
        get()
    assert (left(cache), bar.closed) == ([], True)


def test_where_nobody_looks_there_is_no_progress_bar() -> None:
    assert _files._bar("numbers") is False


# ------------------------------------------------------------------ the user's folder


def test_the_users_folder_comes_before_cache_and_network(site: Site, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get()
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    assert get() == cache / NAME
    (tmp_path / "mine" / NAME).write_bytes(BODY)
    assert get() == tmp_path / "mine" / NAME
    assert len(site.asked) == 1


@pytest.mark.usefixtures("site")
def test_a_damaged_official_file_of_the_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path))
    (tmp_path / NAME).write_bytes(b"damaged")
    assert refusal(get) == f"data file {tmp_path / NAME}: got another checksum; allowed: {numbers().checksum}; replace or remove it"


def test_a_data_folder_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path / "nowhere"))
    expected = f"EDGEFF_DATA_DIR: got '{tmp_path / 'nowhere'}'; allowed: a folder that exists; correct or unset it"
    assert refusal(lambda: local("a.npz")) == expected
    assert refusal(get) == expected


def test_a_file_that_only_the_user_can_give_is_asked_for_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = "; get it from its makers; put it into the folder that EDGEFF_DATA_DIR names"
    unset = refusal(lambda: need_local("a.npz", "the letters", "its makers"))
    monkeypatch.setenv("EDGEFF_DATA_DIR", str(tmp_path))
    empty = refusal(lambda: need_local("a.npz", "the letters", "its makers"))
    assert unset == f"the letters: got no a.npz, and EDGEFF_DATA_DIR names no folder{way}"
    assert empty == f"the letters: got no a.npz in {tmp_path}{way}"


# ------------------------------------------------------------------ the command line


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.mark.parametrize(
    ("task", "file", "beside"),
    [("mnist", "train-images-idx3-ubyte.gz", "mnist.npz"), ("cifar10", "cifar-10-binary.tar.gz", "cifar10_10k_2k.npz")],
)
@pytest.mark.parametrize("trouble", ["no network", "not found", "wrong checksum", "broken"])
def test_train_without_its_data_ends_in_one_line_and_status_2(
    cli: CommandLine,
    site: Site,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    file: str,
    beside: str,
    trouble: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if trouble == "no network":
        monkeypatch.setenv("EDGEFF_DATA_URL", "http://127.0.0.1:9")
    elif trouble != "not found":
        site.files[file] = BODY
        site.breaks_after = [10] * 9 if trouble == "broken" else []
    ended = cli("train", task, "--network", "784-10", "--rule", "bp", "-o", "m.onnx")
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert f"{file}: got " in ended.err
    assert f"connect to the network and repeat to download it ({9.9 if task == 'mnist' else 170.1} MB)" in ended.err
    assert f"or put {beside} into a folder and name that in EDGEFF_DATA_DIR" in ended.err
    assert (left(cache), [path.name for path in tmp_path.iterdir()]) in (([], []), ([], ["cache"]))


@pytest.mark.parametrize("task", ["bearings", "bearings_10", "vww", "har", "mitbih", "gas_drift", "arabic", "kws_open"])
def test_tasks_whose_data_only_the_user_has_say_so_in_one_line(cli: CommandLine, site: Site, task: str) -> None:
    ended = cli("train", task, "--network", "20-2", "--rule", "bp", "-o", "m.onnx")
    assert (ended.status, len(ended.err.splitlines()), site.asked) == (2, 1, [])
    assert "put it into the folder that EDGEFF_DATA_DIR names" in ended.err
