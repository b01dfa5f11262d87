"""Shingles of a row, and MinHash signatures of its shingles.

A shingle is what stands in a window of four letters, a Han character counted as two: so two Han characters
or four Latin letters. A window begins at every character. Windows, not words: Chinese has no spaces.

Source: Broder, On the resemblance and containment of documents, 1997; Leskovec, Rajaraman, Ullman, Mining
of Massive Datasets, 3rd edition, section 3.4 (bands).
"""

import numpy as np
from numpy.typing import NDArray

from appliance.data.checks.letters import HAN, Letters

WINDOW = 4
BANDS, ROWS_A_BAND = 16, 6
"""Two rows whose Jaccard index is s share a band with probability 1 - (1 - s^6)^16: 99.2 % at 0.8, 99.99 %
at 0.9, 22 % at 0.5, 1 in 60,000 at 0.1."""

HASHES_AT_A_TIME = 1 << 16
"""Shingles that are worked on at a time: what 96 hashes of them take stays in the processor's cache."""

_random = np.random.default_rng(7)
_WEIGHTS = _random.integers(1, 1 << 63, WINDOW, dtype=np.uint64) | np.uint64(1)
_MASKS = _random.integers(0, 1 << 32, BANDS * ROWS_A_BAND, dtype=np.uint32)
_FACTORS = _random.integers(0, 1 << 32, BANDS * ROWS_A_BAND, dtype=np.uint32) | np.uint32(1)
_BAND_WEIGHTS = _random.integers(1, 1 << 63, ROWS_A_BAND, dtype=np.uint64) | np.uint64(1)


def row_starts(letters: Letters) -> NDArray[np.int64]:
    """Where each row begins in the letters of its question and answer, and where the last one ends."""
    return letters.starts[::2]


def shingles(letters: Letters, starts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(hashes, starts): 64 bits for each shingle of each text that `starts` cuts out of `letters`.

    A text with less than one window is one shingle; one without letters has none.
    """
    widths = 1 + (letters.classes == HAN).astype(np.int64)
    ends = np.concatenate(([0], np.cumsum(widths)))
    at = ends[:-1]
    spread = np.repeat(letters.codes, widths).astype(np.uint64)
    spread = np.concatenate((spread, np.zeros(WINDOW, np.uint64)))
    counts = np.diff(starts)
    text_end = np.repeat(ends[starts[1:]], counts)
    hashes = np.zeros(len(at), dtype=np.uint64)
    for place in range(WINDOW):
        inside = at + place < text_end
        hashes += np.where(inside, spread[at + place], np.uint64(0)) * _WEIGHTS[place]
    whole = at + WINDOW <= text_end
    whole[starts[:-1][counts > 0]] = True
    total = np.concatenate(([0], np.cumsum(whole, dtype=np.int64)))
    return _mixed(hashes[whole]), total[starts]


def band_hashes(hashes: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One number for each band of each text: (texts, BANDS). A text without shingles has zeros."""
    lows = (hashes >> np.uint64(32)).astype(np.uint32)
    found = np.zeros((len(starts) - 1, BANDS), dtype=np.uint64)
    filled = np.flatnonzero(np.diff(starts))
    begins = starts[filled]
    cuts = _cuts(begins, int(starts[-1]))
    for first, last in zip(cuts[:-1], cuts[1:], strict=True):
        part = slice(int(begins[first]), int(begins[last]) if last < len(begins) else int(starts[-1]))
        found[filled[first:last]] = _bands(lows[part], begins[first:last] - begins[first])
    return found


def _cuts(begins: NDArray[np.int64], end: int) -> list[int]:
    """Numbers of texts between which the work is cut, so that each piece has about as many shingles."""
    if not len(begins):
        return [0]
    wanted = np.arange(0, end, HASHES_AT_A_TIME)
    return [*sorted(set(np.searchsorted(begins, wanted).tolist()) - {len(begins)}), len(begins)]


def _bands(lows: NDArray[np.uint32], begins: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The same of one piece, each text of which has a shingle."""
    work = np.empty_like(lows)
    bands = np.zeros((len(begins), BANDS), dtype=np.uint64)
    for number in range(BANDS * ROWS_A_BAND):
        np.bitwise_xor(lows, _MASKS[number], out=work)
        np.multiply(work, _FACTORS[number], out=work)
        least = np.minimum.reduceat(work, begins)
        bands[:, number // ROWS_A_BAND] += least * _BAND_WEIGHTS[number % ROWS_A_BAND]
    return _mixed(bands)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of each number made to depend on all. Source: SplitMix64, Steele et al., 2014."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ (numbers >> np.uint64(31)), dtype=np.uint64)
