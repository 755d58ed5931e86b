"""The program of `script/chaos`, for less than half a minute: what it proves in long runs, it proves here."""

from __future__ import annotations

import asyncio
import re
import sys

from tests.brokers import ROOT

RUN = ["--minutes", "0.4", "--seed", "92", "--devices", "60", "--reports", "30"]
FAULTS = ["kill -9 of the service", "broker killed, its store wiped", "broker stopped (SIGSTOP)"]
SECONDS = 280.0
"""Until everybody is at rest and everything compared, on a machine that does something else as well."""
TOLD = {
    r"reports: ([\d,]+) sent, [\d,]+ acknowledged, [\d,]+ refused, [\d,]+ stored",
    r"reports: [\d,]+ sent, ([\d,]+) acknowledged, [\d,]+ refused, [\d,]+ stored",
    r"retained: [\d,]+ topics below kp1/kettle-v1/, ([\d,]+) offers",
    r"offers: ([\d,]+) heard of [\d,]+",
    r"operator's calls: .*?(\d+) 20[01]",
}
"""What was compared, each with how much of it; there has to be some."""


async def test_chaos_with_a_seed_does_its_faults_compares_everything_and_finds_nothing_lost() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.chaos",
        *RUN,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
    text = output.decode()
    assert process.returncode == 0, text
    done = re.findall(r"FAULT (.+) \(\d", text)
    # How many it comes to is up to the machine.
    assert done == FAULTS[: len(done)] != [], text
    for line in TOLD:
        found = re.search(line, text)
        assert found is not None, f"{line} in {text}"
        assert int(found[1].replace(",", "")) > 0, text
    assert re.search(r"^stages: [\d,]+ begun after another one$", text, re.MULTILINE), text
    assert text.endswith("nothing lost, nothing wrong\n"), text
