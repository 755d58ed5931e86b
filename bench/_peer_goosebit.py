"""Runs goosebit with a fleet that is on 1.0.0 and a rollout of 1.1.0; for `peers.py`, with the Python that has it.

Arguments: port, number of devices. Settings come in by GOOSEBIT_*; prints "ready" when it is about to serve.
"""

import asyncio
import sys

import uvicorn
from goosebit import app
from goosebit.db.config import TORTOISE_CONF
from goosebit.db.models import Device, Hardware, Rollout, Software, UpdateStateEnum
from tortoise import Tortoise


async def fill(devices: int) -> None:
    """Make the tables and what is in them."""
    await Tortoise.init(config=TORTOISE_CONF)
    await Tortoise.generate_schemas()
    hardware, _ = await Hardware.get_or_create(model="default", revision="default")
    software = await Software.create(uri="https://firmware.example/kettle.swu", size=1, hash="ab" * 20, version="1.1.0")
    await software.compatibility.add(hardware)
    await Rollout.create(name="bench", software=software)
    rows = [
        Device(id=f"tok-{number}", hardware=hardware, sw_version="1.0.0", last_state=UpdateStateEnum.REGISTERED)
        for number in range(devices)
    ]
    await Device.bulk_create(rows, batch_size=500)
    await Tortoise.close_connections()


asyncio.run(fill(int(sys.argv[2])))
print("ready", flush=True)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
