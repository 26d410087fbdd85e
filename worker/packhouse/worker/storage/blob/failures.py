"""What Azure answers, as errors that a person can act on; the rules are shared with the producers."""

from __future__ import annotations

from typing import Final

from packhouse.schemas.blob.failures import asking, code_of, failure, lost_race, scrub, status_of

READER: Final = "the role Storage Blob Data Reader"
CONTRIBUTOR: Final = "the role Storage Blob Data Contributor"

__all__ = ["CONTRIBUTOR", "READER", "asking", "code_of", "failure", "lost_race", "scrub", "status_of"]
