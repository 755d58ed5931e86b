"""A kettle that updates itself: python kettle.py mqtt://127.0.0.1:1883 kettle-7 /var/lib/kettle"""

import asyncio
import sys
from pathlib import Path
from urllib.request import urlretrieve

from device_sim.offers import Offer
from device_sim.ota_client import OtaClient


async def main(broker: str, token: str, folder: Path) -> None:
    async def install(offer: Offer) -> None:
        image = folder / "image.bin"
        await asyncio.to_thread(urlretrieve, str(offer.link), image)
        await offer.verify(image)  # size and sha256, as the specification says
        await offer.progress("installing", 50)
        image.rename(folder / "firmware.bin")  # a real kettle writes its other slot here
        print(f"{token} installed {offer.version}", flush=True)

    client = OtaClient(
        broker,
        app_version="smart-kettle-v1",
        token=token,
        running="1.0.0",  # at the very first start; later, the state file knows
        install=install,
        state_file=folder / "ota.json",
    )
    print(f"{token} runs {client.running}", flush=True)
    await client.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
