"""Where each row of a stream came from, in a few bytes."""

from array import array

from appliance.run.rows import Row
from appliance.sentence import Sentence, say


class Places:
    """File and number of every row, by the order in which they were read."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._numbers: dict[str, int] = {}
        self._file = array("I")
        self._row = array("Q")

    def __len__(self) -> int:
        return len(self._row)

    def add(self, row: Row) -> None:
        """The next row."""
        number = self._numbers.get(row.file)
        if number is None:
            number = self._numbers[row.file] = len(self._files)
            self._files.append(row.file)
        self._file.append(number)
        self._row.append(row.row)

    def of(self, at: int) -> tuple[str, int]:
        """(file, row) of the row that was read as number `at`, from 0."""
        return self._files[self._file[at]], self._row[at]

    def named(self, at: int, beside: int) -> Sentence:
        """How a person is told of row `at` where row `beside` is spoken of."""
        file, row = self.of(at)
        if self._file[at] == self._file[beside]:
            return say("row {row}", row=row)
        return say("row {row} of {file}", row=row, file=file)
