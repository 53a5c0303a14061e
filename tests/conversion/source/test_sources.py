# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Checkpoint sources: folders, files, URLs, and known names. The only server is a local one."""

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.file_server import FileServer, serve
from helpers.write_checkpoint import OPTIONS, read_datasets, read_folder, write_checkpoint

from elmo_cli import main
from modeling_elmo.conversion.convert import ConversionRecord, convert
from modeling_elmo.conversion.export import export
from modeling_elmo.conversion.source import download, fetch
from modeling_elmo.conversion.source.checkpoints import Checkpoint, checkpoints, find_checkpoint
from modeling_elmo.model.configuration_elmo import PRESETS

S3 = "https://s3-us-west-2.amazonaws.com/allennlp/models/elmo/"
OTHER_S3 = "https://allennlp.s3.amazonaws.com/models/elmo/"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    write_checkpoint(tmp_path / "served")
    monkeypatch.setattr(download.constants, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "LIMITS", replace(download.LIMITS, max_attempts=2, backoff_seconds=0.01))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve(tmp_path / "served") as running:
        yield running


def cached_files() -> list[str]:
    """Return the names of the files in the cache, without the prefix that identifies the URL."""
    paths = download.cache_folder().glob("*") if download.cache_folder().is_dir() else ()
    return sorted(path.name.partition("-")[2] for path in paths if path.suffix != ".lock")


def test_conversion_from_urls(server: FileServer, tmp_path: Path) -> None:
    weights, options = f"{server.url}/lm_weights.hdf5", f"{server.url}/options.json"
    record = convert(weights, tmp_path / "model", options=options)
    assert record.config.conversion["files"]["weights"]["name"] == weights
    export(tmp_path / "model", tmp_path / "back")
    served = tmp_path / "served" / "lm_weights.hdf5"
    assert read_datasets(tmp_path / "back" / "lm_weights.hdf5") == read_datasets(served)
    convert(weights, tmp_path / "again", options=tmp_path / "served" / "options.json")
    assert sorted(server.requests) == ["/lm_weights.hdf5", "/options.json"]  # the second conversion reads the cache
    assert cached_files() == ["lm_weights.hdf5", "options.json"]


def test_weights_from_a_url_require_options(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"without options, got http://127\.0\.0\.1:\d+/lm_weights\.hdf5\."):
        convert(f"{server.url}/lm_weights.hdf5?token=SECRET", tmp_path / "model")
    assert server.requests == [], "the suffix shows that the file is no archive"
    (server.folder / "archive").write_text("<html>Sign in</html>")
    with pytest.raises(FileNotFoundError, match="without options"):
        convert(f"{server.url}/archive", tmp_path / "model")
    assert cached_files() == []


def test_downloads_that_fail_leave_nothing(server: FileServer) -> None:
    with pytest.raises(ConnectionError, match="the server returned 404 Not Found"):
        download.download(f"{server.url}/no.hdf5")
    server.etags, server.cuts = False, [100, 100]
    with pytest.raises(ConnectionError, match=r"the server sent 100 of \d+ bytes"):
        download.download(f"{server.url}/lm_weights.hdf5")
    with pytest.raises(ValueError, match="Expected 5 bytes"):
        download.download(f"{server.url}/options.json", size=5)
    with pytest.raises(ValueError, match="Expected the sha256 00"):
        download.download(f"{server.url}/options.json", sha256="00")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError, match="Connection refused"):
            download.download(f"http://127.0.0.1:{unused.getsockname()[1]}/options.json")
    assert cached_files() == []


def test_a_known_name_leads_to_its_files(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = find_checkpoint("pubmed")
    assert known is not None
    size = (tmp_path / "served" / "options.json").stat().st_size
    served = replace(
        known,
        weights=f"{server.url}/lm_weights.hdf5",
        options=f"{server.url}/options.json",
        sizes={"options": size},
        license="apache-2.0",
    )
    monkeypatch.setattr(fetch, "find_checkpoint", lambda text: served if text == "pubmed" else None)
    record = convert("pubmed", tmp_path / "model")
    assert record.splitter == "moses"  # known to be English
    assert record.config.conversion["checkpoint"] == "pubmed"
    card = (tmp_path / "model" / "README.md").read_text()
    assert "license: apache-2.0\nlanguage: en\n" in card
    monkeypatch.setattr(fetch, "find_checkpoint", lambda text: replace(served, sizes={"options": size + 1}))
    with pytest.raises(ValueError, match=f"Expected {size + 1} bytes from .*, got {size}"):
        convert("pubmed", tmp_path / "other")


def test_files_by_path(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old")
    (tmp_path / "old" / "lm_embeddings_0.hdf5").write_bytes(b"")  # stored vectors next to the weights
    for source in (tmp_path / "old", tmp_path / "old" / "lm_weights.hdf5"):
        assert file_names(convert(source, tmp_path / "model", overwrite=True)) == ("lm_weights.hdf5", "options.json")
    (tmp_path / "old" / "options.json").rename(tmp_path / "old" / "options262.json")
    (tmp_path / "old" / "lm_weights.hdf5").rename(tmp_path / "old" / "model.hdf5")
    (tmp_path / "old" / "lm_embeddings_0.hdf5").unlink()
    assert file_names(convert(tmp_path / "old", tmp_path / "model", overwrite=True)) == (
        "model.hdf5",
        "options262.json",
    )


def file_names(record: ConversionRecord) -> tuple[str, str]:
    """Return the names of weights and options in the record."""
    files = record.config.conversion["files"]
    assert files.keys() == {"weights", "options"}
    return files["weights"]["name"], files["options"]["name"]


def test_language_and_splitter(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "old", OPTIONS)
    assert convert(tmp_path / "old", tmp_path / "1", language="en").splitter == "moses"
    assert convert(tmp_path / "old", tmp_path / "2", language="pt").splitter == "whitespace"
    assert convert(tmp_path / "old", tmp_path / "3").splitter == "whitespace"
    assert convert(tmp_path / "old", tmp_path / "4", splitter="characters").splitter == "characters"


def test_the_list_of_checkpoints() -> None:
    names = [name for known in checkpoints() for name in (known.name, *known.aliases)]
    assert len(names) == len(set(names))
    for known in checkpoints():
        assert known.preset in (None, *PRESETS)
        assert all(name == name.lower() for name in (known.name, *known.aliases))
        assert (known.weights and known.options) or known.page
        assert set(known.sizes) | set(known.sha256) <= {"options", "weights", "softmax", "vocab"}
        for url in filter(None, (known.weights, known.options, known.softmax, known.vocab)):
            assert url.startswith("https://")


@pytest.mark.parametrize("host", [S3, OTHER_S3, S3.replace("https", "http")])
def test_both_spellings_of_the_host_are_known(host: str) -> None:
    original: Checkpoint | None = find_checkpoint("original")
    assert original is not None
    assert (
        find_checkpoint(f"{host}2x4096_512_2048cnn_2xhighway/elmo_2x4096_512_2048cnn_2xhighway_weights.hdf5")
        is original
    )
    assert (
        find_checkpoint(f"{host}2x4096_512_2048cnn_2xhighway/elmo_2x4096_512_2048cnn_2xhighway_options.json")
        is original
    )
    assert find_checkpoint("5.5B") is find_checkpoint("original-5.5b")
    assert find_checkpoint(f"{host}nothing") is None
    assert find_checkpoint("nothing") is None
    with pytest.raises(ValueError, match="Expected `file` to be one of"):
        original.url("name")


def test_a_checkpoint_without_urls_names_its_page(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Get its files from https://github\.com/t-systems"):
        convert("german", tmp_path / "model")


# ---------------------------------------------------------------- secrets


def secret_urls(server: FileServer) -> tuple[str, str]:
    """Return URLs of weights and options with secrets in user info, query, and fragment."""
    base = server.url.replace("//", "//me:SECRET@")
    query = "?X-Amz-Signature=SECRET&token=hf_SECRET#SECRET"
    return f"{base}/lm_weights.hdf5{query}", f"{base}/options.json{query}"


def test_secrets_of_urls_are_not_recorded(
    server: FileServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights, options = secret_urls(server)
    assert main(["convert", weights, str(tmp_path / "model"), "--options", options]) == 0
    assert server.requests == [
        f"/{name}?X-Amz-Signature=SECRET&token=hf_SECRET" for name in ("options.json", "lm_weights.hdf5")
    ]
    for name, content in read_folder(tmp_path / "model").items():
        assert b"SECRET" not in content, name
    assert "SECRET" not in "".join(capfd.readouterr())
    files = json.loads((tmp_path / "model" / "config.json").read_text())["conversion"]["files"]
    assert files["weights"]["name"] == f"{server.url}/lm_weights.hdf5"
    assert f"| weights | `{server.url}/lm_weights.hdf5`, sha256" in (tmp_path / "model" / "README.md").read_text()
    assert cached_files() == ["lm_weights.hdf5", "options.json"], "names come from the path"


def test_secrets_in_file_names_and_options_are_not_recorded(server: FileServer, tmp_path: Path) -> None:
    options = json.loads((server.folder / "options.json").read_text())
    (server.folder / "options.json").write_text(json.dumps({**options, "source": "https://a.org/w?token=SECRET"}))
    old = server.folder / "lm_weights.hdf5"
    old.rename(old.with_name("lm_weights.hdf5?X-Amz-Signature=SECRET"))  # as wget names it
    record = convert(server.folder, tmp_path / "model")
    assert record.config.conversion["files"]["weights"]["name"] == "lm_weights.hdf5"
    for name, content in read_folder(tmp_path / "model").items():
        assert b"SECRET" not in content, name
    export(tmp_path / "model", tmp_path / "back")
    assert json.loads((tmp_path / "back" / "options.json").read_text()) == {**options, "source": "https://a.org/w"}


@pytest.mark.parametrize("fault", ["404", "corrupt", "truncated", "no options", "scheme", "local", "reference"])
def test_secrets_are_not_in_errors(
    fault: str, server: FileServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights, options = secret_urls(server)
    line = ["convert", weights, str(tmp_path / "model"), "--options", options]
    if fault == "404":
        (server.folder / "lm_weights.hdf5").unlink()
    elif fault == "corrupt":
        (server.folder / "options.json").write_text("<html>")
    elif fault == "truncated":
        server.cuts = [10, 10]
    elif fault == "no options":
        line = line[:3]
    elif fault == "scheme":
        line[1] = weights.replace("http:", "gs:")
    elif fault == "local":
        line[-1] = options.replace("http://", "http:/")  # str(Path(url))
    else:
        assert main(line) == 0
        line = ["verify", str(tmp_path / "model"), weights]
    assert main(line) == 1
    printed = "".join(capfd.readouterr())
    assert "elmo: error: " in printed
    assert "SECRET" not in printed


# ---------------------------------------------------------------- the cache


@pytest.mark.parametrize("broken", ["lm_weights.hdf5", "options.json"])
def test_a_bad_download_is_dropped(
    broken: str, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (server.folder / broken).read_bytes()
    (server.folder / broken).write_bytes(good[: len(good) // 2])  # with a matching Content-Length
    line = ["convert", f"{server.url}/lm_weights.hdf5", str(tmp_path / "model"), "--options"]
    line.append(f"{server.url}/options.json")
    assert main(line) == 1
    assert "elmo: error: Cannot " in capsys.readouterr().err
    assert cached_files() == []
    assert not (tmp_path / "model").exists()
    (server.folder / broken).write_bytes(good)  # the server is repaired
    assert main(line) == 0
    assert cached_files() == ["lm_weights.hdf5", "options.json"]


def test_a_bad_archive_is_dropped(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("No checkpoint.")
    for folder in (tmp_path / "other", server.folder):
        archive = shutil.make_archive(str(tmp_path / "w"), "gztar", folder)
        shutil.copy(archive, server.folder / "w.tar.gz")
        if folder != server.folder:
            with pytest.raises(FileNotFoundError, match=r"got a folder with notes\.txt"):
                convert(f"{server.url}/w.tar.gz", tmp_path / "model")
            assert cached_files() == []
    assert convert(f"{server.url}/w.tar.gz", tmp_path / "model").config.num_hidden_layers > 0


def test_a_missing_argument_keeps_the_download(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Cannot convert a language model without"):
        convert(
            f"{server.url}/lm_weights.hdf5",
            tmp_path / "model",
            options=f"{server.url}/options.json",
            language_model=True,
        )
    assert cached_files() == ["lm_weights.hdf5", "options.json"]


def test_force_download(server: FileServer, tmp_path: Path) -> None:
    line = ["convert", f"{server.url}/lm_weights.hdf5", "--options", f"{server.url}/options.json"]
    assert main([*line, str(tmp_path / "1")]) == 0
    write_checkpoint(server.folder, seed=1)
    assert main([*line, str(tmp_path / "2")]) == 0
    assert main([*line, str(tmp_path / "3"), "--force-download"]) == 0
    first, second, third = ((tmp_path / name / "model.safetensors").read_bytes() for name in "123")
    assert first == second != third
    assert len(server.requests) == 4


@pytest.mark.parametrize("source", ["url", "known name"])
def test_a_missing_package_is_reported_before_the_download(
    source: str,
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights, options = f"{server.url}/lm_weights.hdf5?name=w.zip", f"{server.url}/options.json"
    known = Checkpoint("pubmed", weights=weights, options=options)
    monkeypatch.setattr(fetch, "find_checkpoint", lambda text: known if text == "pubmed" else None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = ["pubmed"] if source == "known name" else [weights, "--options", options]
    assert main(["convert", *line, str(tmp_path / "model")]) == 1
    assert "Run `pip install modeling_elmo[hdf5]`." in capsys.readouterr().err
    assert server.requests == []
