# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Safe extraction of zip, tar, and tar.gz archives, including malicious and corrupt ones.

Extraction writes only plain files and folders below a temporary folder: no links, no devices, and no names that lead
elsewhere. The number of bytes and members is bounded, and all checksums of the format are verified.
"""

import gzip
import io
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from modeling_elmo.messages import format_name

MAX_BYTES = 16 << 30  # the largest published archive, a training checkpoint with optimizer state, has 5 GB
MAX_RATIO = 20  # extracted bytes per byte of the archive; weights hardly compress
SURPLUS_BYTES = 1 << 26  # allowed in addition, for archives of text
MAX_MEMBERS = 10_000
MAX_DEPTH = 32

_CHUNK_SIZE = 1 << 18  # bytes; also the maximum header of a tar member, which tarfile reads at once
_BLOCK = tarfile.BLOCKSIZE
_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_ZIP_HEADER = struct.Struct("<4s5H3L2H")  # local file header; the last fields are the lengths of name and extra field
_ZIP_END = struct.Struct("<4s4H2LH")  # end of central directory; field 4 is the number of members
_IN_ZIP64 = 0xFFFF  # the number of members is in the zip64 record
_ENCRYPTED = 0x1 | 0x2000  # flags of a member, and of the central directory
_ALLOWED_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")
_READ_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # invalid offsets, sizes, and encodings
    OverflowError,
    IndexError,
    NotImplementedError,  # features that zipfile does not support
    RuntimeError,  # includes RecursionError for chains of tar headers
)


class _UnsafeArchiveError(Exception):
    """The archive is not extracted, for the given reason."""


class _CorruptArchiveError(Exception):
    """The archive cannot be read."""


@contextmanager
def _read_errors_as_corrupt() -> Iterator[None]:
    """Convert errors of reading to _CorruptArchiveError. Errors of writing, such as a full disk, are not converted."""
    try:
        yield
    except _READ_ERRORS as error:
        raise _CorruptArchiveError from error


def _read_chunk(member: IO[bytes]) -> bytes:
    with _read_errors_as_corrupt():
        return member.read(_CHUNK_SIZE)


class _LimitedReader(io.RawIOBase):
    """Stream that rejects large reads, because tarfile reads as many bytes as a header declares."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK_SIZE:
            raise ValueError("header too large")
        data: bytes = self.raw.read(size)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position: int = self.raw.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self.raw.tell()
        return position


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")  # checks its checksum
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _gzip_contains_tar(path: Path) -> bool:
    """Return whether a gzip file contains a tar. True if it is too corrupt to tell."""
    try:
        with gzip.open(path) as file:
            block = file.read(_BLOCK)
            return _is_tar(block) or (len(block) == _BLOCK and not any(block))  # or an empty tar
    except (OSError, EOFError, zlib.error):
        return True


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip, tar, or tar.gz, by its first bytes.

    False for the zip files of `torch.save` and for compressed single files such as `vocab.txt.gz`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_BLOCK)
    except OSError:
        return False
    if start.startswith(_GZIP):
        return _gzip_contains_tar(path)
    if start.startswith(_ZIP) and len(start) >= _ZIP_HEADER.size:
        *_, name_length, _ = _ZIP_HEADER.unpack_from(start)
        first = start[_ZIP_HEADER.size : _ZIP_HEADER.size + name_length]
        return not first.endswith(b"/data.pkl")
    return start.startswith((_ZIP, _EMPTY_ZIP)) or _is_tar(start)


def _member_path(name: str) -> tuple[str, ...]:
    """Return a member's name as folder names and a file name.

    Raises:
        _UnsafeArchiveError: If the name leads out of the folder or is invalid.
    """
    path = name.replace("\\", "/")  # some programs on Windows write backslashes
    if path.startswith("/") or _WINDOWS_DRIVE.match(path):
        raise _UnsafeArchiveError(f"the name of member {format_name(name)} is absolute")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _UnsafeArchiveError(f"member {format_name(name)} is outside the archive's folder")
    try:
        length = max([len(part.encode()) for part in parts], default=0)
    except UnicodeEncodeError as error:
        raise _UnsafeArchiveError(f"the name of member {format_name(name)} is not UTF-8") from error
    if length > 255 or len(path) > 1000 or any(ord(character) < 32 for character in path):
        raise _UnsafeArchiveError(f"the name of member {format_name(name)} is too long or not printable")
    if len(parts) > MAX_DEPTH:
        raise _UnsafeArchiveError(
            f"expected at most {MAX_DEPTH} nested folders, member {format_name(name)} has {len(parts)}"
        )
    return parts


class _OutputFolder:
    """Folder that members are written to. It counts the members and bytes."""

    def __init__(self, root: Path, max_bytes: int, archive_size: int) -> None:
        self.root = root
        self.max_bytes = min(max_bytes, MAX_RATIO * archive_size + SURPLUS_BYTES)
        self.num_members = self.num_bytes = 0

    def check_member(self, name: str, size: int) -> tuple[str, ...]:
        """Return the path of a member.

        Raises:
            _UnsafeArchiveError: If its name or its declared size is not allowed.
        """
        self.num_members += 1
        if self.num_members > MAX_MEMBERS:
            raise _UnsafeArchiveError(f"it has more than {MAX_MEMBERS} members")
        self._check_size(size)
        return _member_path(name)

    def count_bytes(self, size: int) -> None:
        """Count extracted bytes.

        Raises:
            _UnsafeArchiveError: If there are too many.
        """
        self._check_size(size)
        self.num_bytes += size

    def _check_size(self, size: int) -> None:
        if size < 0 or self.num_bytes + size > self.max_bytes:
            raise _UnsafeArchiveError(f"it has more than {self.max_bytes} bytes")

    def add_folder(self, parts: tuple[str, ...], name: str) -> Path:
        path = self.root.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _UnsafeArchiveError(f"member {format_name(name)} is both a file and a folder") from error
        return path

    def add_file(self, parts: tuple[str, ...], name: str, member: IO[bytes]) -> None:
        if not parts:
            raise _UnsafeArchiveError(f"member {format_name(name)} has no file name")
        folder = self.add_folder(parts[:-1], name)
        try:
            file = (folder / parts[-1]).open("xb")
        except FileExistsError as error:
            raise _UnsafeArchiveError(f"member {format_name(name)} appears twice") from error
        with file:
            while chunk := _read_chunk(member):
                self.count_bytes(len(chunk))
                file.write(chunk)


def _declared_member_count(path: Path) -> int:
    """Return the number of members according to the last record of a zip."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _ZIP_END.size + 0xFFFF), io.SEEK_END)
        end = file.read()
    return _ZIP_END.unpack_from(end, end.rfind(_EMPTY_ZIP))[4]


def _extract_zip(path: Path, folder: _OutputFolder) -> None:
    with _read_errors_as_corrupt():
        archive = zipfile.ZipFile(path)
    with archive:
        with _read_errors_as_corrupt():
            # A corrupt length field in the central directory can hide later members.
            if _declared_member_count(path) not in (len(archive.infolist()), _IN_ZIP64):
                raise zipfile.BadZipFile
        for info in archive.infolist():
            parts = folder.check_member(info.filename, info.file_size)
            if info.flag_bits & _ENCRYPTED:
                raise _UnsafeArchiveError(f"member {format_name(info.filename)} is encrypted")
            file_type = stat.S_IFMT(info.external_attr >> 16)
            if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
                type_name = "a symbolic link" if file_type == stat.S_IFLNK else "a special file"
                raise _UnsafeArchiveError(f"member {format_name(info.filename)} is {type_name}")
            if info.compress_type not in _ALLOWED_COMPRESSIONS:
                raise _UnsafeArchiveError(
                    f"member {format_name(info.filename)} has compression method {info.compress_type}, not deflate"
                )
            if parts[:1] == ("__MACOSX",):  # metadata of the macOS Finder
                continue
            if info.filename.endswith(("/", "\\")):
                folder.add_folder(parts, info.filename)
                continue
            with _read_errors_as_corrupt():
                member = archive.open(info)
            with member:
                folder.add_file(parts, info.filename, member)


def _tar_type_name(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "a symbolic link"
    if info.issparse():
        return "a sparse file"
    return "a hard link" if info.islnk() else "a device or special file"


def _extract_tar(path: Path, folder: _OutputFolder, compressed: bool) -> None:
    with path.open("rb") as file, gzip.GzipFile(fileobj=file) if compressed else file as raw:
        stream: Any = _LimitedReader(raw)
        with _read_errors_as_corrupt():
            archive = tarfile.TarFile(fileobj=stream, encoding="utf-8")
        with archive:
            while True:
                with _read_errors_as_corrupt():
                    info = archive.next()
                if info is None:
                    break
                # The gaps of a sparse file are not stored.
                if info.issparse() or not (info.isreg() or info.isdir()):
                    raise _UnsafeArchiveError(f"member {format_name(info.name)} is {_tar_type_name(info)}")
                parts = folder.check_member(info.name, info.size)
                if info.isdir():
                    folder.add_folder(parts, info.name)
                    continue
                with _read_errors_as_corrupt():
                    member = archive.extractfile(info)
                if member is not None:
                    folder.add_file(parts, info.name, member)
            with _read_errors_as_corrupt():
                # tarfile stops at a corrupt header without an error. A complete archive ends with a block of zeros.
                stream.seek(archive.offset)
                end = stream.read(_BLOCK)
                if len(end) < _BLOCK or any(end):
                    raise EOFError
            while chunk := _read_chunk(stream):  # up to the checksum of gzip
                folder.count_bytes(len(chunk))


def _strip_single_folder(folder: Path) -> Path:
    """Return the folder, or its only content if that is a folder, recursively."""
    while len(contents := list(folder.iterdir())) == 1 and contents[0].is_dir():
        folder = contents[0]
    return folder


@contextmanager
def extract_archive(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """Extract an archive to a temporary folder, which is deleted at the end.

    Nested archives are not extracted.

    Args:
        path: zip, tar, or tar.gz.
        max_bytes: Maximum number of extracted bytes. It is lower for small archives, see MAX_RATIO.

    Yields:
        Folder with the members. If the archive contains a single folder, it is that folder.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an archive, is corrupt, truncated, or encrypted, has more than `max_bytes` bytes or
            MAX_MEMBERS members, or has a link, a device, a name that leads out of the folder, or a duplicate name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected an archive, got {path}, which does not exist.")
    if not is_archive(path):
        raise ValueError(f"Expected a zip, tar, or tar.gz archive, got {path}.")
    with tempfile.TemporaryDirectory(prefix="modeling_elmo.", ignore_cleanup_errors=True) as root:
        folder = _OutputFolder(Path(root).resolve(), max_bytes, path.stat().st_size)
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
        try:
            if start in (_ZIP, _EMPTY_ZIP):
                _extract_zip(path, folder)
            else:
                _extract_tar(path, folder, compressed=start.startswith(_GZIP))
        except _UnsafeArchiveError as error:
            raise ValueError(f"Cannot extract {path}: {error}.") from error
        except _CorruptArchiveError as error:
            raise ValueError(
                f"Cannot extract {path} ({path.stat().st_size} bytes): it is corrupt or truncated. Download it again."
            ) from error
        yield _strip_single_folder(folder.root)
