"""Writing whole or not at all, reading with the file's name in every error, and names of files."""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from datasets.files import (
    LONGEST_NAME,
    FileError,
    append_durably,
    check_writable,
    describe_os_error,
    file_name_of,
    naming,
    new_file,
    read_record,
    read_text,
    write_durably,
)


def test_a_file_is_written_whole_in_a_new_folder_with_the_usual_mode(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "text.txt"
    write_durably(target, "0.5 ± 0.1")
    write_durably(target, "naïve")
    assert target.read_bytes() == "naïve".encode()
    usual = tmp_path / "usual"
    usual.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert [file.name for file in target.parent.iterdir()] == ["text.txt"]


def test_an_error_that_is_named_has_one_name(tmp_path: Path) -> None:
    for step in (Path.touch, Path.read_bytes):
        with pytest.raises(OSError, match="No such file") as caught, naming(tmp_path):
            step(tmp_path / "no" / "file")
        assert str(caught.value).endswith(f"No such file or directory: '{tmp_path}'")
    with pytest.raises(OSError, match="No such file") as caught, naming(tmp_path):
        (tmp_path / "no").rename(tmp_path / "new")
    assert str(caught.value).endswith(f"No such file or directory: '{tmp_path}'")


def test_a_place_is_tried_before_there_is_anything_to_write(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "text.txt"
    check_writable(target)
    assert list(target.parent.iterdir()) == []
    target.write_text("kept")
    check_writable(target)
    assert target.read_text() == "kept"
    for wrong in (target / "below.txt", tmp_path / "a", tmp_path / ("n" * 300)):
        with pytest.raises((OSError, FileError)):
            check_writable(wrong)
        with pytest.raises((OSError, FileError)):
            write_durably(wrong, "x")


def test_what_a_library_makes_private_gets_the_usual_mode(tmp_path: Path) -> None:
    with new_file(tmp_path / "weights.bin") as unfinished:
        unfinished.write_bytes(b"1")
        unfinished.chmod(0o600)
    (tmp_path / "usual").touch()
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "text.txt"
    write_durably(target, "old")

    def break_off() -> None:
        with new_file(target) as unfinished:
            unfinished.write_text("new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space") as error:
        break_off()
    assert describe_os_error(error.value) == (
        f"{target}: No space left on device (make room on the disk, or use another one)"
    )
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_what_killed_processes_left_is_removed_later(tmp_path: Path) -> None:
    fresh, stale = tmp_path / ".1.partial.text.txt", tmp_path / ".2.partial.text.txt"
    fresh.touch()
    stale.touch()
    os.utime(stale, (0, 0))
    write_durably(tmp_path / "text.txt", "new")
    assert {file.name for file in tmp_path.iterdir()} == {"text.txt", fresh.name}


def test_only_regular_files_are_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target in (pipe, tmp_path, Path("/dev/null")):
        with pytest.raises(FileError, match=rf"^{target}: must be a regular file"):
            write_durably(target, "text")
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()


def test_a_link_is_kept_and_its_file_replaced(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old")
    link.symlink_to(file)
    write_durably(link, "new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_lines_are_added(tmp_path: Path) -> None:
    append_durably(tmp_path / "lines", "±")
    append_durably(tmp_path / "lines", "2")
    assert (tmp_path / "lines").read_bytes() == "±\n2\n".encode()


@dataclass(frozen=True)
class Point:
    x: int
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be valid JSON, got a damaged file"),
        (b"[]", r"must be a JSON object, got \[\]"),
        (b'{"x": "one"}', "x: .*integer.*, got 'one'"),
        (b'{"x": 1, "names": ["a", 2]}', r"names\.1: .*string.*, got 2"),
        (b'{"x": "\xb1"}', "must be UTF-8 text, got byte 0xb1 at place 7"),
        (b"[" * 100_000, "must be valid JSON"),
    ],
)
def test_a_damaged_record_is_a_sentence_with_file_and_way_out(
    content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "point.json"
    file.write_bytes(content)
    with pytest.raises(FileError, match=rf"^{file}: {message}.* \(write it again\)$"):
        read_record(file, Point, "write it again")


def test_a_record_is_read_with_its_types_and_with_a_mark_in_front(tmp_path: Path) -> None:
    file = tmp_path / "point.json"
    file.write_bytes(b'\xef\xbb\xbf{"x": 1, "names": ["\xc2\xb1"]}')
    assert read_record(file, Point, "") == Point(1, ("±",))
    assert read_text(file, "").startswith("{")


@pytest.mark.parametrize("text", ["brats-lora-rank=4-f0-s0-1a2b3c4d", "größe", "a.b_c-1e-05", "+x"])
def test_a_name_that_can_be_a_file_name_is_kept(text: str) -> None:
    assert file_name_of(text) == text


def test_other_names_become_different_names_inside_the_folder(tmp_path: Path) -> None:
    texts = ["", ".", "..", "../../x", "/etc/x", "a/b", "a\\b", "a b", "a\nb", "a\0b", " a", "a?",
             "-a", ".a", "\udcff", "x" * 300, "x" * 301, "雪" * 200]  # fmt: skip
    names = [file_name_of(text) for text in texts]
    assert len(set(names)) == len(texts)
    for name in names:
        (tmp_path / name).touch()
        assert (tmp_path / name).resolve().parent == tmp_path
        assert len(name.encode()) <= LONGEST_NAME
