"""Runs openmv-ota's server with a rollout of one release; for `peers.py`, with the Python that has it.

Arguments: port, path of the database. Every device counts as registered: its registry is a service on the internet.
Prints "ready" when it is about to serve.
"""

import sys

import uvicorn
from openmv_ota.server.app import create_app
from openmv_ota.server.metastore import build_metastore
from openmv_ota.server.settings import ServerSettings
from openmv_ota.server.verify import Registration


class Everybody:
    """A registry that knows every device."""

    def verify(self, _board: str, _device: str) -> Registration:
        """Say yes."""
        return Registration(registered=True)


settings = ServerSettings(
    database_url=f"sqlite:///{sys.argv[2]}",
    storage_location=f"{sys.argv[2]}-files",
    swd_ids_verify_url="http://127.0.0.1:1/",
    capability_secret="bench",  # noqa: S106 - of a server that lives for a minute
    base_url="http://127.0.0.1",
    checkin_rate_per_min=0,
    checkin_rate_per_prefix_per_min=0,
    advisory_scan_interval_s=0,
    webhook_interval_s=0,
)
store = build_metastore(settings)
store.migrate()
store.add_release(
    release_id="r2",
    product_id=1,
    product="kettle",
    version="1.1.0",
    payload_version=2,
    manifest_key="m",
    image_key="i",
    min_platform_version="0",
    image_sha256="ab" * 32,
    image_size=1,
    representations=[],
)
store.add_rollout(rollout_id="ro", release_id="r2", product_id=1, cohort="__default__", percent=100)
app = create_app(settings, metastore=store, verifier=Everybody())
print("ready", flush=True)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
