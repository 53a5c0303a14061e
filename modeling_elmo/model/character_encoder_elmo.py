# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Character encoder: convolutions, highway layers, projection, and a cache of word vectors.

Shapes: n words, M characters per word, d size of a character vector, F number of convolution filters, P size of a word
vector, D size of a lexicon vector.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_elmo import ElmoConfig
from .initialization_elmo import with_init
from .linear_elmo import apply_linear, is_batch_invariant, is_unmodified, linear
from .lstm_cpu_elmo import CHUNK_BYTES, sigmoid
from .word_cache_elmo import WordCache


class ElmoHighway(nn.Module):
    """Highway layer `g * relu(transform(x)) + (1 - g) * x` with `g = sigmoid(carry(x))`; names as in bilm-tf."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.carry = with_init(nn.Linear(size, size), normal=size**-0.5, bias=-2.0)
        self.transform = with_init(nn.Linear(size, size), normal=size**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        transformed = F.relu(apply_linear(self.transform, features))
        return torch.lerp(features, transformed, sigmoid(apply_linear(self.carry, features)))


class ElmoCharacterEncoder(nn.Module):
    """Character encoder: convolutions, maximum over positions, highway layers, projection.

    With a lexicon, the projection gets the lexicon vector of the word, followed by its character features.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        size = config.character_embedding_size
        self.embeddings = with_init(nn.Embedding(config.vocab_size, size), uniform=1.0, zero_padding_row=True)
        self.convolutions: Any = nn.ModuleList()
        for width, count in config.filters:
            init = {"uniform": 0.05} if config.cnn_activation == "relu" else {"normal": (width * size) ** -0.5}
            self.convolutions.append(with_init(nn.Conv1d(size, count, width), **init))
        self.highways = nn.ModuleList(ElmoHighway(config.num_filters) for _ in range(config.num_highway_layers))
        self.projection: nn.Module | None = None
        if config.use_character_projection:
            projection = nn.Linear(config.char_projection_input_size, config.projection_size)
            self.projection = with_init(projection, normal=config.char_projection_input_size**-0.5)
        self.lexicon: nn.Module | None = None
        if config.lexicon_size:
            lexicon = nn.Embedding(config.lexicon_size, config.lexicon_embedding_size or 0)
            self.lexicon = with_init(lexicon, normal=1.0, zero_padding_row=True)
        self.activation = F.relu if config.cnn_activation == "relu" else torch.tanh
        self.max_filter_width = config.max_filter_width
        self.config = config
        self.cache: WordCache | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """Compute word vectors [n, P] from distinct id rows [n, M], or [n, 1 + M] with a lexicon."""
        if not self._can_cache(ids):
            return self._encode_ids(ids)
        if self.cache is None or self.cache.size != self.config.word_cache_size:
            self.cache = WordCache(self.config.word_cache_size)
        return self.cache.lookup(ids, self._encode_ids, list(self.parameters()))

    def _can_cache(self, ids: Tensor) -> bool:
        """Return whether vectors depend on the parameters only: no gradient, adapter, or hook, and batch-invariant."""
        if torch.is_grad_enabled() or self.training or torch.is_autocast_enabled("cpu"):
            return False
        if not self.config.word_cache_size or not len(ids):
            return False
        containers = (ElmoCharacterEncoder, ElmoHighway, nn.ModuleList)
        is_standard = all(type(module) in containers or is_unmodified(module, ids) for module in self.modules())
        return is_standard and all(is_batch_invariant(weight) for weight in self.parameters())

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the cache, which copies, pickles, and hashes of the model do not contain."""
        return {**self.__dict__, "cache": None}

    def _encode_ids(self, ids: Tensor) -> Tensor:
        if self.lexicon is None:
            return self.encode_characters(self.embeddings(self.trim_padding(ids)))
        return self.encode_characters(self.embeddings(self.trim_padding(ids[:, 1:])), self.lexicon(ids[:, 0]))

    def embed_characters(self, ids: Tensor) -> Tensor:
        """Return the `inputs_embeds` of ids: character vectors [..., M, d] of ids [..., M].

        With a lexicon, ids [..., 1 + M] give [..., D + M * d]: the lexicon vector, followed by the character vectors.
        """
        if self.lexicon is None:
            return self.embeddings(ids)
        return torch.cat([self.lexicon(ids[..., 0]), self.embeddings(ids[..., 1:]).flatten(-2)], dim=-1)

    def encode_embeddings(self, embeddings: Tensor) -> Tensor:
        """Compute word vectors [n, P] from the result of `embed_characters`."""
        if self.lexicon is None:
            return self.encode_characters(embeddings)
        words = embeddings[:, : self.config.lexicon_embedding_size]
        characters = embeddings[:, words.shape[1] :].unflatten(1, (-1, self.config.character_embedding_size))
        return self.encode_characters(characters, words)

    def trim_padding(self, ids: Tensor) -> Tensor:
        """Remove padding columns that cannot change the result. One all-padding window remains for the max-pooling."""
        columns = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        max_length = int((columns * (ids != self.config.character_pad_id)).max()) if len(ids) else 0
        return ids[:, : max_length + self.max_filter_width]

    def encode_characters(self, characters: Tensor, lexicon: Tensor | None = None) -> Tensor:
        """Compute word vectors [n, P] from character vectors [n, M, d] and, with a lexicon, its vectors [n, D]."""
        bytes_per_word = characters.shape[1] * max(len(convolution.weight) for convolution in self.convolutions) * 4
        blocks = [self._features(block) for block in characters.split(max(1, CHUNK_BYTES // bytes_per_word))]
        words = torch.cat(blocks) if len(blocks) > 1 else blocks[0]
        for highway in self.highways:
            words = highway(words)
        if lexicon is not None:
            words = torch.cat([lexicon, words], dim=1)
        return words if self.projection is None else apply_linear(self.projection, words)

    def _features(self, characters: Tensor) -> Tensor:
        """Compute the activated maxima of the convolutions over positions, [n, F], from [n, M, d]."""
        features = []
        for convolution in self.convolutions:
            if is_unmodified(convolution, characters):
                # One product over all windows is faster than PyTorch's convolution with so few channels.
                windows = characters.unfold(1, convolution.kernel_size[0], 1)
                rows = windows.reshape(-1, windows.shape[2] * windows.shape[3])
                maxima = linear(rows, convolution.weight, convolution.bias)
                maxima = maxima.view(*windows.shape[:2], len(convolution.weight)).amax(1)
            else:
                maxima = convolution(characters.transpose(1, 2)).amax(2)
            features.append(self.activation(maxima))
        return torch.cat(features, dim=1)
