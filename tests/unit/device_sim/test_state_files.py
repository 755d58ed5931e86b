"""What a device remembers comes back as it was, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from device_sim import state_files
from device_sim.state_files import Failure, Remembered, StateFileError

if TYPE_CHECKING:
    from pathlib import Path

STATES = [
    Remembered(running="1.0.0"),
    Remembered(running="1.0.0", started="1.1.0", starts=2),
    Remembered(running="1.0.0", failure=Failure(version="1.1.0", status_code=507, reason="no room left")),
]


@pytest.mark.parametrize("state", STATES)
def test_what_is_written_is_read(tmp_path: Path, state: Remembered) -> None:
    state_files.write(tmp_path / "ota.json", STATES[0])
    state_files.write(tmp_path / "ota.json", state)
    assert state_files.read(tmp_path / "ota.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["ota.json"]


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert state_files.read(tmp_path / "ota.json") is None


def test_a_write_that_is_cut_short_leaves_the_old_state(tmp_path: Path) -> None:
    state_files.write(tmp_path / "ota.json", STATES[0])
    (tmp_path / ".ota.json.new").write_text('{"running": "1.')
    assert state_files.read(tmp_path / "ota.json") == STATES[0]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"running": "1.0.0"}', '{"running": "one", "started": null, "starts": 0, "failure": null}',
     '{"running": "1.0.0", "started": 5, "starts": 0, "failure": null}',
     '{"running": "1.0.0", "started": null, "starts": "0", "failure": null}',
     '{"running": "1.0.0", "started": null, "starts": 0, "failure": {"version": "1.0.0"}}',
     '{"running": "1.0.0", "started": null, "starts": 0, "failure": {"version": "1.0.0", "status_code": "5"}}',
     '{"running": "1.0.0", "started": null, "starts": 0, "failure": []}'],
)  # fmt: skip
def test_a_file_that_is_no_state_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    (tmp_path / "ota.json").write_text(text)
    with pytest.raises(StateFileError, match=r"ota\.json cannot be used"):
        state_files.read(tmp_path / "ota.json")
    assert (tmp_path / "ota.json").read_text() == text


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateFileError):
        state_files.write(tmp_path / "gone" / "ota.json", STATES[0])
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateFileError):
        state_files.read(tmp_path / "folder")
