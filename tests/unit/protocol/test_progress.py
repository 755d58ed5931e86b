from __future__ import annotations

import pytest

from protocol import progress, topics
from protocol.errors import PayloadError
from protocol.progress import ProgressReport, ProgressState
from protocol.topics import Instances

ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/progress/json", Instances())


@pytest.mark.parametrize("percent", [None, 0, 100])
@pytest.mark.parametrize("state", list(ProgressState))
def test_progress_is_read_back(state: ProgressState, percent: int | None) -> None:
    payload = progress.encode(config_id="1.1.0", state=state, percent=percent, message="slot B")
    assert progress.decode(ADDRESS, payload) == ProgressReport(
        address=ADDRESS, config_id="1.1.0", state=state, percent=percent, message="slot B"
    )


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b'{"configId":"1.1.0"}', "member-missing"),
        (b'{"state":"installing"}', "member-missing"),
        (b'{"configId":"1.1.0","state":1}', "member-type"),
        (b'{"configId":"1.1.0","state":"Installing"}', "member-out-of-range"),
        (b'{"configId":"1.1.0","state":"installing","percent":-1}', "member-out-of-range"),
        (b'{"configId":"1.1.0","state":"installing","percent":"5"}', "member-type"),
        (b'{"configId":"1.1.0","state":"installing","eta":5}', "member-unknown"),
        (b"", "payload-not-json"),
    ],
)
def test_other_progress_is_refused(payload: bytes, code: str) -> None:
    with pytest.raises(PayloadError) as refused:
        progress.decode(ADDRESS, payload)
    assert refused.value.code == code
