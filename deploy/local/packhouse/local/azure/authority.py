"""A certificate authority of our own, so that everything is https as it is on Azure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packhouse.local.azure.identity import BLOB_DOMAIN, write_private

ARM_HOST: Final = "management.azure.com"
LOGIN_HOST: Final = "login.microsoftonline.com"
_NAMES: Final = (ARM_HOST, LOGIN_HOST, f"*{BLOB_DOMAIN}", "localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files: the authority that clients trust, the certificate that servers show, and its private key."""

    authority: Path
    chain: Path
    key: Path


def certificates_in(folder: Path) -> Certificates:
    """The certificates in a folder, made where any is missing.

    The authority's own key is never written: nobody, we included, can issue another certificate that clients trust.
    """
    made = Certificates(folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
    if all(file.is_file() for file in (made.authority, made.chain, made.key)):
        return made
    import trustme

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="Packhouse", organization_unit_name="stand-in for Azure")
    leaf = authority.issue_cert(*_NAMES)
    write_private(made.key, leaf.private_key_pem.bytes().decode())
    write_private(made.chain, "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems))
    write_private(made.authority, authority.cert_pem.bytes().decode())
    return made
