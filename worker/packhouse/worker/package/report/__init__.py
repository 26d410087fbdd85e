"""``report.html``: one page that tells, without a network, why the best candidate of a run is the best."""

from packhouse.worker.package.report.page import REPORT, report

__all__ = ["REPORT", "report"]
