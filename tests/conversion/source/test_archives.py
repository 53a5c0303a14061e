# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Archives: what is sound comes out, what is hostile or damaged is one sentence, and nothing is left behind."""

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
from modeling_elmo.conversion.source.archives import is_archive, unpacked

MEMBERS = {"options.json": b"{}", "deep/er/weights.bin": bytes(range(256)) * 40, "empty": b""}
KINDS = ("zip", "tar", "tar.gz")


def write(path: Path, kind: str, members: dict[str, bytes]) -> Path:
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
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
    """Where archives are unpacked; `refused` looks whether anything stays."""
    folder = tmp_path / "temporary" / "inside"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def refused(path: Path, *parts: str, limit: int = 1 << 20) -> None:
    """The archive is refused in one sentence with these parts, before anything is given or left behind."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ValueError) as caught, unpacked(path, limit):
        pytest.fail("the archive was unpacked")
    message = str(caught.value)
    assert all(part in message for part in (*parts, path.name)), message
    assert message.isprintable()
    assert message.endswith(".")
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", KINDS)
def test_members_come_out_and_go_at_the_end(kind: str, tmp_path: Path, temporary_folder: Path) -> None:
    path = write(tmp_path / "download", kind, MEMBERS)  # by content: the name says nothing
    assert is_archive(path)
    with unpacked(path) as folder:
        assert contents(folder) == MEMBERS
        assert all(stat.S_IMODE(file.stat().st_mode) & 0o7111 == 0 for file in folder.rglob("*") if file.is_file())
    assert list(temporary_folder.iterdir()) == []


def test_a_failing_reader_leaves_nothing(tmp_path: Path, temporary_folder: Path) -> None:
    path = write(tmp_path / "a", "zip", MEMBERS)
    with pytest.raises(KeyError), unpacked(path):
        raise KeyError
    assert list(temporary_folder.iterdir()) == []


def test_a_lone_folder_is_entered_and_the_finders_notes_are_not_unpacked(tmp_path: Path) -> None:
    members = {f"model/inner/{name}": data for name, data in MEMBERS.items()}
    with unpacked(write(tmp_path / "a.tgz", "tar.gz", members)) as folder:
        assert contents(folder) == MEMBERS
    with unpacked(write(tmp_path / "a.zip", "zip", {**members, "__MACOSX/model/._x": b"note"})) as folder:
        assert contents(folder) == MEMBERS


def test_names_with_dots_backslashes_and_other_scripts(tmp_path: Path) -> None:
    names = {"./a": b"1", "b\\c": b"2", "модель/東京 .txt": b"3", "..a/b..": b"4", "folder\\": b"", "x/": b""}
    with unpacked(write(tmp_path / "a.zip", "zip", names)) as folder:
        assert contents(folder) == {"a": b"1", "b/c": b"2", "модель/東京 .txt": b"3", "..a/b..": b"4"}
        assert (folder / "folder").is_dir()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("../evil", "inside its own folder"),
        ("a/../../evil", "inside its own folder"),
        ("a\\..\\..\\evil", "inside its own folder"),
        ("..", "inside its own folder"),
        ("/tmp/evil", "relative names"),
        ("\\evil", "relative names"),
        ("C:\\evil", "relative names"),
        ("c:evil", "relative names"),
        ("a\nb", "usual names"),
        ("n" * 300, "usual names"),
        ("n/" * 20 + "m" * 255 + "/" + "m" * 255 + "/" + "m" * 255 + "/" + "m" * 255, "usual names"),
        ("n/" * 40 + "m", "at most 32 folders"),
        (".", "members with names"),
    ],
)
def test_names_that_lead_elsewhere(kind: str, name: str, part: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "a", kind, {"first": b"", name: b"evil"}), part)


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
    refused(special_tar(tmp_path / "a", type_, "/etc/passwd"), part, "'member'")
    refused(special_tar(tmp_path / "a", type_, "member"), part)


@pytest.mark.parametrize(("mode", "part"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFCHR, "a special file")])
def test_links_and_devices_in_a_zip(mode: int, part: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a", part)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_there_twice(kind: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "a", kind, {"a/b": b"1", "a//b": b"2"}), "every name once")
    refused(write(tmp_path / "a", kind, {"a": b"1", "a/b": b"2"}), "every name once")
    refused(write(tmp_path / "a", kind, {"a/b": b"1", "a": b"2"}), "every name once")


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_by_declared_size(kind: str, tmp_path: Path) -> None:
    refused(write(tmp_path / "a", kind, {"zeros": bytes(3 << 20)}), "at most 1048576 bytes")
    halves = {str(number): bytes(600_000) for number in range(2)}
    refused(write(tmp_path / "a", kind, halves), "at most 1048576 bytes")
    with unpacked(write(tmp_path / "a", kind, halves), 1_300_000) as folder:
        assert len(contents(folder)) == 2


def test_a_zip_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", {"zeros": bytes(3 << 20)})
    honest = struct.pack("<L", 3 << 20)
    data = path.read_bytes()
    assert data.count(honest) == 2  # before the data, and in the list of members
    path.write_bytes(data.replace(honest, struct.pack("<L", 10)))
    refused(path, "damaged")


def test_bombs_beside_the_members(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", "tar", {"a": b"1"})
    whole = path.read_bytes()
    path.write_bytes(gzip.compress(whole + bytes(3 << 20)))
    refused(path, "at most 1048576 bytes")
    header = tarfile.TarInfo("name")  # a name of 3 MB, which tarfile would read in one piece
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 3 << 20
    path.write_bytes(gzip.compress(header.tobuf() + b"a" * (3 << 20) + whole))
    refused(path, "damaged")
    header.size = 1  # headers that each announce another
    path.write_bytes(gzip.compress((header.tobuf() + bytes(512)) * 2000))
    refused(path, "damaged")


@pytest.mark.parametrize("kind", KINDS)
def test_too_many_members(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    with unpacked(write(tmp_path / "a", kind, {str(number): b"" for number in range(20)})) as folder:
        assert len(contents(folder)) == 20
    refused(write(tmp_path / "a", kind, {str(number): b"" for number in range(21)}), "at most 20 members")
    refused(write(tmp_path / "a", kind, {f"{number}/": b"" for number in range(21)}), "at most 20 members")


def test_encrypted(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", {"secret": b"1"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "must not be encrypted; 'secret' is")


def test_other_compressions(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"1" * 99)
    refused(tmp_path / "a", "compressed by deflate")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("modèle"))
    refused(path, "names in UTF-8", r"'mod\udce8le'")
    write(path, "zip", {"modèle": b"1"})  # its bit for UTF-8 is set
    path.write_bytes(path.read_bytes().replace("è".encode(), b"\xe8\xe8"))
    refused(path, "damaged")


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"", b"{}", b"PK", b"\x89HDF\r\n\x1a\n" + bytes(600), bytes(1024), gzip.compress(b"words\n" * 200)):
        path.write_bytes(data)
        assert not is_archive(path)
        refused(path, "must be a zip, tar or tar.gz; it is none")
    torch.save({"weight": torch.zeros(3)}, path)  # a zip to read as it is
    assert not is_archive(path)
    assert not is_archive(tmp_path)
    assert not is_archive(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="must exist"), unpacked(tmp_path / "nowhere"):
        pass


def test_archives_without_members(tmp_path: Path) -> None:
    for kind in KINDS[::2]:
        with unpacked(write(tmp_path / "a", kind, {})) as folder:
            assert contents(folder) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_anywhere(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a", kind, MEMBERS)
    whole = path.read_bytes()
    end = len(whole) if kind != "tar" else len(whole) - len(whole) % 512 - tarfile.RECORDSIZE + 512 * 3
    for length in np.linspace(0, end - 1, 30).astype(int):
        path.write_bytes(whole[:length])
        if kind == "tar" and not any(whole[length - 512 : length]) and length % 512 == 0 and length:
            continue  # whole but for the zeros at its end
        refused(path, "damaged" if is_archive(path) else "it is none")


def test_a_list_that_swallows_its_own_members(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "zip", MEMBERS)
    data = bytearray(path.read_bytes())
    comment_length = data.index(b"PK\x01\x02") + 32
    data[comment_length + 1] = 0x7F
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 1 < len(MEMBERS)
    refused(path, "damaged")


def outcome(make: Callable[[Path], None]) -> dict[str, bytes] | str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        make(path)
        try:
            with unpacked(path, 1 << 20) as inside:
                return contents(inside)
        except ValueError as error:
            return str(error)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 7)), min_size=1, max_size=4)
)
def test_flipped_bits_are_found_or_harmless(kind: str, flips: list[tuple[float, int]]) -> None:
    def make(path: Path) -> None:
        data = bytearray(write(path, kind, MEMBERS).read_bytes())
        for place, bit in flips:
            data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
        path.write_bytes(data)

    found = outcome(make)
    if kind == "tar.gz" and not isinstance(found, str):  # its checksum covers names too
        assert found == MEMBERS
    if kind == "zip" and not isinstance(found, str):
        assert sorted(found.values()) == sorted(MEMBERS.values())
    if isinstance(found, str):
        assert found.isprintable()


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00", b""]), rest=st.binary(max_size=2000))
def test_noise_is_refused(start: bytes, rest: bytes) -> None:
    assert isinstance(outcome(lambda path: path.write_bytes(start + rest) and None), str)


PARTS = st.sampled_from(["a", "b", "..", ".", "", "C:", "\\", "/", "é", "a\x00", "a" * 40, " ", "~", "$HOME"])


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), names=st.lists(st.lists(PARTS, min_size=1, max_size=5).map("/".join), max_size=5))
def test_no_name_leads_out_of_the_folder(kind: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "archive"
        write(path, kind, {name or "x": b"1" for name in names})
        before = sorted(Path(place).rglob("*"))
        inside = Path(tempfile.gettempdir())
        try:
            with unpacked(path) as folder:
                assert folder.is_relative_to(inside)
                assert {found.relative_to(folder).parts[0] for found in folder.rglob("*")}.isdisjoint({"..", ""})
        except ValueError:
            pass  # most are refused
        assert sorted(Path(place).rglob("*")) == before
        assert sorted(found for found in inside.parent.rglob("*") if found.name in ("a", "b", "x")) == []
