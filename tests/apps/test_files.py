"""Files of an App: what there is, and what cannot be seen."""

from pathlib import Path

import pytest

from layerscan.apps.files import exists
from layerscan.errors import ComposeError


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
