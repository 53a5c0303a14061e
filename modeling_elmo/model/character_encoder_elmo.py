# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Characters to word vectors: convolutions, highways, projection, and a cache of what they gave.

Shapes: n words, M characters a word, d character vector, F convolution outputs, P word vector, D a lexicon's vector.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_elmo import ElmoConfig
from .initialization_elmo import initialized
from .linear_elmo import is_plain, multiply, product, rows_are_independent
from .lstm_cpu_elmo import CHUNK_BYTES, sigmoid
from .word_cache_elmo import WordCache


class ElmoHighway(nn.Module):
    """`g * relu(transform(x)) + (1 - g) * x` with `g = sigmoid(carry(x))`: the gate is called as in bilm-tf."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.carry = initialized(nn.Linear(size, size), normal=size**-0.5, bias=-2.0)
        self.transform = initialized(nn.Linear(size, size), normal=size**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        transformed = F.relu(multiply(self.transform, features))
        return torch.lerp(features, transformed, sigmoid(multiply(self.carry, features)))


class ElmoCharacterEncoder(nn.Module):
    """Characters to word vectors: convolutions, maximum over positions, highway layers, projection.

    With a lexicon, the word's own vector goes into the projection before what its characters give.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        size = config.character_embedding_size
        self.embeddings = initialized(nn.Embedding(config.vocab_size, size), uniform=1.0, zero_row=True)
        self.convolutions: Any = nn.ModuleList()
        for width, count in config.filters:
            recipe = {"uniform": 0.05} if config.cnn_activation == "relu" else {"normal": (width * size) ** -0.5}
            self.convolutions.append(initialized(nn.Conv1d(size, count, width), **recipe))
        self.highways = nn.ModuleList(ElmoHighway(config.num_filters) for _ in range(config.num_highway_layers))
        self.projection: nn.Module | None = None
        if config.use_character_projection:
            projection = nn.Linear(config.char_projection_input_size, config.projection_size)
            self.projection = initialized(projection, normal=config.char_projection_input_size**-0.5)
        self.lexicon: nn.Module | None = None
        if config.lexicon_size:
            lexicon = nn.Embedding(config.lexicon_size, config.lexicon_embedding_size or 0)
            self.lexicon = initialized(lexicon, normal=1.0, zero_row=True)
        self.activation = F.relu if config.cnn_activation == "relu" else torch.tanh
        self.max_filter_width = config.max_filter_width
        self.config = config
        self.cache: WordCache | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [n, M], or [n, 1 + M] with a lexicon, of distinct words to word vectors [n, P]."""
        if not self._may_cache(ids):
            return self._encode_ids(ids)
        if self.cache is None or self.cache.size != self.config.word_cache_size:
            self.cache = WordCache(self.config.word_cache_size)
        return self.cache.lookup(ids, self._encode_ids, list(self.parameters()))

    def _may_cache(self, ids: Tensor) -> bool:
        """Whether a word's vector depends on the parameters alone: no gradient, no adapter, no hook, no neighbours."""
        if torch.is_grad_enabled() or self.training or torch.is_autocast_enabled("cpu"):
            return False
        if not self.config.word_cache_size or not len(ids):
            return False
        own = (ElmoCharacterEncoder, ElmoHighway, nn.ModuleList)
        modules = all(type(module) in own or is_plain(module, ids) for module in self.modules())
        return modules and all(rows_are_independent(weight) for weight in self.parameters())

    def __getstate__(self) -> dict[str, Any]:
        """Without the cache: it is no part of the model, of its copies and of its hash."""
        return {**self.__dict__, "cache": None}

    def _encode_ids(self, ids: Tensor) -> Tensor:
        if self.lexicon is None:
            return self.encode(self.embeddings(self.cut(ids)))
        return self.encode(self.embeddings(self.cut(ids[:, 1:])), self.lexicon(ids[:, 0]))

    def embed(self, ids: Tensor) -> Tensor:
        """What `inputs_embeds` is made of: ids [..., M] to character vectors [..., M, d].

        With a lexicon, ids [..., 1 + M] to [..., D + M * d]: the word's vector and those of its characters in a row.
        """
        if self.lexicon is None:
            return self.embeddings(ids)
        return torch.cat([self.lexicon(ids[..., 0]), self.embeddings(ids[..., 1:]).flatten(-2)], dim=-1)

    def encode_embeddings(self, embeddings: Tensor) -> Tensor:
        """Rows of `embed` to word vectors [n, P]."""
        if self.lexicon is None:
            return self.encode(embeddings)
        words = embeddings[:, : self.config.lexicon_embedding_size]
        characters = embeddings[:, words.shape[1] :].unflatten(1, (-1, self.config.character_embedding_size))
        return self.encode(characters, words)

    def cut(self, ids: Tensor) -> Tensor:
        """Drop columns of padding that change nothing: one window of nothing but padding stays for the maximum."""
        columns = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        longest = int((columns * (ids != self.config.character_pad_id)).max()) if len(ids) else 0
        return ids[:, : longest + self.max_filter_width]

    def encode(self, characters: Tensor, lexicon: Tensor | None = None) -> Tensor:
        """Character vectors [n, M, d], and the lexicon's vectors [n, D] if there is one, to word vectors [n, P]."""
        bytes_a_word = characters.shape[1] * max(len(convolution.weight) for convolution in self.convolutions) * 4
        blocks = [self._features(block) for block in characters.split(max(1, CHUNK_BYTES // bytes_a_word))]
        words = torch.cat(blocks) if len(blocks) > 1 else blocks[0]
        for highway in self.highways:
            words = highway(words)
        if lexicon is not None:
            words = torch.cat([lexicon, words], dim=1)
        return words if self.projection is None else multiply(self.projection, words)

    def _features(self, characters: Tensor) -> Tensor:
        """The convolutions' maxima over positions, activated: [n, M, d] to [n, F]."""
        features = []
        for convolution in self.convolutions:
            if is_plain(convolution, characters):
                # A product over all windows: faster than PyTorch's convolution of so few channels.
                windows = characters.unfold(1, convolution.kernel_size[0], 1)
                rows = windows.reshape(-1, windows.shape[2] * windows.shape[3])
                maxima = product(rows, convolution.weight, convolution.bias)
                maxima = maxima.view(*windows.shape[:2], len(convolution.weight)).amax(1)
            else:
                maxima = convolution(characters.transpose(1, 2)).amax(2)
            features.append(self.activation(maxima))
        return torch.cat(features, dim=1)
