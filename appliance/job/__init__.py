"""Work on a run that outlives the terminal: evaluation, export, report, each in a process of its own.

A command and a job do the same work through the same functions (`appliance.job.work`), under the same lock
and with the same record: who looks at the run sees either. Nothing here imports torch before the work does.
"""

from appliance.job.control import start_job, stop_job
from appliance.job.state import JobState, Kind, read_job

__all__ = ["JobState", "Kind", "read_job", "start_job", "stop_job"]
