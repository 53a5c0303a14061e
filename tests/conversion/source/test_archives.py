# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Archives: valid ones are extracted, unsafe and corrupt ones raise one sentence, and nothing is left behind."""

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_elmo.conversion.source import archives
from modeling_elmo.conversion.source.archives import extract_archive, is_archive

MEMBERS = {"options.json": b"{}", "deep/er/weights.bin": bytes(range(256)) * 40, "empty": b""}
SUFFIXES = ("zip", "tar", "tar.gz")


def write(path: Path, suffix: str, members: dict[str, bytes]) -> Path:
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if suffix == "tar.gz" else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def special_tar(path: Path, type_: bytes, link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("member")
        info.type, info.linkname = type_, link
        archive.addfile(info)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of temporary files; `assert_rejected` checks that nothing is left in it."""
    folder = tmp_path / "temporary" / "inside"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def assert_rejected(path: Path, *parts: str, max_bytes: int = 1 << 20) -> None:
    """Check that extraction raises one sentence with these parts and leaves nothing behind."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ValueError) as caught, extract_archive(path, max_bytes):
        pytest.fail("the archive was extracted")
    message = str(caught.value)
    assert all(part in message for part in (*parts, path.name)), message
    assert message.isprintable()
    assert message.endswith(".")
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_members_are_extracted_and_deleted(suffix: str, tmp_path: Path, temporary_folder: Path) -> None:
    path = write(tmp_path / "download", suffix, MEMBERS)  # recognized by content, not by name
    assert is_archive(path)
    with extract_archive(path) as folder:
        assert contents(folder) == MEMBERS
        assert all(stat.S_IMODE(file.stat().st_mode) & 0o7111 == 0 for file in folder.rglob("*") if file.is_file())
    assert list(temporary_folder.iterdir()) == []


def test_a_failing_reader_leaves_nothing(tmp_path: Path, temporary_folder: Path) -> None:
    path = write(tmp_path / "a", "zip", MEMBERS)
    with pytest.raises(KeyError), extract_archive(path):
        raise KeyError
    assert list(temporary_folder.iterdir()) == []


def test_a_single_folder_is_stripped_and_macos_metadata_is_skipped(tmp_path: Path) -> None:
    members = {f"model/inner/{name}": data for name, data in MEMBERS.items()}
    with extract_archive(write(tmp_path / "a.tgz", "tar.gz", members)) as folder:
        assert contents(folder) == MEMBERS
    with extract_archive(write(tmp_path / "a.zip", "zip", {**members, "__MACOSX/model/._x": b"note"})) as folder:
        assert contents(folder) == MEMBERS


def test_names_with_dots_backslashes_and_other_scripts(tmp_path: Path) -> None:
    names = {"./a": b"1", "b\\c": b"2", "модель/東京 .txt": b"3", "..a/b..": b"4", "folder\\": b"", "x/": b""}
    with extract_archive(write(tmp_path / "a.zip", "zip", names)) as folder:
        assert contents(folder) == {"a": b"1", "b/c": b"2", "модель/東京 .txt": b"3", "..a/b..": b"4"}
        assert (folder / "folder").is_dir()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("../evil", "outside the archive's folder"),
        ("a/../../evil", "outside the archive's folder"),
        ("a\\..\\..\\evil", "outside the archive's folder"),
        ("..", "outside the archive's folder"),
        ("/tmp/evil", "is absolute"),
        ("\\evil", "is absolute"),
        ("C:\\evil", "is absolute"),
        ("c:evil", "is absolute"),
        ("a\nb", "too long or not printable"),
        ("n" * 300, "too long or not printable"),
        ("n/" * 20 + "m" * 255 + "/" + "m" * 255 + "/" + "m" * 255 + "/" + "m" * 255, "too long or not printable"),
        ("n/" * 40 + "m", "at most 32 nested folders"),
        (".", "has no file name"),
    ],
)
def test_names_that_lead_elsewhere(suffix: str, name: str, part: str, tmp_path: Path) -> None:
    assert_rejected(write(tmp_path / "a", suffix, {"first": b"", name: b"evil"}), part)


@pytest.mark.parametrize(
    ("type_", "part"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "special file"),
    ],
)
def test_links_and_devices(type_: bytes, part: str, tmp_path: Path) -> None:
    assert_rejected(special_tar(tmp_path / "a", type_, "/etc/passwd"), part, "'member'")
    assert_rejected(special_tar(tmp_path / "a", type_, "member"), part)


@pytest.mark.parametrize(("mode", "part"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFCHR, "a special file")])
def test_links_and_devices_in_a_zip(mode: int, part: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert_rejected(tmp_path / "a", part)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_duplicate_names(suffix: str, tmp_path: Path) -> None:
    assert_rejected(write(tmp_path / "a", suffix, {"a/b": b"1", "a//b": b"2"}), "appears twice")
    assert_rejected(write(tmp_path / "a", suffix, {"a": b"1", "a/b": b"2"}), "both a file and a folder")
    assert_rejected(write(tmp_path / "a", suffix, {"a/b": b"1", "a": b"2"}), "appears twice")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bombs_by_declared_size(suffix: str, tmp_path: Path) -> None:
    assert_rejected(write(tmp_path / "a", suffix, {"zeros": bytes(3 << 20)}), "more than 1048576 bytes")
    halves = {str(number): bytes(600_000) for number in range(2)}
    assert_rejected(write(tmp_path / "a", suffix, halves), "more than 1048576 bytes")
    with extract_archive(write(tmp_path / "a", suffix, halves), 1_300_000) as folder:
        assert len(contents(folder)) == 2


def test_a_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", {"zeros": bytes(3 << 20)})
    honest = struct.pack("<L", 3 << 20)
    data = path.read_bytes()
    assert data.count(honest) == 2  # in the local header and in the central directory
    path.write_bytes(data.replace(honest, struct.pack("<L", 10)))
    assert_rejected(path, "corrupt or truncated")


def test_bombs_outside_the_members(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", "tar", {"a": b"1"})
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(whole + bytes(3 << 20)))
    assert_rejected(path, "more than 1048576 bytes")
    header = tarfile.TarInfo("name")  # a name of 3 MB, which tarfile would read at once
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 3 << 20
    path.write_bytes(gzip.compress(header.tobuf() + b"a" * (3 << 20) + whole))
    assert_rejected(path, "corrupt or truncated")
    header.size = 1  # headers that each announce another
    path.write_bytes(gzip.compress((header.tobuf() + bytes(512)) * 2000))
    assert_rejected(path, "corrupt or truncated")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_too_many_members(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    with extract_archive(write(tmp_path / "a", suffix, {str(number): b"" for number in range(20)})) as folder:
        assert len(contents(folder)) == 20
    assert_rejected(write(tmp_path / "a", suffix, {str(number): b"" for number in range(21)}), "more than 20 members")
    assert_rejected(write(tmp_path / "a", suffix, {f"{number}/": b"" for number in range(21)}), "more than 20 members")


def test_encrypted(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", {"secret": b"1"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert_rejected(path, "member 'secret' is encrypted")


def test_other_compressions(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1" * 99)
    assert_rejected(tmp_path / "a", "compression method 14, not deflate")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("modèle"))
    assert_rejected(path, "is not UTF-8", r"'mod\udce8le'")
    write(path, "zip", {"modèle": b"1"})  # its bit for UTF-8 is set
    path.write_bytes(path.read_bytes().replace("è".encode(), b"\xe8\xe8"))
    assert_rejected(path, "corrupt or truncated")


def test_files_that_are_not_archives(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"{}", b"PK", b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(1024), gzip.compress(b"words\n" * 200)):
        path.write_bytes(data)
        assert not is_archive(path)
        assert_rejected(path, "Expected a zip, tar, or tar.gz archive")
    torch.save({"weight": torch.zeros(3)}, path)  # this zip is not an archive
    assert not is_archive(path)
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="does not exist"), extract_archive(tmp_path / "nowhere"):
        pass


def test_archives_without_members(tmp_path: Path) -> None:
    for suffix in SUFFIXES[::2]:
        with extract_archive(write(tmp_path / "a", suffix, {})) as folder:
            assert contents(folder) == {}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_archives(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a", suffix, MEMBERS)
    whole = path.read_bytes()
    end = len(whole) if suffix != "tar" else len(whole) - len(whole) % 512 - tarfile.RECORDSIZE + 512 * 3
    for length in np.linspace(0, end - 1, 30).astype(int):
        path.write_bytes(whole[:length])
        if suffix == "tar" and not any(whole[length - 512 : length]) and length % 512 == 0 and length:
            continue  # complete except for the final zeros
        assert_rejected(path, "corrupt or truncated" if is_archive(path) else "Expected a zip")


def test_a_central_directory_that_hides_members(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", MEMBERS)
    data = bytearray(path.read_bytes())
    comment_length = data.index(b"PK\x01\x02") + 32
    data[comment_length + 1] = 0x7F
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 1 < len(MEMBERS)
    assert_rejected(path, "corrupt or truncated")


def extract_or_error(make: Callable[[Path], None]) -> dict[str, bytes] | str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        make(path)
        try:
            with extract_archive(path, 1 << 20) as inside:
                return contents(inside)
        except ValueError as error:
            return str(error)


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4),
)
def test_flipped_bits_are_detected_or_harmless(suffix: str, flips: list[tuple[float, int]]) -> None:
    def make(path: Path) -> None:
        data = bytearray(write(path, suffix, MEMBERS).read_bytes())
        for place, bit in flips:
            data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
        path.write_bytes(data)

    result = extract_or_error(make)
    if suffix == "tar.gz" and not isinstance(result, str):  # the checksum includes names
        assert result == MEMBERS
    if suffix == "zip" and not isinstance(result, str):
        assert sorted(result.values()) == sorted(MEMBERS.values())
    if isinstance(result, str):
        assert result.isprintable()


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00", b""]), rest=st.binary(max_size=2000))
def test_noise_is_rejected(start: bytes, rest: bytes) -> None:
    assert isinstance(extract_or_error(lambda path: path.write_bytes(start + rest) and None), str)


PARTS = st.sampled_from(["a", "b", "..", ".", "", "C:", "\\", "/", "é", "a\x00", "a" * 40, " ", "~", "$HOME"])


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES),
    names=st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), max_size=5),
)
def test_no_name_leads_out_of_the_folder(suffix: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "archive"
        write(path, suffix, {name or "x": b"1" for name in names})
        before = sorted(Path(place).rglob("*"))
        inside = Path(tempfile.gettempdir())
        try:
            with extract_archive(path) as folder:
                assert folder.is_relative_to(inside)
                assert {found.relative_to(folder).parts[0] for found in folder.rglob("*")}.isdisjoint({"..", ""})
        except ValueError:
            pass  # most are rejected
        assert sorted(Path(place).rglob("*")) == before
        assert sorted(found for found in inside.parent.rglob("*") if found.name in ("a", "b", "x")) == []
