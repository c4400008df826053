"""Files of an App: what there is, and what cannot be seen."""

from pathlib import Path

import pytest

from layerscan.apps.files import exists, read_text
from layerscan.errors import ComposeError
from tests.builders.bounds_case import refused_if


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "file").touch()
    assert exists(str(tmp_path / "nowhere"))
    assert exists(str(tmp_path / "file"))
    assert not exists(str(tmp_path / "gone"))
    assert not exists(str(tmp_path / "file" / "below"))


def test_what_cannot_be_looked_for_is_not_taken_as_absent(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="File name too long"):
        exists(str(tmp_path / ("n" * 256)))


def test_what_is_outside_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    # So it is not told either that it is no file.
    with pytest.raises(ComposeError, match="is a symlink that leads out of"):
        read_text(str(tmp_path / "root" / "link"), root=str(tmp_path / "root"), longest=9)


@pytest.mark.parametrize("length", [8, 9, 10])
def test_so_much_of_a_file_is_read(tmp_path: Path, length: int) -> None:
    (tmp_path / "file").write_text("x" * length)
    with refused_if(length > 9, ComposeError, "file: is longer than 9 bytes"):
        read = read_text(str(tmp_path / "file"), root=str(tmp_path), longest=9)
        assert read == "x" * length
