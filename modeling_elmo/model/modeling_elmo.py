# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in PyTorch: the biLM and the scalar mix of its layers, the language model, and classification heads.

The code follows the order of the data: characters, words, bidirectional LSTM layers, scalar mix.

Shapes: B sentences, W words, M characters per word, d character embedding, D lexicon, P word vector, C cells, H output
of one direction, L layers, N slots of the packed batch, V words of the vocabulary, K labels.

Importing this module has a side effect: forked child processes compute with one thread, see `fork_elmo`.

Source: Peters et al. 2018, "Deep contextualized word representations" (arXiv:1802.05365).
"""

import copy
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput
from transformers.utils import ModelOutput, can_return_tuple

from .character_encoder_elmo import ElmoCharacterEncoder
from .configuration_elmo import CHARACTER_INPUT, PAD_ID, RUNTIME_FIELDS, ElmoConfig
from .fork_elmo import reset_after_fork  # noqa: F401  # makes forked processes safe
from .initialization_elmo import with_init
from .layers_elmo import ElmoLayer, ElmoScalarMix, normalize_over_batch
from .linear_elmo import clear_prepacked

# Never executed. transformers finds the files of remote code through these imports.
from .lstm_common_elmo import LSTMLayerParams  # noqa: F401
from .lstm_cpu_elmo import PACKED  # noqa: F401
from .lstm_elmo import projected_lstm  # noqa: F401
from .lstm_ops_elmo import lstm_op  # noqa: F401
from .lstm_triton_elmo import TRITON  # noqa: F401
from .packing_elmo import Packing, pack, unique_rows
from .pipelines_elmo import ElmoTokenClassificationPipeline
from .softmax_elmo import IGNORE_INDEX, ElmoSoftmax, mean_loss
from .stored_weights_elmo import check_stored_weights
from .word_cache_elmo import CacheInfo


class ElmoStates(NamedTuple):
    """LSTM states of R sentences. The model is stateless; the caller stores and passes them.

    In a batch of B sentences, row b is the initial state of sentence b. Sentences without a row start as usual. Extra
    rows are returned unchanged, as in bilm-tf and AllenNLP.
    """

    hidden: Tensor  # [R, L, directions, H]
    cell: Tensor  # [R, L, directions, C]

    def reset(self, rows: Tensor) -> "ElmoStates":
        """Return a copy that is zero in the rows where the boolean tensor `rows` [R] is true."""
        keep = (~rows.bool())[:, None, None, None].to(self.hidden.device)
        return ElmoStates(self.hidden * keep, self.cell * keep)


@dataclass
class ElmoModelOutput(ModelOutput):
    """Vectors of words, zero at padding.

    The layer names of TF Hub and Spark NLP are attributes too: `elmo`, `word_emb`, `lstm_outputs1`, ...

    Args:
        last_hidden_state: Output that `pooling_layer` names, by default the scalar mix, [B, W, directions * H].
        hidden_states: L + 1 layers [B, W, directions * H], if `output_hidden_states`. The first layer repeats the word
            vectors for each direction. The layers of an aligned model are aligned.
        elmo_representations: All scalar mixes, [B, mixes, W, directions * H]. None if they were not requested.
        word_emb: Context-independent word vectors, [B, W, P], if `output_hidden_states`. They are never aligned.
        states: LSTM states after each sentence, if `return_states`.
        attention_mask: Mask [B, W + 2] that includes `<S>` and `</S>`, if `return_boundaries`.
    """

    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    elmo_representations: Tensor | None = None
    word_emb: Tensor | None = None
    states: ElmoStates | None = None
    attention_mask: Tensor | None = None

    def __getattr__(self, name: str) -> Tensor:
        layer = re.fullmatch(r"lstm_outputs([1-9]\d*)", name)
        if name == "elmo" and self.elmo_representations is not None:
            return self.elmo_representations[:, 0]
        if layer and self.hidden_states is not None and int(layer[1]) < len(self.hidden_states):
            return self.hidden_states[int(layer[1])]
        if name == "elmo" or layer:
            raise AttributeError(f"`{name}` was not computed. Call the model with output_hidden_states=True.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _check_id_range(name: str, ids: Tensor, num_ids: int) -> None:
    lowest, highest = (int(bound) for bound in torch.aminmax(ids))
    if lowest < 0 or highest >= num_ids:
        raise ValueError(f"Expected {name} in 0..{num_ids - 1}, got {lowest if lowest < 0 else highest}.")


def _word_mask(ids: Tensor | None, attention_mask: Tensor | None, embeds: Tensor | None) -> Tensor:
    """Return the mask [B, W] of words of inputs that `ElmoModel.validate_inputs` accepts."""
    inputs: Any = embeds if ids is None else ids
    if attention_mask is not None:
        return attention_mask.to(inputs.device) != 0
    if ids is None:
        return torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
    return (ids != PAD_ID).any(-1) if ids.dim() == 3 else ids != PAD_ID


class ElmoPreTrainedModel(PreTrainedModel):
    """Base class of all ELMo models: initialization, loading, and saving."""

    config_class = ElmoConfig
    base_model_prefix = "elmo"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["ElmoCharacterEncoder", "ElmoLayer"]

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a model as transformers does, then restore `requires_grad`.

        transformers 5 recreates all parameters. `scalar_mix_parameters` override the saved mix weights.
        `lstm_implementation`, `lstm_weight_dtype`, and `word_cache_size` also apply if a configuration is passed.
        """
        config = kwargs.get("config")
        if isinstance(config, ElmoConfig):  # otherwise transformers applies all options when it loads the configuration
            kwargs["config"] = config = copy.deepcopy(config)
            for name in RUNTIME_FIELDS:
                if name in kwargs:
                    setattr(config, name, kwargs.pop(name))
        mix_weights = kwargs.get("scalar_mix_parameters")
        source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        if source is not None and kwargs.get("state_dict") is None:
            check_stored_weights(ElmoModel, source, kwargs, issubclass(cls, ElmoForPreTraining))
        loaded = super().from_pretrained(*args, **kwargs)
        model: Any = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze()
        if mix_weights is not None:
            for mix in (module for module in model.modules() if isinstance(module, ElmoScalarMix)):
                with torch.no_grad():
                    mix.weights.copy_(torch.tensor(mix_weights))
        return loaded

    def freeze(self) -> None:
        """Set `requires_grad` of the scalar mixes as the configuration specifies."""
        for module in self.modules():
            if isinstance(module, ElmoScalarMix):
                module.requires_grad_(not self.config.freeze_scalar_mix)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Drop the prepacked copies of weights whose device or dtype changes. A `to()` without effect keeps them."""
        before = [(parameter.device, parameter.dtype) for parameter in self.parameters()]
        result = super()._apply(*args, **kwargs)
        after = zip(self.parameters(), before, strict=True)
        clear_prepacked(parameter for parameter, kind in after if kind != (parameter.device, parameter.dtype))
        return result

    @torch.no_grad()
    def _init_weights(self, module: Any) -> None:
        """Initialize as bilm-tf does. Only `nn.init` functions: transformers makes them skip loaded weights."""
        scale = self.config.initializer_range
        recipe = getattr(module, "initialization", None)
        if recipe is not None:
            is_loaded = getattr(module.weight, "_is_hf_initialized", False)
            if recipe.uniform is not None:
                nn.init.uniform_(module.weight, -recipe.uniform * scale, recipe.uniform * scale)
            else:
                nn.init.normal_(module.weight, std=recipe.normal * scale)
            if recipe.zero_padding_row and not is_loaded:
                module.weight[PAD_ID].zero_()
            if getattr(module, "bias", None) is not None:
                nn.init.constant_(module.bias, recipe.bias * scale)
        elif isinstance(module, ElmoScalarMix):
            mix_weights = self.config.scalar_mix_parameters
            if mix_weights is not None and not getattr(module.weights, "_is_hf_initialized", False):
                module.weights.copy_(torch.tensor(mix_weights))
            else:
                nn.init.zeros_(module.weights)
            nn.init.ones_(module.gamma)
        elif isinstance(module, ElmoModel):
            if self.config.stored_initial_state:
                nn.init.zeros_(module.initial_hidden)
                nn.init.zeros_(module.initial_cell)
            for alignment in module.alignments():
                nn.init.eye_(alignment)


class ElmoModel(ElmoPreTrainedModel):
    """Bidirectional language model without its softmax, and the scalar mix of its layers."""

    _auto_class = "AutoModel"

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        is_character_model = config.input_type == CHARACTER_INPUT
        self.char_encoder: Any = ElmoCharacterEncoder(config) if is_character_model else None
        self.word_embeddings: Any = None
        if not is_character_model:
            table = nn.Embedding(config.vocab_size, config.projection_size)
            self.word_embeddings = with_init(table, normal=1.0, zero_padding_row=True)
        self.layers = nn.ModuleList(ElmoLayer(config, index) for index in range(config.num_hidden_layers))
        num_mixes = config.num_output_representations if config.has_scalar_mix else 0
        self.scalar_mixes = nn.ModuleList(ElmoScalarMix(config) for _ in range(num_mixes))
        if config.stored_initial_state:
            directions = (config.num_hidden_layers, config.num_directions)
            self.register_buffer("initial_hidden", torch.zeros(*directions, config.output_size))
            self.register_buffer("initial_cell", torch.zeros(*directions, config.cell_size))
        if config.aligned:
            for layer, size in enumerate(config.hidden_sizes):
                self.register_buffer(f"alignment_{layer}", torch.eye(size))
        self.post_init()
        self.freeze()

    def get_input_embeddings(self) -> Any:
        """Return the embedding that `input_ids` index: of characters, or of words in a word-input model."""
        return self.word_embeddings if self.char_encoder is None else self.char_encoder.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding that `get_input_embeddings` returns."""
        if self.char_encoder is None:
            self.word_embeddings = value
        else:
            self.char_encoder.embeddings = value

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None = None,
        output_hidden_states: bool | None = None,
        pooling_layer: str | None = None,
        return_boundaries: bool = False,
        return_states: bool = False,
        **kwargs: Any,
    ) -> tuple | ElmoModelOutput:
        r"""Compute the vectors of all words, [B, W, directions * H].

        Args:
            input_ids: Character ids [B, W, M] from `ElmoTokenizer`; an all-zero row is padding. Word-input models take
                word ids [B, W] or [B, W, 1], 0 for padding. Models with a lexicon take [B, W, 1 + M], word id first.
            attention_mask: Mask [B, W], 1 for words, 0 for padding at any position. Defaults to the rows of `input_ids`
                that are not all zero.
            inputs_embeds: Character vectors [B, W, M, d] to use instead of `input_ids` (word-input models: word vectors
                [B, W, P]; models with a lexicon: [B, W, D + M * d], see `ElmoCharacterEncoder.embed_characters`).
            initial_states: Initial LSTM states, `(hidden [R, L, directions, H], cell [R, L, directions, C])`, usually
                `states` of the previous batch. Defaults to zero, or to the stored initial state.
            output_hidden_states: Whether to return all layers.
            pooling_layer: Layer to return as `last_hidden_state`, see `ElmoConfig`. Unused layers are not computed.
            return_boundaries: Whether to also return the vectors of `<S>` and `</S>` next to each sentence; W becomes
                W + 2.
            return_states: Whether to return the LSTM states after each sentence.
            kwargs: Ignored. Pipelines of transformers and PEFT pass keywords that have no meaning here.

        Raises:
            ValueError: If an input has a wrong shape or invalid ids, or contradicts another.
        """
        config = self.config
        if output_hidden_states is None:
            output_hidden_states = bool(config.output_hidden_states)
        pooled = config.layer_index(config.pooling_layer if pooling_layer is None else pooling_layer)
        depth = config.num_hidden_layers if output_hidden_states or return_states or pooled is None else pooled
        if return_boundaries and not config.sentence_boundaries:
            raise ValueError("Cannot return boundaries: the model has config.sentence_boundaries=False and adds none.")

        mask = self.validate_inputs(input_ids, attention_mask, inputs_embeds)
        packing = pack(mask, config.sentence_boundaries)
        packed_inputs = self.stack_directions(self.pack_word_vectors(input_ids, inputs_embeds, packing), packing)
        packed_layers, states = self.run_layers(packed_inputs, packing, initial_states, depth)
        output_packing = packing.with_boundaries() if return_boundaries else packing
        layers = [output_packing.unpack(layer) for layer in packed_layers]

        word_emb = layers[0][..., : config.projection_size]
        if config.aligned:
            layers = [layer @ matrix.T for layer, matrix in zip(layers, self.alignments(), strict=False)]
        mixes = None
        if self.scalar_mixes and (pooled is None or output_hidden_states):
            mixes = self._apply_scalar_mixes(layers, packed_layers, packing, output_packing.mask)
        first = mixes[:, 0] if mixes is not None and pooled is None else layers[pooled] if pooled else word_emb
        return ElmoModelOutput(
            last_hidden_state=first,
            hidden_states=tuple(layers) if output_hidden_states else None,
            elmo_representations=mixes,
            word_emb=word_emb if output_hidden_states else None,
            states=states if return_states else None,
            attention_mask=output_packing.mask.long() if return_boundaries else None,
        )

    def validate_inputs(self, ids: Tensor | None, attention_mask: Tensor | None, embeds: Tensor | None) -> Tensor:
        """Validate the inputs of `forward` and return the word mask, [B, W].

        Raises:
            ValueError: If an input has a wrong shape or invalid ids, or contradicts another.
        """
        if ids is not None and embeds is None:
            self._check_ids(ids)
        elif embeds is not None and ids is None:
            self._check_embeds(embeds)
        else:
            raise ValueError(
                f"Expected either `input_ids` or `inputs_embeds`, got {'neither' if ids is None else 'both'}."
            )
        has_ids = _word_mask(ids, None, embeds)
        if attention_mask is None:
            return has_ids
        if attention_mask.shape != has_ids.shape:
            raise ValueError(
                f"Expected `attention_mask` of shape [batch, words] = {list(has_ids.shape)}, "
                f"got {list(attention_mask.shape)}."
            )
        mask = _word_mask(ids, attention_mask, embeds)
        if not bool((mask == attention_mask.to(mask.device)).all()):
            raise ValueError("Expected `attention_mask` to contain 1 for words and 0 for padding, got other values.")
        conflicts = (mask & ~has_ids).nonzero()
        if len(conflicts):
            raise ValueError(
                f"`attention_mask` is 1 at [sentence, word] {conflicts[0].tolist()}, but `input_ids` is all zeros "
                "(padding) there. Set the mask to 0 at this position."
            )
        return mask

    def _check_ids(self, ids: Tensor) -> None:
        num_ids_per_word = self.config.num_ids_per_word
        if self.char_encoder is not None and (ids.dim() != 3 or ids.shape[2] != num_ids_per_word):
            raise ValueError(
                f"Expected `input_ids` of shape [batch, words, {num_ids_per_word}] (character ids), "
                f"got {list(ids.shape)}."
            )
        if self.char_encoder is None and (ids.dim() not in (2, 3) or (ids.dim() == 3 and ids.shape[2] != 1)):
            raise ValueError(
                f"Expected `input_ids` of shape [batch, words] or [batch, words, 1] (word ids), got {list(ids.shape)}."
            )
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise ValueError(f"Expected `input_ids` to be integers, got {ids.dtype}.")
        if ids.numel() and self.config.lexicon_size:
            _check_id_range("word ids of `input_ids`", ids[..., 0], self.config.lexicon_size)
            _check_id_range("character ids of `input_ids`", ids[..., 1:], self.config.vocab_size)
        elif ids.numel():
            _check_id_range("`input_ids`", ids, self.config.vocab_size)

    def _check_embeds(self, embeds: Tensor) -> None:
        config = self.config
        sizes = (config.max_characters_per_token, config.character_embedding_size)
        expected: tuple[int, ...] = (config.projection_size,) if self.char_encoder is None else sizes
        if config.lexicon_size:
            expected = ((config.lexicon_embedding_size or 0) + sizes[0] * sizes[1],)
        if embeds.dim() < 3 or tuple(embeds.shape[2:]) != expected:
            shape = ", ".join(["batch", "words", *map(str, expected)])
            raise ValueError(f"Expected `inputs_embeds` of shape [{shape}], got {list(embeds.shape)}.")

    def pack_word_vectors(self, ids: Tensor | None, embeds: Any, packing: Packing) -> Tensor:
        """Compute the word vectors in packed order, [N, P]. Each distinct word is encoded once.

        Args:
            ids: `input_ids` of `forward`, or None with `embeds`.
            embeds: `inputs_embeds` of `forward`, or None with `ids`.
            packing: Packing of the batch. With boundary slots, the vectors of `<S>` and `</S>` are included.
        """
        mask = packing.mask
        boundaries = self.boundary_ids(mask.device)[: len(packing.boundary_slots)]
        if ids is not None:
            words = ids.reshape(*mask.shape, boundaries.shape[1])[mask].long()
            distinct, index = unique_rows(torch.cat([words, boundaries]))
            vectors = self._encode_words(distinct)
        else:
            words = embeds[mask] if self.char_encoder is None else self.char_encoder.encode_embeddings(embeds[mask])
            vectors = torch.cat([words, self._encode_words(boundaries)])
            index = torch.arange(len(vectors), device=mask.device)
        source = index.new_empty(packing.num_slots)
        source[packing.word_slots] = index[: len(words)]
        source[packing.boundary_slots] = index[len(words) :, None]
        return vectors.index_select(0, source)

    def boundary_ids(self, device: torch.device) -> Tensor:
        """Return the ids of `<S>` and `</S>`, [2, M], after those of a lexicon; [0, M] if the model adds none."""
        config = self.config
        if not config.sentence_boundaries:
            return torch.zeros(0, config.num_ids_per_word, dtype=torch.long, device=device)
        bos, eos = config.bos_token_id, config.eos_token_id
        if bos is None or eos is None or max(bos, eos) >= config.vocab_size:
            raise ValueError(
                f"Expected `bos_token_id` and `eos_token_id` below `vocab_size` = {config.vocab_size}, "
                f"got {bos} and {eos}."
            )
        token_ids = torch.tensor([[bos], [eos]], device=device)
        if self.char_encoder is None:
            return token_ids
        rows = token_ids.new_full((2, config.max_characters_per_token), config.character_pad_id)
        rows[:, 0], rows[:, 1:2], rows[:, 2] = config.character_bow_id, token_ids, config.character_eow_id
        if config.lexicon_size:
            word_ids = torch.tensor([[config.lexicon_bos_id], [config.lexicon_eos_id]], device=device)
            rows = torch.cat([word_ids, rows], dim=1)
        return rows

    def _encode_words(self, ids: Tensor) -> Tensor:
        return self.word_embeddings(ids.squeeze(1)) if self.char_encoder is None else self.char_encoder(ids)

    def stack_directions(self, word_vectors: Tensor, packing: Packing) -> Tensor:
        """Stack packed word vectors [N, P] in the time order of each direction, [directions, N, P]."""
        if not self.config.bidirectional:
            return word_vectors[None]
        return torch.stack([word_vectors, word_vectors.index_select(0, packing.reverse_index)])

    def run_layers(
        self,
        packed_inputs: Tensor,
        packing: Packing,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None = None,
        depth: int | None = None,
    ) -> tuple[list[Tensor], ElmoStates | None]:
        """Run the LSTM layers over packed word vectors.

        Args:
            packed_inputs: Word vectors in the time order of each direction, [directions, N, P].
            packing: Packing of the batch.
            initial_states: As for `forward`.
            depth: Number of layers to run. Defaults to all.

        Returns:
            `depth` + 1 packed layers, starting with `packed_inputs`, and the states after each sentence, or None if not
            all layers ran.
        """
        hidden, cell, extra_rows = self._initial_states(initial_states, packing, packed_inputs)
        packed_layers = [packed_inputs]
        final_states: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(self.layers[:depth]):
            outputs, final_hidden, final_cell = layer(
                packed_layers[-1],
                hidden[index],
                cell[index],
                packing.batch_sizes_cpu,
                self.config.lstm_implementation,
                self.config.lstm_weight_dtype,
            )
            packed_layers.append(outputs)
            final_states.append((final_hidden, final_cell))
        return packed_layers, self._final_states(final_states, packing, extra_rows)

    def _initial_states(
        self, initial_states: ElmoStates | tuple[Tensor, Tensor] | None, packing: Packing, packed_inputs: Tensor
    ) -> tuple[Tensor, Tensor, ElmoStates | None]:
        """Return hidden [L, directions, B, H] and cell [L, directions, B, C] of sorted sentences, and extra rows."""
        config = self.config
        batch = len(packing.sorted_indices)
        # Accumulate the cell state in float32 at least; low precision is sufficient for the products only.
        dtypes = (packed_inputs.dtype, torch.promote_types(packed_inputs.dtype, torch.float32))
        stored: tuple[Any, Any] = (None, None)
        if config.stored_initial_state:
            stored = (self.initial_hidden, self.initial_cell)
        sorted_states, extra_rows = [], []
        for index, (name, size) in enumerate((("hidden", config.output_size), ("cell", config.cell_size))):
            shape = (config.num_hidden_layers, config.num_directions, size)
            start = packed_inputs.new_zeros(shape) if stored[index] is None else stored[index]
            rows = start.to(dtypes[index]).expand(batch, *shape)
            if initial_states is not None:
                state = initial_states[index]
                if tuple(state.shape[1:]) != shape:
                    raise ValueError(
                        f"Expected `initial_states` with {name} of shape [rows, {', '.join(map(str, shape))}], "
                        f"got {list(state.shape)}."
                    )
                state = state.to(rows.device, dtypes[index])
                extra_rows.append(state[batch:])
                rows = torch.cat([state[:batch], rows[len(state) :]])
            sorted_states.append(rows[packing.sorted_indices].permute(1, 2, 0, 3))
        return sorted_states[0], sorted_states[1], ElmoStates(*extra_rows) if extra_rows else None

    def _final_states(
        self, final_states: list[tuple[Tensor, Tensor]], packing: Packing, extra_rows: ElmoStates | None
    ) -> ElmoStates | None:
        """Return the states after each sentence in the order of the batch, or None if not all layers ran."""
        if len(final_states) < len(self.layers):
            return None
        states = []
        for index in range(2):
            sorted_states = torch.stack([layer[index] for layer in final_states]).permute(2, 0, 1, 3)
            rows = torch.empty_like(sorted_states).index_copy(0, packing.sorted_indices, sorted_states)
            states.append(rows if extra_rows is None else torch.cat([rows, extra_rows[index]]))
        return ElmoStates(*states)

    def alignments(self) -> list[Tensor]:
        """Return the alignment matrix of each layer, starting with the word vectors. Empty without `config.aligned`."""
        layers = range(self.config.num_hidden_layers + 1) if self.config.aligned else ()
        return [getattr(self, f"alignment_{layer}") for layer in layers]

    def _apply_scalar_mixes(
        self, layers: list[Tensor], packed_layers: list[Tensor], packing: Packing, output_mask: Tensor
    ) -> Tensor:
        if self.config.mix_layer_norm == "with_boundaries":  # scope and epsilon of AllenNLP
            statistics = [torch.cat(tuple(layer), dim=1) for layer in packed_layers]
            layers = [normalize_over_batch(h, s, output_mask, 1e-13) for h, s in zip(layers, statistics, strict=True)]
        elif self.config.mix_layer_norm == "without_boundaries":  # scope and epsilon of bilm-tf
            statistics = [packing.unpack(layer)[packing.mask] for layer in packed_layers]
            layers = [normalize_over_batch(h, s, output_mask, 1e-12) for h, s in zip(layers, statistics, strict=True)]
        dropout = self.config.output_dropout
        mixes = [F.dropout(mix(tuple(layers)), dropout, self.training) for mix in self.scalar_mixes]
        return torch.stack(mixes, dim=1)

    def word_cache_info(self) -> CacheInfo:
        """Return the counts of the word cache (see `ElmoConfig.word_cache_size`), zero if it is not used."""
        cache = getattr(self.char_encoder, "cache", None)
        return CacheInfo(0, 0, self.config.word_cache_size, 0) if cache is None else cache.info()

    @torch.no_grad()
    def calibrate_initial_state(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, num_passes: int = 3
    ) -> ElmoStates:
        """Compute and store the initial state of every sentence: the mean state after the given sentences.

        The biLM was trained on contiguous text and saw the zero state only in its first batch. A stored state has the
        same effect as AllenNLP's carried states, but it is the same for every sentence, batch, and run. The model saves
        it with the weights.

        Args:
            input_ids: Ids of typical sentences, as for `forward`.
            attention_mask: Mask of these sentences, as for `forward`.
            num_passes: Number of passes over the sentences. Each pass starts from the states of the previous one.

        Returns:
            The stored state, one row.

        Raises:
            ValueError: If `config.stored_initial_state` is False, or if there is no sentence or no pass.
        """
        if not self.config.stored_initial_state:
            raise ValueError("Cannot store an initial state: the model has config.stored_initial_state=False.")
        states = None
        for _ in range(num_passes):
            states = self(input_ids, attention_mask, initial_states=states, return_states=True).states
        if states is None or not len(states.hidden):
            raise ValueError(
                f"Expected at least one sentence and one pass, got {len(input_ids)} sentences and {num_passes} passes."
            )
        mean = ElmoStates(*(state.mean(0, keepdim=True) for state in states))
        self.initial_hidden.copy_(mean.hidden[0])
        self.initial_cell.copy_(mean.cell[0])
        return mean


# ---------------------------------------------------------------- language model


@dataclass
class ElmoForPreTrainingOutput(ModelOutput):
    """Loss and predictions of the language model.

    Args:
        loss: Mean over directions of the mean loss per prediction, in nats, with `labels`. In training, the loss of the
            training softmax; otherwise exact, so that `exp(loss)` is the perplexity.
        forward_log_probs: log p(word | preceding words), [B, W], with `labels` outside training; 0 for ignored labels.
        backward_log_probs: log p(word | following words), [B, W].
        boundary_log_probs: log p(`</S>` | sentence) forward and log p(`<S>` | sentence) backward, [B, directions].
        prediction_states: Vectors that the words are predicted from, [B, W, directions * H]. By default only returned
            without `labels`.
        hidden_states: L + 1 layers [B, W, directions * H] of `ElmoModel`, if `output_hidden_states`.
        states: LSTM states after each sentence, if `return_states`.
    """

    loss: Tensor | None = None
    forward_log_probs: Tensor | None = None
    backward_log_probs: Tensor | None = None
    boundary_log_probs: Tensor | None = None
    prediction_states: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    states: ElmoStates | None = None


class _LanguageModelRun(NamedTuple):
    """Result of a forward pass over sentences or contiguous text."""

    packing: Packing
    packed_layers: list[Tensor]
    states: ElmoStates | None
    predictions: dict[str, Tensor]  # fields of `ElmoForPreTrainingOutput`


class ElmoForPreTraining(ElmoPreTrainedModel):
    """Language model: `ElmoModel` and the softmax that both directions share. Requires `config.word_vocab_size`."""

    _auto_class = "AutoModelForPreTraining"
    accepts_loss_kwargs = False  # the loss is a mean, regardless of the options that Trainer passes

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.softmax = ElmoSoftmax(config)
        self.post_init()
        self.freeze()

    def freeze(self) -> None:
        """Freeze the scalar mix, which the loss does not use. DDP fails on trainable parameters without gradients."""
        super().freeze()
        self.elmo.scalar_mixes.requires_grad_(False)

    def get_input_embeddings(self) -> Any:
        """See `ElmoModel.get_input_embeddings`."""
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """See `ElmoModel.set_input_embeddings`."""
        self.elmo.set_input_embeddings(value)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        reverse_input_ids: Tensor | None = None,
        reverse_labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None = None,
        output_hidden_states: bool | None = None,
        return_states: bool = False,
        return_prediction_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | ElmoForPreTrainingOutput:
        r"""Predict the words of independent sentences or, with `reverse_input_ids`, of windows of contiguous text.

        Args:
            input_ids: Ids [B, W, M] as for `ElmoModel`. Contiguous text contains `<S>` and `</S>` as words, because the
                model adds none.
            attention_mask: Mask [B, W] as for `ElmoModel`. Contiguous text has no padding.
            labels: Vocabulary ids of the words, [B, W]; -100 is ignored. For contiguous text, ids of the next words.
            reverse_input_ids: Contiguous text of the backward direction, in its time order (each sentence reversed).
                Same shape as `input_ids`.
            reverse_labels: Ids of the next words in `reverse_input_ids`.
            inputs_embeds: Vectors to use instead of `input_ids`, as for `ElmoModel`.
            initial_states: As for `ElmoModel`. For contiguous text, pass the `states` of the previous window.
            output_hidden_states: Whether to return all layers.
            return_states: Whether to return the LSTM states.
            return_prediction_states: Whether to return `prediction_states`. Not available for contiguous text.
            kwargs: Ignored.

        Raises:
            ValueError: If an input has a wrong shape or invalid ids, or contradicts another.
        """
        mask = self.elmo.validate_inputs(input_ids, attention_mask, inputs_embeds)
        self._check_labels("labels", labels, mask)
        self._check_labels("reverse_labels", reverse_labels, mask)
        if reverse_input_ids is None:
            if return_prediction_states is None:
                return_prediction_states = labels is None
            run = self._forward_sentences(
                mask, input_ids, inputs_embeds, labels, initial_states, return_prediction_states
            )
        else:
            run = self._forward_contiguous(mask, input_ids, reverse_input_ids, labels, reverse_labels, initial_states)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        return ElmoForPreTrainingOutput(
            **run.predictions,
            hidden_states=tuple(map(run.packing.unpack, run.packed_layers)) if output_hidden_states else None,
            states=run.states if return_states else None,
        )

    def _forward_sentences(
        self,
        mask: Tensor,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        labels: Tensor | None,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None,
        return_prediction_states: bool,
    ) -> _LanguageModelRun:
        """Predict the words of independent sentences. The labels of a slot are the words at the next step."""
        packing = pack(mask, self.config.sentence_boundaries)
        word_vectors = self.elmo.pack_word_vectors(input_ids, inputs_embeds, packing)
        packed_inputs = self.elmo.stack_directions(word_vectors, packing)
        packed_layers, states = self.elmo.run_layers(packed_inputs, packing, initial_states)
        top_layer = F.dropout(packed_layers[-1], self.config.lstm_dropout, self.training)

        predicts_next = packing.predicts_next()
        vectors = [outputs[predicts_next] for outputs in top_layer]
        predictions: dict[str, Tensor] = {}
        if labels is not None:
            targets = self._sentence_targets(labels, packing)
            if self.training:
                predictions["loss"] = self._loss(vectors, targets)
            else:
                scores = [self.softmax.log_prob(v, t) for v, t in zip(vectors, targets, strict=True)]
                losses = [mean_loss(score, target) for score, target in zip(scores, targets, strict=True)]
                predictions["loss"] = torch.stack(losses).mean()
                predictions |= self._scatter_log_probs(scores, packing)
        if return_prediction_states:
            predictions["prediction_states"] = packing.unpack(torch.stack([packing.shift(v) for v in vectors]))
        return _LanguageModelRun(packing, packed_layers, states, predictions)

    def _forward_contiguous(
        self,
        mask: Tensor,
        input_ids: Tensor | None,
        reverse_input_ids: Tensor,
        labels: Tensor | None,
        reverse_labels: Tensor | None,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None,
    ) -> _LanguageModelRun:
        """Predict the next words of contiguous text. Each direction reads its own ids in the same order."""
        if input_ids is None or reverse_input_ids.shape != input_ids.shape:
            expected = None if input_ids is None else list(input_ids.shape)
            raise ValueError(
                f"Expected `reverse_input_ids` and `input_ids` of the same shape, got {list(reverse_input_ids.shape)} "
                f"and {expected}."
            )
        if not bool((mask & self.elmo.validate_inputs(reverse_input_ids, None, None)).all()):
            raise ValueError(
                "Expected contiguous text without padding, got all-zero ids or an `attention_mask` with 0."
            )
        packing = pack(mask, boundaries=False)
        id_streams = [input_ids, reverse_input_ids][: self.config.num_directions]
        packed_inputs = torch.stack([self.elmo.pack_word_vectors(ids, None, packing) for ids in id_streams])
        packed_layers, states = self.elmo.run_layers(packed_inputs, packing, initial_states)
        top_layer = F.dropout(packed_layers[-1], self.config.lstm_dropout, self.training)

        predictions: dict[str, Tensor] = {}
        if labels is not None:
            label_streams = [labels, reverse_labels][: self.config.num_directions]
            targets = [self._contiguous_targets(stream, packing) for stream in label_streams]
            predictions["loss"] = self._loss(list(top_layer), targets)
        return _LanguageModelRun(packing, packed_layers, states, predictions)

    def _loss(self, vectors: list[Tensor], targets: list[Tensor]) -> Tensor:
        """Return the mean over the directions of the loss of the softmax, which is exact outside training."""
        return torch.stack([self.softmax.loss(v, t) for v, t in zip(vectors, targets, strict=True)]).mean()

    def _check_labels(self, name: str, labels: Tensor | None, mask: Tensor) -> None:
        if labels is None:
            return
        if labels.shape != mask.shape or labels.is_floating_point():
            raise ValueError(
                f"Expected `{name}` to be integers of shape [batch, words] = {list(mask.shape)}, "
                f"got {labels.dtype} of shape {list(labels.shape)}."
            )
        vocab_size = self.softmax.vocab_size
        invalid = labels[mask & (labels != IGNORE_INDEX) & ((labels < 0) | (labels >= vocab_size))]
        if len(invalid):
            raise ValueError(
                f"Expected `{name}` to be word ids in 0..{vocab_size - 1} or {IGNORE_INDEX}, got {int(invalid[0])}."
            )

    def _sentence_targets(self, labels: Tensor, packing: Packing) -> list[Tensor]:
        """Return the labels that the slots with a next step predict, for each direction."""
        words = labels.new_full((packing.num_slots,), IGNORE_INDEX)
        words[packing.word_slots] = labels.to(words.device)[packing.mask]
        if len(packing.boundary_slots):
            bos, eos = self.config.word_bos_id, self.config.word_eos_id
            words[packing.boundary_slots[0]] = IGNORE_INDEX if bos is None else bos
            words[packing.boundary_slots[1]] = IGNORE_INDEX if eos is None else eos
        first = packing.first_step_size
        return [words[first:], words[packing.reverse_index][first:]][: self.config.num_directions]

    def _contiguous_targets(self, labels: Tensor | None, packing: Packing) -> Tensor:
        if labels is None:
            raise ValueError("Expected `labels` and `reverse_labels` for contiguous text, got only `labels`.")
        targets = labels.new_empty(packing.num_slots)
        targets[packing.word_slots] = labels[packing.mask]
        return targets

    def _scatter_log_probs(self, scores: list[Tensor], packing: Packing) -> dict[str, Tensor]:
        """Return the scores of each direction as log-probabilities of the words and of the boundaries."""
        log_probs = {}
        boundary_scores = []
        for direction, (name, score) in enumerate(zip(("forward", "backward"), scores, strict=False)):
            shifted = packing.shift(score)
            log_probs[f"{name}_log_probs"] = packing.scatter(shifted[packing.slots(direction), None]).squeeze(2)
            if len(packing.boundary_slots):
                # In the time order of each direction, the slots of `</S>` are the last ones.
                boundary_scores.append(shifted[packing.boundary_slots[1]])
        if boundary_scores:
            log_probs["boundary_log_probs"] = torch.stack(boundary_scores, dim=1)
        return log_probs


# ---------------------------------------------------------------- heads

# As in the paper (sections 3.2 and 3.3): the biLM is frozen, learned weights mix its layers, and dropout applies to the
# mix. The penalty `l2 * ||w||^2` draws the mix towards the mean of the layers.

FROZEN_BY_DEFAULT = ("char_encoder", "word_embeddings", "layers")


class ElmoForClassificationBase(ElmoPreTrainedModel):
    """Base class of the classification models: the biLM, dropout, and a linear layer.

    The biLM is frozen except for `config.trainable_modules`.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.elmo = ElmoModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = with_init(
            nn.Linear(self._classifier_input_size(config), config.num_labels), normal=config.hidden_size**-0.5
        )
        self.post_init()
        self.freeze()

    def _classifier_input_size(self, config: ElmoConfig) -> int:
        return config.hidden_size

    def freeze(self) -> None:
        """Train the modules of the biLM that `config.trainable_modules` names, and no others.

        The scalar mix (see `config.freeze_scalar_mix`) and the classifier are trained as well.

        Raises:
            ValueError: If a name is not a module of the biLM.
        """
        super().freeze()
        names = self.config.trainable_modules
        modules = {name for name, _ in self.elmo.named_modules() if name.split(".")[0] in FROZEN_BY_DEFAULT}
        unknown = [name for name in names if name not in modules]
        if unknown:
            raise ValueError(
                "Expected `trainable_modules` to name modules of the biLM such as 'char_encoder', 'layers', or "
                f"'layers.1', got {unknown[0]!r}."
            )
        for parameter_name, parameter in self.elmo.named_parameters():
            if parameter_name.split(".")[0] in FROZEN_BY_DEFAULT:
                parameter.requires_grad_(any(parameter_name.startswith(f"{name}.") for name in names))

    def unfreeze(self, *modules: str) -> None:
        """Also train these modules of the biLM, or all of it without a name. Updates `config.trainable_modules`."""
        all_modules = [name for name in FROZEN_BY_DEFAULT if getattr(self.elmo, name) is not None]
        self.config.trainable_modules = sorted({*self.config.trainable_modules, *(modules or all_modules)})
        self.freeze()

    def get_input_embeddings(self) -> Any:
        """See `ElmoModel.get_input_embeddings`."""
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        """See `ElmoModel.set_input_embeddings`."""
        self.elmo.set_input_embeddings(value)

    def _add_mix_penalty(self, loss: Tensor) -> Tensor:
        strength = self.config.scalar_mix_l2
        if not strength or not self.elmo.scalar_mixes:
            return loss
        weights: Any = self.elmo.scalar_mixes[0].weights
        return loss + strength * weights.square().sum().to(loss.dtype)


class ElmoForTokenClassification(ElmoForClassificationBase):
    """Classifier of words, for parts of speech or named entities."""

    _auto_class = "AutoModelForTokenClassification"
    accepts_loss_kwargs = False  # the loss is a mean, regardless of the options that Trainer passes

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | TokenClassifierOutput:
        """Compute the logits of each word, [B, W, K].

        Args:
            input_ids: As for `ElmoModel`.
            attention_mask: As for `ElmoModel`.
            inputs_embeds: As for `ElmoModel`.
            labels: Class ids in 0..K-1, [B, W]; -100 is ignored.
            output_hidden_states: Whether to return all layers of the biLM.
            kwargs: Other arguments of `ElmoModel`.

        Raises:
            ValueError: If an input has a wrong shape or invalid ids, or contradicts another.
        """
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        logits = self.classifier(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(
                    f"Expected `labels` of shape [batch, words] = {list(logits.shape[:2])}, got {list(labels.shape)}."
                )
            # Without any label, the sum is 0 but the mean would be NaN.
            total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten().to(logits.device), reduction="sum")
            loss = self._add_mix_penalty(total / (labels != IGNORE_INDEX).sum().clamp(min=1))
        return TokenClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class ElmoForSequenceClassification(ElmoForClassificationBase):
    """Classifier or regression model of sentences, on the mean or maximum of the word vectors."""

    _auto_class = "AutoModelForSequenceClassification"
    accepts_loss_kwargs = False

    def _classifier_input_size(self, config: ElmoConfig) -> int:
        return config.hidden_size * len(config.sentence_pooling)

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Pool [B, W, H] to [B, H * poolings]. A sentence without words gets zeros."""
        counts = mask.sum(1, keepdim=True)
        parts = []
        for pooling in self.config.sentence_pooling:
            if pooling == "mean":  # vectors at padding are zero
                parts.append(vectors.sum(1) / counts.clamp(min=1))
            else:
                if vectors.shape[1]:
                    highest = vectors.masked_fill(~mask[:, :, None], torch.finfo(vectors.dtype).min).amax(1)
                else:
                    highest = vectors.new_zeros(len(vectors), vectors.shape[2])
                parts.append(highest * (counts > 0))
        return torch.cat(parts, dim=1)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> tuple | SequenceClassifierOutput:
        """Compute the logits of each sentence, [B, K].

        Args:
            input_ids: As for `ElmoModel`.
            attention_mask: As for `ElmoModel`.
            inputs_embeds: As for `ElmoModel`.
            labels: Class ids [B], numbers [B] (K = 1), or flags [B, K], see `config.problem_type`.
            output_hidden_states: Whether to return all layers of the biLM.
            kwargs: Other arguments of `ElmoModel`.

        Raises:
            ValueError: If an input has a wrong shape or invalid ids, or contradicts another.
        """
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        vectors: Any = output.last_hidden_state
        mask = _word_mask(input_ids, attention_mask, inputs_embeds).to(vectors.device)
        logits = self.classifier(self.dropout(self._pool(vectors, mask)))
        loss = None
        if labels is not None:
            loss = self._add_mix_penalty(self._loss(logits, labels.to(logits.device)))
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type is None:
            if self.num_labels == 1:
                self.config.problem_type = "regression"
            else:
                is_classes = not labels.is_floating_point()
                self.config.problem_type = "single_label_classification" if is_classes else "multi_label_classification"
        problem = self.config.problem_type
        shape = logits.shape[:1] if problem == "single_label_classification" or self.num_labels == 1 else logits.shape
        if labels.numel() != shape.numel():
            raise ValueError(
                f"Expected `labels` of shape {list(shape)} for problem_type {problem!r}, got {list(labels.shape)}."
            )
        logits, labels = logits.float(), labels.reshape(shape)
        if problem == "single_label_classification":
            return F.cross_entropy(logits, labels)
        logits = logits.view(shape)
        if problem == "regression":
            return F.mse_loss(logits, labels.float())
        return F.binary_cross_entropy_with_logits(logits, labels.float())


__all__ = [
    "ElmoForPreTraining",
    "ElmoForPreTrainingOutput",
    "ElmoForSequenceClassification",
    "ElmoForTokenClassification",
    "ElmoModel",
    "ElmoModelOutput",
    "ElmoPreTrainedModel",
    "ElmoStates",
    "ElmoTokenClassificationPipeline",
]
