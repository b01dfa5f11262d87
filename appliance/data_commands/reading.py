"""Rows of the files that a command was given, as often as they are needed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from appliance.run.plan import DataFile

if TYPE_CHECKING:
    from appliance.data.read import FileReport
    from appliance.run.rows import Problem, Row


class Reader:
    """Reads the files anew each time it is called, in constant memory."""

    def __init__(self, files: Sequence[DataFile]) -> None:
        self._files = files
        self.reports: tuple[FileReport, ...] = ()
        """What the files turned out to be; there once they were read to their end."""

    def __call__(self) -> "Iterator[Row | Problem]":
        """The rows of all files in order, and what is wrong with those that are none.

        Raises: BadInput, when a file cannot be read as a whole, or is not what it was the last time.
        """
        from appliance.data.read import stream
        from appliance.data.tally import files_changed

        reports: list[FileReport] = []
        for file in self._files:
            streamed = stream(file)
            yield from streamed
            reports += streamed.reports
        if self.reports and _hashes(self.reports) != _hashes(reports):
            raise files_changed()
        self.reports = tuple(reports)


def _hashes(reports: "Sequence[FileReport]") -> list[str]:
    return [report.sha256 for report in reports]
