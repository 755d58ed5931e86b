"""What somebody would write instead: aiomqtt and aiosqlite, one commit for each message; for `peers.py`.

Arguments: host, port, user, password, path of the database, number of devices. Publishes an offer for each device,
prints "offered", then stores each report and clears its offer, and prints "stored" after the last.
"""

import asyncio
import json
import sys

import aiomqtt
import aiosqlite

OFFER = json.dumps({"configId": "1.1.0", "statusCode": 200, "config": {"link": "x" * 300}})


async def main(host: str, port: str, user: str, password: str, path: str, devices: int) -> None:
    """Offer, then store what is reported."""
    async with (
        aiosqlite.connect(path) as database,
        aiomqtt.Client(
            host, int(port), username=user, password=password, identifier="peer-script", max_queued_outgoing_messages=0
        ) as client,
    ):
        await database.execute("PRAGMA journal_mode=WAL")
        await database.execute("CREATE TABLE device (token TEXT PRIMARY KEY, version TEXT, offered TEXT)")
        rows = [(f"tok-{number}", "1.0.0", None) for number in range(devices)]
        await database.executemany("INSERT INTO device VALUES (?, ?, ?)", rows)
        await database.commit()
        await client.subscribe("kp1/+/cmx_ota/+/applied/json", qos=1)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(devices):
            await database.execute("UPDATE device SET offered = '1.1.0' WHERE token = ?", (f"tok-{number}",))
            await database.commit()
            topic = f"kp1/kettle-v1/cmx_ota/tok-{number}/config/json/status"
            await client.publish(topic, OFFER, qos=1, retain=True)
        print("offered", flush=True)
        stored = 0
        async for message in client.messages:
            base, token = str(message.topic).rsplit("/", 2)[0], str(message.topic).split("/")[3]
            version = json.loads(message.payload)["configId"]
            await database.execute("UPDATE device SET version = ?, offered = NULL WHERE token = ?", (version, token))
            await database.commit()
            await client.publish(f"{base}/config/json/status", b"", qos=1, retain=True)
            stored += 1
            if stored == devices:
                print("stored", flush=True)
                return


asyncio.run(main(*sys.argv[1:6], int(sys.argv[6])))
