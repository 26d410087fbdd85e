"""``python -m packhouse.local.azure.standin FOLDER PORT AZURITE_PORT``: the stand-in, until it is ended."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from packhouse.local.azure.authority import certificates_in
from packhouse.local.azure.identity import Identity
from packhouse.local.azure.place import Place
from packhouse.local.azure.standin.arm import Arm
from packhouse.local.azure.standin.blobs import Blobs
from packhouse.local.azure.standin.control import Control
from packhouse.local.azure.standin.gate import Gate
from packhouse.local.azure.standin.login import Login

_AZURITE_SECONDS: Final = 60.0


def main(folder: str, port: str, azurite_port: str) -> None:
    """Serve, once Azurite answers."""
    place = Place(Path(folder))
    identity = Identity.kept_in(place.identity)
    certificates = certificates_in(place.certificates)
    blobs = Blobs(identity, int(azurite_port), certificates.authority)
    _wait_for(int(azurite_port))
    blobs.make_containers()
    arm = Arm(identity, blobs, place.assets)
    control = Control(arm, lambda: gate.log, lambda: gate.faults)
    gate = Gate(int(port), certificates, arm=arm, login=Login(identity), blobs=blobs, control=control)
    signal.signal(signal.SIGTERM, _leave)
    with gate:
        gate.serve_forever()


def _leave(_number: int, _frame: object) -> None:
    sys.exit(0)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _AZURITE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
