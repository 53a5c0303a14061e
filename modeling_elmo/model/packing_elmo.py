# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Conversion between a padded batch of words and packed sentences (see `lstm_elmo` for the packed order).

Any mask is valid: left or right padding, gaps, and empty rows. Only the order of the words matters.

Shapes: B sentences, W words, D dimensions, N slots of the packed batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Slots of the words of a padded batch in the packed order, and the conversion of tensors between both."""

    mask: Tensor  # [B, W], true for words
    batch_sizes: list[int]
    batch_sizes_cpu: Tensor  # [steps], `batch_sizes` as a tensor on the CPU, which torch.compile can trace
    sorted_indices: Tensor  # [B], sentences by decreasing length
    word_slots: Tensor  # [words], slot of each word, words in the reading order of the batch
    boundary_slots: Tensor  # [2, B], slots of <S> and </S>; [0, B] without boundaries
    reverse_index: Tensor  # [N], slot of the mirrored time step; it is its own inverse

    @property
    def num_slots(self) -> int:
        """Number N of slots."""
        return self.reverse_index.shape[0]

    def slots(self, direction: int) -> Tensor:
        """Return the slot of each word, [words], in the time order of the direction (0 forward, 1 backward)."""
        return self.reverse_index[self.word_slots] if direction else self.word_slots

    def unpack(self, layer: Tensor) -> Tensor:
        """Convert a packed layer [directions, N, D] to vectors [B, W, directions * D]; zero outside the mask."""
        vectors = [outputs[self.slots(direction)] for direction, outputs in enumerate(layer)]
        return self.scatter(torch.cat(vectors, dim=1))

    def scatter(self, vectors: Tensor) -> Tensor:
        """Convert one vector per word, [words, D], to [B, W, D]; zero outside the mask."""
        positions = self.mask.flatten().nonzero().squeeze(1)
        padded = vectors.new_zeros(self.mask.numel(), vectors.shape[1]).index_copy(0, positions, vectors)
        return padded.view(*self.mask.shape, vectors.shape[1])

    def with_boundaries(self) -> "Packing":
        """Return the packing of a batch [B, W + 2] in which `<S>` and `</S>` are words next to each sentence."""
        batch, width = self.mask.shape
        columns = torch.arange(width, device=self.mask.device)
        first = torch.where(self.mask, columns, width).amin(1) if width else columns.new_zeros(batch)
        last = torch.where(self.mask, columns, -1).amax(1) if width else columns.new_full((batch,), -1)
        is_empty = last < 0
        # The words move one column to the right.
        bos_columns = torch.where(is_empty, 0, first)
        eos_columns = torch.where(is_empty, 1, last + 2)

        slots = self.mask.new_full((batch, width + 2), -1, dtype=torch.long)
        slots[:, 1:-1][self.mask] = self.word_slots
        slots.scatter_(1, torch.stack([bos_columns, eos_columns], dim=1), self.boundary_slots.T)
        has_token = slots >= 0
        return self._replace(mask=has_token, word_slots=slots[has_token])

    def predicts_next(self) -> Tensor:
        """Return whether a slot has a next step in its sentence, [N]."""
        flags = [
            [True] * next_size + [False] * (size - next_size)
            for size, next_size in zip(self.batch_sizes, [*self.batch_sizes[1:], 0], strict=False)
        ]
        flat = [flag for step in flags for flag in step]
        return torch.tensor(flat, dtype=torch.bool, device=self.reverse_index.device)

    def shift(self, values: Tensor) -> Tensor:
        """Move the values of the slots with a next step to the slots of that step: [N, ...], zero at the first step."""
        return torch.cat([values.new_zeros(self.first_step_size, *values.shape[1:]), values])

    @property
    def first_step_size(self) -> int:
        """Number of slots of the first step."""
        return self.batch_sizes[0] if self.batch_sizes else 0


@torch.compiler.disable  # the sizes of the result depend on the data
def pack(mask: Tensor, boundaries: bool) -> Packing:
    """Compute the packing of a batch with words where `mask` [B, W] is true.

    Args:
        mask: True for words, [B, W].
        boundaries: Whether each sentence gets slots for `<S>` and `</S>`.
    """
    device = mask.device
    lengths = mask.sum(1) + 2 * boundaries
    sorted_indices = torch.argsort(lengths, descending=True, stable=True)
    rank = torch.empty_like(sorted_indices)
    rank[sorted_indices] = torch.arange(len(sorted_indices), device=device)

    sorted_lengths = lengths[sorted_indices]
    num_steps = int(sorted_lengths[0]) if len(sorted_indices) else 0
    step_sizes = (sorted_lengths[None, :] > torch.arange(num_steps, device=device)[:, None]).sum(1)
    batch_sizes: list[int] = step_sizes.tolist()
    first_slot = step_sizes.cumsum(0) - step_sizes  # [steps]

    sentence, _ = mask.nonzero(as_tuple=True)
    step = mask.cumsum(1)[mask] - 1 + int(boundaries)
    word_slots = first_slot[step] + rank[sentence]
    boundary_steps = (
        torch.stack([torch.zeros_like(lengths), lengths - 1])
        if boundaries
        else lengths.new_zeros(0, len(sorted_indices))
    )
    boundary_slots = first_slot[boundary_steps] + rank

    slot_step = torch.repeat_interleave(torch.arange(num_steps, device=device), step_sizes)
    slot_rank = torch.arange(len(slot_step), device=device) - first_slot[slot_step]
    reverse_index = first_slot[sorted_lengths[slot_rank] - 1 - slot_step] + slot_rank
    batch_sizes_cpu = torch.tensor(batch_sizes, dtype=torch.long, device="cpu")
    return Packing(mask, batch_sizes, batch_sizes_cpu, sorted_indices, word_slots, boundary_slots, reverse_index)


@torch.compiler.disable  # the number of rows depends on the data
def unique_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows of `ids` [n, M], [u, M], and the index [n] of each row in them."""
    # Sorting one hash per row is much faster than sorting rows. The check below detects collisions.
    generator = torch.Generator("cpu").manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (ids.shape[1],), generator=generator, device="cpu").to(ids.device)
    hashes, index = torch.unique((ids * factors).sum(1), return_inverse=True)
    example = index.new_empty(len(hashes)).scatter_(0, index, torch.arange(len(ids), device=ids.device))
    rows = ids[example]
    if not torch.equal(rows[index], ids):
        rows, index = torch.unique(ids, dim=0, return_inverse=True)
    return rows, index
