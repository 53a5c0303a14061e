# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Archives (zip, tar, tar.gz) unpacked into a temporary folder, however hostile or damaged they are.

Only plain files and folders below the new folder are written: no link, no device, no name that leads elsewhere.
What comes out is bounded in bytes and members, and every checksum that the format has is checked.
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

LIMIT = 16 << 30  # the largest published one, a training checkpoint with its optimizer's slots, has some 5 GB
MAX_MEMBERS = 10_000
MAX_DEPTH = 32

_CHUNK = 1 << 18  # also the largest header of a tar member, which tarfile reads in one piece
_BLOCK = tarfile.BLOCKSIZE
_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_ZIP_HEADER = struct.Struct("<4s5H3L2H")  # a member's; the last two are the lengths of its name and extra field
_ZIP_END = struct.Struct("<4s4H2LH")  # the last record but for a comment; the fourth number counts the members
_IN_ZIP64 = 0xFFFF  # the count is elsewhere, or beyond what is unpacked here
_ENCRYPTED = 0x1 | 0x2000  # flags of a member, and of the list of members
_PLAIN_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,  # of offsets, sizes and encodings that cannot be
    OverflowError,
    IndexError,
    NotImplementedError,  # of features that zipfile lacks
    RuntimeError,  # of chains of tar headers too (RecursionError)
)


class _Refused(Exception):
    """Something about a member, as the rest of a sentence."""


class _Damaged(Exception):
    """The archive cannot be read."""


@contextmanager
def _reading() -> Iterator[None]:
    """Turns errors of reading, and of nothing else, into _Damaged: a full disk is no damage."""
    try:
        yield
    except _DAMAGE as error:
        raise _Damaged from error


def _read(member: IO[bytes]) -> bytes:
    with _reading():
        return member.read(_CHUNK)


class _SmallReads(io.RawIOBase):
    """A stream that refuses to be read in large pieces, for tarfile takes a header's word for its size."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise ValueError("a header is too large")
        data: bytes = self.raw.read(size)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place: int = self.raw.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self.raw.tell()
        return place


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")  # it has a checksum
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _begins_with_tar(path: Path) -> bool:
    """Whether a gzip file holds a tar, or is too damaged to tell."""
    try:
        with gzip.open(path) as file:
            block = file.read(_BLOCK)
            return _is_tar(block) or (len(block) == _BLOCK and not any(block))  # or a tar without members
    except (OSError, EOFError, zlib.error):
        return True


def is_archive(path: Path) -> bool:
    """Whether a file is a zip, tar or tar.gz, by its first bytes.

    The zip files that `torch.save` writes are no archives here, nor is a file that is only compressed, such as
    `vocab.txt.gz`.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_BLOCK)
    except OSError:
        return False
    if start.startswith(_GZIP):
        return _begins_with_tar(path)
    if start.startswith(_ZIP) and len(start) >= _ZIP_HEADER.size:
        *_, name_length, _ = _ZIP_HEADER.unpack_from(start)
        first = start[_ZIP_HEADER.size : _ZIP_HEADER.size + name_length]
        return not first.endswith(b"/data.pkl")
    return start.startswith((_ZIP, _EMPTY_ZIP)) or _is_tar(start)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}...")


def _parts(name: str) -> tuple[str, ...]:
    """A member's name as folders and file; _Refused where it leads out of the folder or is no name."""
    path = name.replace("\\", "/")  # some programs on Windows write it so, and there it separates
    if path.startswith("/") or _DRIVE.match(path):
        raise _Refused(f"must have members with relative names; got {_shown(name)}")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise _Refused(f"must have members inside its own folder; got {_shown(name)}")
    try:
        length = max([len(part.encode()) for part in parts], default=0)
    except UnicodeEncodeError as error:
        raise _Refused(f"must have members with names in UTF-8; got {_shown(name)}") from error
    if length > 255 or len(path) > 1000 or any(ord(character) < 32 for character in path):
        raise _Refused(f"must have members with usual names; got {_shown(name)}")
    if len(parts) > MAX_DEPTH:
        raise _Refused(f"must have at most {MAX_DEPTH} folders inside each other; {_shown(name)} has {len(parts)}")
    return parts


class _Folder:
    """The folder that members are written into, with an account of what was written."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit
        self.members = self.bytes = 0

    def admit(self, name: str, size: int) -> tuple[str, ...]:
        """The parts of a member's name; _Refused where it or its declared size may not come out."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise _Refused(f"must have at most {MAX_MEMBERS} members; it has more")
        self._check(size)
        return _parts(name)

    def count(self, size: int) -> None:
        """Add to the bytes that came out."""
        self._check(size)
        self.bytes += size

    def _check(self, size: int) -> None:
        if size < 0 or self.bytes + size > self.limit:
            raise _Refused(f"must unpack to at most {self.limit} bytes; it has more")

    def add_folder(self, parts: tuple[str, ...], name: str) -> Path:
        path = self.root.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _Refused(f"must have every name once; {_shown(name)} is a file and a folder") from error
        return path

    def add_file(self, parts: tuple[str, ...], name: str, member: IO[bytes]) -> None:
        if not parts:
            raise _Refused(f"must have members with names; got {_shown(name)}")
        folder = self.add_folder(parts[:-1], name)
        try:
            file = (folder / parts[-1]).open("xb")
        except FileExistsError as error:
            raise _Refused(f"must have every name once; {_shown(name)} is there twice") from error
        with file:
            while chunk := _read(member):
                self.count(len(chunk))
                file.write(chunk)


def _count_of_end(path: Path) -> int:
    """How many members a zip has by its last record."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, _ZIP_END.size + 0xFFFF), io.SEEK_END)
        end = file.read()
    return _ZIP_END.unpack_from(end, end.rfind(_EMPTY_ZIP))[4]


def _unpack_zip(path: Path, folder: _Folder) -> None:
    with _reading():
        archive = zipfile.ZipFile(path)
    with archive:
        with _reading():
            # A damaged length in the list of members can hide those behind it.
            if _count_of_end(path) not in (len(archive.infolist()), _IN_ZIP64):
                raise zipfile.BadZipFile
        for info in archive.infolist():
            parts = folder.admit(info.filename, info.file_size)
            if info.flag_bits & _ENCRYPTED:
                raise _Refused(f"must not be encrypted; {_shown(info.filename)} is")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
                raise _Refused(f"must have files and folders only; {_shown(info.filename)} is {what}")
            if info.compress_type not in _PLAIN_COMPRESSIONS:
                raise _Refused(
                    f"must be compressed by deflate; {_shown(info.filename)} has method {info.compress_type}"
                )
            if parts[:1] == ("__MACOSX",):  # the Finder's notes on the other members
                continue
            if info.filename.endswith(("/", "\\")):
                folder.add_folder(parts, info.filename)
                continue
            with _reading():
                member = archive.open(info)
            with member:
                folder.add_file(parts, info.filename, member)


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym():
        return "a symbolic link"
    return "a hard link" if info.islnk() else "a device or special file"


def _unpack_tar(path: Path, folder: _Folder, compressed: bool) -> None:
    with path.open("rb") as file, gzip.GzipFile(fileobj=file) if compressed else file as raw:
        stream: Any = _SmallReads(raw)
        with _reading():
            archive = tarfile.TarFile(fileobj=stream, encoding="utf-8")
        with archive:
            while True:
                with _reading():
                    info = archive.next()
                if info is None:
                    break
                parts = folder.admit(info.name, info.size)
                if not (info.isreg() or info.isdir()):
                    raise _Refused(f"must have files and folders only; {_shown(info.name)} is {_tar_kind(info)}")
                if info.isdir():
                    folder.add_folder(parts, info.name)
                    continue
                with _reading():
                    member = archive.extractfile(info)
                if member is not None:
                    folder.add_file(parts, info.name, member)
            with _reading():
                # tarfile takes a damaged header for the end; the end is a block of zeros.
                stream.seek(archive.offset)
                end = stream.read(_BLOCK)
                if len(end) < _BLOCK or any(end):
                    raise EOFError
            while chunk := _read(stream):  # to gzip's checksum
                folder.count(len(chunk))


def _without_lone_folders(folder: Path) -> Path:
    """The folder itself, or what it holds if that is a single folder, and so on."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder


@contextmanager
def unpacked(path: Path, limit: int = LIMIT) -> Iterator[Path]:
    """A temporary folder with the members of an archive, gone at the end.

    Archives often hold a single folder with all their files; then this folder is given. An archive inside an archive
    stays as it is.

    Args:
        path: a zip, tar or tar.gz.
        limit: most bytes that may come out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no archive, damaged or encrypted, has more than `limit` bytes or MAX_MEMBERS members, has a
            link or device, a name that leads out of the folder, or a name twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the archive must exist; {path} does not.")
    if not is_archive(path):
        raise ValueError(f"{path} must be a zip, tar or tar.gz; it is none.")
    with tempfile.TemporaryDirectory(prefix="modeling_elmo.", ignore_cleanup_errors=True) as root:
        folder = _Folder(Path(root).resolve(), limit)
        with path.open("rb") as file:
            start = file.read(len(_ZIP))
        try:
            if start in (_ZIP, _EMPTY_ZIP):
                _unpack_zip(path, folder)
            else:
                _unpack_tar(path, folder, compressed=start.startswith(_GZIP))
        except _Refused as error:
            raise ValueError(f"the archive {path} {error}.") from error
        except _Damaged as error:
            raise ValueError(
                f"the archive {path} must be whole; it is cut short or damaged ({path.stat().st_size} bytes)."
            ) from error
        yield _without_lone_folders(folder.root)
