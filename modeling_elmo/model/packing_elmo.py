# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""From a padded batch of words to packed sentences and back (see `lstm_elmo` for "packed").

Any mask will do: words may stand to the left or the right of the padding, with gaps, or be missing
altogether. What counts is their order.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Where each word of a padded batch [B, W] lies in the packed stream of N slots."""

    batch_sizes: list[int]
    order: Tensor  # [B], the sentence at each rank, longest first
    word_slots: Tensor  # [words], slot of each word, words in reading order of the batch
    boundary_slots: Tensor  # [2, B], slots of <S> and </S>; [0, B] without boundaries
    reverse: Tensor  # [N], slot of the mirrored time step; its own inverse
    steps: Tensor  # [steps], `batch_sizes` on the CPU, for what torch.compile traces

    @property
    def num_slots(self) -> int:
        return self.reverse.shape[0]


@torch.compiler.disable  # what it returns depends on the data
def pack(mask: Tensor, boundaries: bool) -> Packing:
    """The packing of a batch whose words are where `mask` [B, W] is true, `<S>` and `</S>` around each sentence."""
    device = mask.device
    lengths = mask.sum(1) + 2 * boundaries
    order = torch.argsort(lengths, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=device)

    ranked_lengths = lengths[order]
    num_steps = int(ranked_lengths[0]) if len(order) else 0
    live = (ranked_lengths[None, :] > torch.arange(num_steps, device=device)[:, None]).sum(1)
    batch_sizes: list[int] = live.tolist()
    first_slot = live.cumsum(0) - live  # of each step

    sentence, _ = mask.nonzero(as_tuple=True)
    step = mask.cumsum(1)[mask] - 1 + int(boundaries)
    word_slots = first_slot[step] + rank[sentence]
    boundary_steps = (
        torch.stack([torch.zeros_like(lengths), lengths - 1]) if boundaries else lengths.new_zeros(0, len(order))
    )
    boundary_slots = first_slot[boundary_steps] + rank

    slot_step = torch.repeat_interleave(torch.arange(num_steps, device=device), live)
    slot_rank = torch.arange(len(slot_step), device=device) - first_slot[slot_step]
    reverse = first_slot[ranked_lengths[slot_rank] - 1 - slot_step] + slot_rank
    steps = torch.tensor(batch_sizes, dtype=torch.long, device="cpu")
    return Packing(batch_sizes, order, word_slots, boundary_slots, reverse, steps)


def unpack(streams: Tensor, packing: Packing, mask: Tensor) -> Tensor:
    """Packed streams [directions, N, H] to vectors [B, W, directions * H]; zero where `mask` [B, W] is false."""
    slots = [packing.word_slots, packing.reverse[packing.word_slots]][: len(streams)]
    return place(torch.cat([stream[index] for stream, index in zip(streams, slots, strict=True)], dim=1), mask)


def place(words: Tensor, mask: Tensor) -> Tensor:
    """Vectors of the words in reading order, [words, D], to [B, W, D], zero where there is no word."""
    positions = mask.flatten().nonzero().squeeze(1)
    padded = words.new_zeros(mask.numel(), words.shape[1]).index_copy(0, positions, words)
    return padded.view(*mask.shape, words.shape[1])


def add_boundaries(packing: Packing, mask: Tensor) -> tuple[Packing, Tensor]:
    """A packing and mask [B, W + 2] in which `<S>` and `</S>` count as words directly around each sentence."""
    batch, width = mask.shape
    columns = torch.arange(width, device=mask.device)
    first = torch.where(mask, columns, width).amin(1) if width else columns.new_zeros(batch)
    last = torch.where(mask, columns, -1).amax(1) if width else columns.new_full((batch,), -1)
    empty = last < 0
    begin = torch.where(empty, 0, first)  # the words move one to the right
    end = torch.where(empty, 1, last + 2)

    slot_at = mask.new_full((batch, width + 2), -1, dtype=torch.long)
    slot_at[:, 1:-1][mask] = packing.word_slots
    slot_at.scatter_(1, torch.stack([begin, end], dim=1), packing.boundary_slots.T)
    framed = slot_at >= 0
    return packing._replace(word_slots=slot_at[framed]), framed


@torch.compiler.disable  # how many rows there are depends on the data
def unique_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows of ids [n, M] -> ([u, M], [n] index into them)."""
    # Sorting one hash a row is many times faster than sorting rows; a collision is seen and costs only time.
    generator = torch.Generator("cpu").manual_seed(0)
    factors = torch.randint(-(2**62), 2**62, (ids.shape[1],), generator=generator, device="cpu").to(ids.device)
    hashes, index = torch.unique((ids * factors).sum(1), return_inverse=True)
    example = index.new_empty(len(hashes)).scatter_(0, index, torch.arange(len(ids), device=ids.device))
    rows = ids[example]
    if not torch.equal(rows[index], ids):
        rows, index = torch.unique(ids, dim=0, return_inverse=True)
    return rows, index
