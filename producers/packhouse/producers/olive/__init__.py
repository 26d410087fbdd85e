"""Reading finished runs of Microsoft Olive, from its files or from its objects. Olive itself is not needed."""

from packhouse.producers.olive.live import from_footprints, from_workflow_output
from packhouse.producers.olive.output import read_output_dir

__all__ = ["from_footprints", "from_workflow_output", "read_output_dir"]
