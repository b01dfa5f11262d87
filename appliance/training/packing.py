"""Which documents share one packed sequence, and the tensors of a packed sequence.

A pack is one row of tokens in which documents lie end to end. Nothing is padded and no document is
cut. Position ids restart at every document and `cu_seq_lens` says where each begins: attention
never crosses that line (`appliance.training.attention`).
"""

import bisect
import heapq
import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from appliance.run.plan import TrainingChoice
from appliance.training.encode import Example

if TYPE_CHECKING:
    import torch

JITTER = 0.25
"""How far, as a share of its length, a document may move in the order that it is packed in, so that
other documents meet in every epoch."""


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of `lengths` in packs of at most `capacity` tokens: longest first, each where least is left.

    Source: Johnson, Near-optimal bin packing algorithms, 1973, section 3; within 11/9 of the fewest packs.
    """
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, pack), least first
    for index in sorted(range(len(lengths)), key=lambda each: (-lengths[each], each)):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"a document of {length} tokens does not fit into {capacity}")
        place = bisect.bisect_left(room, (length, -1))
        if place < len(room):
            left, pack = room.pop(place)
        else:
            left, pack = capacity, len(packs)
            packs.append([])
        packs[pack].append(index)
        bisect.insort(room, (left - length, pack))
    return packs


def level_packs(
    lengths: Sequence[int], capacity: int, order: Sequence[int], count: int
) -> list[list[int]] | None:
    """The same documents in `count` packs of about the same size: in `order`, each where most is left.

    None, when one does not fit. Even packs make even optimizer steps: without this the last pack of
    best fit may hold a single short document that moves the weights as much as a full one.
    """
    packs: list[list[int]] = [[] for _ in range(count)]
    room = [(-capacity, pack) for pack in range(count)]  # a heap: most left first
    for index in order:
        left, pack = room[0]
        if -left < lengths[index]:
            return None
        packs[pack].append(index)
        heapq.heapreplace(room, (left + lengths[index], pack))
    return packs


class Schedule(Protocol):
    """Which documents lie in which pack."""

    def pack(self, number: int) -> list[int]:
        """Indices of the documents in the pack `number`."""


class PackSchedule:
    """The packs of every epoch: the same for the same seed, however often a run is interrupted."""

    def __init__(self, lengths: Sequence[int], *, capacity: int, seed: int) -> None:
        self._lengths = list(lengths)
        self._capacity = capacity
        self._seed = seed
        self._best_fit = best_fit_decreasing(self._lengths, capacity)
        self._epoch: tuple[int, list[list[int]]] | None = None

    @property
    def packs_per_epoch(self) -> int:
        """Packs in one pass over all documents; every epoch has as many."""
        return len(self._best_fit)

    def pack(self, number: int) -> list[int]:
        """Indices of the documents in the pack `number`, counted from 0 over all epochs."""
        epoch, place = divmod(number, self.packs_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._packs_of(epoch))
        return self._epoch[1][place]

    def _packs_of(self, epoch: int) -> list[list[int]]:
        chance = random.Random(f"{self._seed}:{epoch}")  # noqa: S311 - an order, not a secret
        keys = {index: -length * (1 + JITTER * chance.random()) for index, length in enumerate(self._lengths)}
        loose = sorted(keys, key=lambda index: keys[index])
        strict = sorted(loose, key=lambda index: -self._lengths[index])
        count = len(self._best_fit)
        packs = (
            level_packs(self._lengths, self._capacity, loose, count)
            or level_packs(self._lengths, self._capacity, strict, count)
            or [list(pack) for pack in self._best_fit]
        )
        chance.shuffle(packs)
        return packs


def total_steps(training: TrainingChoice, packs_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    return training.steps or math.ceil(training.epochs * packs_per_epoch / training.packs_per_step)


def most_learned(examples: Sequence[Example], capacity: int) -> int:
    """A bound of the learned tokens in one pack: as if the rows that teach most per token met, in part."""
    learned, room = 0.0, capacity
    for example in sorted(examples, key=lambda each: each.learned_tokens / len(each.ids), reverse=True):
        taken = min(room, len(example.ids))
        learned += example.learned_tokens * taken / len(example.ids)
        room -= taken
    return math.ceil(learned)


def collate(examples: Sequence[Example]) -> "dict[str, Any]":
    """One packed sequence of T tokens as the model's inputs. There is no attention mask, ever.

    input_ids, position_ids:        (1, T) int64
    cu_seq_lens_q, cu_seq_lens_k:   (documents + 1,) int32, from 0 to T
    max_length_q, max_length_k:     tokens in the longest document
    logits_to_keep:                 (learned,) int64, positions whose next token is learned
    targets:                        (learned,) int64, those next tokens
    """
    import torch

    ids: list[int] = []
    positions: list[int] = []
    bounds = [0]
    keep: list[int] = []
    for example in examples:
        start = len(ids)
        ids += example.ids
        positions += range(len(example.ids))
        # The first token of a document is predicted by nothing: what precedes it is another document.
        keep += [start + at - 1 for at, flag in enumerate(example.learned) if flag and at > 0]
        bounds.append(len(ids))
    kept = torch.tensor(keep, dtype=torch.long)
    flat = torch.tensor(ids, dtype=torch.long)
    cu_seq_lens = torch.tensor(bounds, dtype=torch.int32)
    longest = max(len(example.ids) for example in examples)
    return {
        "input_ids": flat[None],
        "position_ids": torch.tensor(positions, dtype=torch.long)[None],
        "cu_seq_lens_q": cu_seq_lens,
        "cu_seq_lens_k": cu_seq_lens,
        "max_length_q": longest,
        "max_length_k": longest,
        "logits_to_keep": kept,
        "targets": flat[kept + 1],
    }


class PackedDocuments:
    """A data set whose item n is the n-th pack of the schedule, as `collate` makes it."""

    def __init__(self, examples: Sequence[Example], schedule: Schedule, *, packs: int) -> None:
        self._examples = examples
        self._schedule = schedule
        self._packs = packs

    def __len__(self) -> int:
        return self._packs

    def __getitem__(self, number: int) -> "dict[str, torch.Tensor]":
        if not 0 <= number < self._packs:
            raise IndexError(number)
        return collate([self._examples[index] for index in self._schedule.pack(number)])
