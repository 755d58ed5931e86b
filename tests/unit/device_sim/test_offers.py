"""An offer, and whether an image is the one that it means."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from device_sim.offers import InstallError, Offer, VerificationError, read_offer
from protocol.errors import PayloadError
from protocol.progress import ProgressState

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(IMAGE).hexdigest()


class Told(list[tuple[ProgressState, int | None, str | None]]):
    async def __call__(self, state: ProgressState, percent: int | None, message: str | None) -> None:
        self.append((state, percent, message))


def offer(specification: object) -> Offer:
    return read_offer("1.1.0", json.dumps(specification), Told())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(IMAGE)
    return path


@pytest.mark.parametrize(
    "specification",
    [{"sha256": SHA256}, {"sha256": SHA256.upper()}, {"size": len(IMAGE)}, {"size": len(IMAGE), "sha256": SHA256}],
)
async def test_the_right_image_is_verified(image: Path, specification: object) -> None:
    await offer(specification).verify(image)


@pytest.mark.parametrize(
    ("specification", "reason"),
    [
        ({"sha256": "0" * 64}, "the specification says 0000"),
        ({"size": 5}, "1280000 bytes, the specification says 5"),
        ({"size": len(IMAGE), "sha256": "f" * 64}, "sha256"),
        ({"sha256": "abc"}, "64 hexadecimal"),
        ({"sha256": 5}, "64 hexadecimal"),
        ({"size": "5"}, "number of bytes"),
        ({"size": True}, "number of bytes"),
        ({"size": -1}, "number of bytes"),
        ({"link": "x"}, "neither sha256 nor size"),
        ("text", "neither sha256 nor size"),
    ],
)
async def test_any_other_is_not(image: Path, specification: object, reason: str) -> None:
    with pytest.raises(VerificationError, match=reason) as caught:
        await offer(specification).verify(image)
    assert caught.value.status_code == 422


async def test_an_image_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await offer({"size": 5}).verify(tmp_path / "gone")


@pytest.mark.parametrize(
    ("specification", "link"), [({"link": "https://x"}, "https://x"), ({"link": 5}, None), ([], None)]
)
def test_the_link_is_a_text_or_absent(specification: object, link: str | None) -> None:
    assert offer(specification).link == link


async def test_progress_is_said_in_the_words_of_the_protocol() -> None:
    told = Told()
    offered = read_offer("1.1.0", "{}", told)
    await offered.progress("downloading", 40, "half way")
    await offered.progress("rebooting")
    assert told == [(ProgressState.DOWNLOADING, 40, "half way"), (ProgressState.REBOOTING, None, None)]
    for state, percent in (("flying", None), ("downloading", 101), ("downloading", -1)):
        with pytest.raises(ValueError, match=r"flying|percentage"):
            await offered.progress(state, percent)


def test_a_specification_that_is_no_json_is_refused() -> None:
    with pytest.raises(PayloadError):
        read_offer("1.1.0", "{", Told())


@pytest.mark.parametrize("status_code", [200, 204, 299, 99, 600])
def test_a_failure_cannot_say_that_all_is_well(status_code: int) -> None:
    with pytest.raises(ValueError, match="does not say that something failed"):
        InstallError("no", status_code=status_code)
