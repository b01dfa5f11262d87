"""Rows that are nearly the same: MinHash finds candidates in one pass, the real Jaccard index judges them.

A second pass makes the shingles of candidates anew, so that of all other rows only 128 bytes are ever kept.
A row is compared with few others (`CANDIDATES`), so the work grows with the rows and not with their pairs,
also where thousands are alike.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.data.checks.batch import Batch, hash_of, said
from appliance.data.checks.finding import Hits
from appliance.data.checks.letters import numbers_of
from appliance.data.checks.places import Places
from appliance.data.checks.shingles import BANDS, band_hashes, row_starts, shingles
from appliance.run.rows import Row
from appliance.sentence import Sentence, say

ALIKE = 0.8
"""Jaccard index of two rows' shingles from which they are nearly the same."""

CANDIDATES = 4
"""Earlier rows that a row is compared with: those that share most bands with it."""

NONE = -1
"""Stands for no row."""

WAITING = 4
"""Batches whose signatures are not made yet, at most."""

AT_A_TIME = 4096
"""Rows whose candidates are put in order at a time."""

Pair = tuple[int, int, float]
"""(row, earlier row, Jaccard index)."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that share a band with earlier ones."""

    rows: NDArray[np.int32]
    """Rising."""
    earlier: NDArray[np.int32]
    """(rows, CANDIDATES): the likeliest first; NONE where there are fewer."""


class NearDuplicates:
    """Looks at batches in order; then says which rows are nearly the same as an earlier one."""

    def __init__(self) -> None:
        self._numbers = array("Q")
        self._beside = array("Q")
        self._bands: list[NDArray[np.uint64]] = []
        self._has_letters: list[NDArray[np.bool_]] = []
        self._worker = ThreadPoolExecutor(1)  # numpy lets go of the interpreter's lock
        self._waiting: list[Future[NDArray[np.uint64]]] = []

    def look(self, batch: Batch) -> None:
        """Keep the signatures of the rows of `batch`."""
        codes, starts = numbers_of(batch.letters)
        cuts = starts[::2].tolist()
        self._numbers.extend(
            hash_of(codes[first:last].tobytes()) if last > first else 0
            for first, last in zip(cuts[:-1], cuts[1:], strict=True)
        )
        self._beside.extend(map(_beside, batch.rows))
        self._has_letters.append(np.diff(row_starts(batch.letters)) > 0)
        if len(self._waiting) >= WAITING:
            self._bands.append(self._waiting.pop(0).result())
        self._waiting.append(self._worker.submit(_signatures, batch))

    def candidates(self, known: NDArray[np.bool_]) -> Candidates:
        """Which rows may be nearly the same as which earlier ones. Ends the first pass.

        known: for every row whether it is the same as another one already, and not looked at
        """
        self._bands += [future.result() for future in self._waiting]
        self._waiting = []
        self._worker.shutdown()
        nothing = Candidates(np.zeros(0, np.int32), np.zeros((0, CANDIDATES), np.int32))
        if not self._bands:
            return nothing
        used = np.flatnonzero(np.concatenate(self._has_letters) & ~known).astype(np.int32)
        found: list[NDArray[np.int32]] = []
        for band in range(BANDS):
            found += _earlier(np.concatenate([each[:, band] for each in self._bands])[used], used)
        self._bands = []
        likeliest = _likeliest(used, found)
        beside = np.array(self._beside, dtype=np.uint64)
        likeliest.earlier[beside[likeliest.earlier] != beside[likeliest.rows][:, None]] = NONE
        return likeliest

    def same_numbers(self, pair: Pair) -> bool:
        """Whether the two rows hold the same numbers and signs."""
        return self._numbers[pair[0]] == self._numbers[pair[1]]

    def hits(self, pairs: Iterable[Pair], validation_from: int) -> Iterator[Hits]:
        """What is told of `pairs`; rows from number `validation_from` on are those of the validation."""
        groups: dict[str, list[Pair]] = {"near-leakage": [], "near-duplicates": [], "other-numbers": []}
        for pair in pairs:
            row, other, _ = pair
            if other < validation_from <= row:
                groups["near-leakage"].append(pair)
            elif self.same_numbers(pair):
                groups["near-duplicates"].append(pair)
            else:
                groups["other-numbers"].append(pair)
        for code, members in groups.items():
            at = np.array([row for row, _, _ in members], dtype=np.int64)
            twins = np.array([other for _, other, _ in members], dtype=np.int64)
            yield Hits(code, at, _words(members, code), "row", None if code == "near-leakage" else twins)


def alike(candidates: Candidates, again: Iterable[Batch]) -> Iterator[Pair]:
    """The candidates that are nearly the same, rising by row; at most one pair for a row.

    A row is never paired with one that was itself paired with an earlier one: whoever deletes the first of
    every pair keeps a twin of each.

    again: the same batches once more
    """
    last_use = _last_use(candidates)
    wanted = {int(row): place for place, row in enumerate(candidates.rows)}
    held: dict[int, NDArray[np.uint64]] = {}
    paired: set[int] = set()
    for row, own in _shingles_again(again, last_use):
        place = wanted.get(row)
        earlier = candidates.earlier[place].tolist() if place is not None else []
        for other in earlier:
            if other != NONE and other not in paired:
                score = jaccard(own, held[other])
                if score >= ALIKE:
                    paired.add(row)
                    yield row, other, score
                    break
        for other in {row, *earlier}:
            if other != NONE and last_use[other] <= row:
                held.pop(other, None)
        if last_use[row] > row and row not in paired:
            held[row] = own


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Share of the shingles of either that both have; each array sorted, without doubles, not empty."""
    small, large = (one, other) if len(one) <= len(other) else (other, one)
    places = np.searchsorted(large, small)
    common = int(np.count_nonzero(large[np.minimum(places, len(large) - 1)] == small))
    return common / (len(one) + len(other) - common)


def _beside(row: Row) -> int:
    """What parts rows with the same question and answer: the label, the worse answer."""
    if row.label is None and row.rejected is None:
        return 0
    rejected = said(row.rejected) if row.rejected else ""
    return hash_of(f"{row.label}\x1e{rejected}".encode("utf-8", "surrogatepass"))


def _signatures(batch: Batch) -> NDArray[np.uint64]:
    return band_hashes(*shingles(batch.letters, row_starts(batch.letters)))


def _earlier(hashes: NDArray[np.uint64], rows: NDArray[np.int32]) -> list[NDArray[np.int32]]:
    """For each row the first of those with its hash, and the one before it; NONE where it is the first."""
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = in_order[1:] != in_order[:-1]
    places = np.arange(len(order))
    heads = np.maximum.accumulate(np.where(first, places, 0))
    found = []
    for others in (heads, places - 1):
        earlier = np.full(len(rows), NONE, dtype=np.int32)
        earlier[order] = np.where(first, np.int32(NONE), rows[order[others]])
        found.append(earlier)
    return found


def _likeliest(rows: NDArray[np.int32], found: list[NDArray[np.int32]]) -> Candidates:
    """The few that stand in most of `found`, for the rows that have any."""
    any_found = np.zeros(len(rows), dtype=bool)
    for each in found:
        any_found |= each >= 0
    with_any = np.flatnonzero(any_found)
    chosen = np.full((len(with_any), CANDIDATES), NONE, dtype=np.int32)
    for start in range(0, len(with_any), AT_A_TIME):
        part = with_any[start : start + AT_A_TIME]
        table = np.sort(np.stack([each[part] for each in found], axis=1), axis=1)
        votes = (table[:, :, None] == table[:, None, :]).sum(axis=2)
        votes[:, 1:][table[:, 1:] == table[:, :-1]] = 0
        votes[table < 0] = 0
        best = np.argsort(-votes, axis=1, kind="stable")[:, :CANDIDATES]
        some = np.take_along_axis(votes, best, axis=1) > 0
        chosen[start : start + len(part)] = np.where(some, np.take_along_axis(table, best, axis=1), NONE)
    return Candidates(rows[with_any], chosen)


def _last_use(candidates: Candidates) -> dict[int, int]:
    """Of every row whose shingles are needed the last row that is compared with it."""
    last: dict[int, int] = {}
    for row, earlier in zip(candidates.rows.tolist(), candidates.earlier.tolist(), strict=True):
        for other in (row, *earlier):
            last[other] = row
    last.pop(NONE, None)
    return last


def _shingles_again(
    again: Iterable[Batch], wanted: dict[int, int]
) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """(row, its shingles, sorted and each once) for the rows that are keys of `wanted`."""
    end = max(wanted, default=-1)
    for batch in again if wanted else ():
        rows = [place for place in range(len(batch.rows)) if batch.first + place in wanted]
        if rows:
            hashes, starts = shingles(batch.letters, row_starts(batch.letters))
            for place in rows:
                yield batch.first + place, np.unique(hashes[starts[place] : starts[place + 1]])
        if batch.first + len(batch.rows) > end:
            return


def _words(members: list[Pair], code: str) -> Callable[[int, Places], Sentence]:
    def words(position: int, places: Places) -> Sentence:
        row, other, score = members[position]
        where = places.named(other, row)
        share = int(score * 100) / 100  # never rounded up to all of it
        if code == "other-numbers":
            return say("is {share:.0%} the same as {where}; its numbers are others", share=share, where=where)
        if code == "near-leakage":
            return say("is {share:.0%} the same as {where}, which is trained", share=share, where=where)
        return say("is {share:.0%} the same as {where}", share=share, where=where)

    return words
