# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in PyTorch: characters -> words -> bidirectional LSTMs -> a weighted sum of the layers; the biLM with its
softmax; and heads that label words or sentences.

Reading order is the order of the data. Shapes: B sentences, W words, M characters a word, d character
vector, F convolution outputs, P word vector, C cells, H output of one direction, L layers, V words of the vocabulary,
N slots of the packed batch, D = hidden_size, K labels.

Source: Peters et al. 2018, "Deep contextualized word representations" (arXiv:1802.05365).
"""

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
from .configuration_elmo import CHARACTER_INPUT, PAD_ID, ElmoConfig
from .initialization_elmo import initialized
from .layers_elmo import ElmoLayer, ElmoScalarMix, normalize_over_batch
from .linear_elmo import forget

# transformers 4 downloads only the files that the entry file itself imports; so all of them are imported here.
from .lstm_cpu_elmo import run_direction  # noqa: F401
from .lstm_elmo import projected_lstm  # noqa: F401
from .lstm_ops_elmo import lstm  # noqa: F401
from .lstm_triton_elmo import run_layer  # noqa: F401
from .packing_elmo import Packing, add_boundaries, pack, place, unique_rows, unpack
from .pipelines_elmo import ElmoTokenClassificationPipeline
from .softmax_elmo import IGNORED, ElmoSoftmax
from .word_cache_elmo import CacheInfo


class ElmoStates(NamedTuple):
    """LSTM states of R sentences, always the caller's to keep: the model itself remembers nothing.

    Passed to a batch of B sentences, row b starts sentence b. Rows that are missing start like new sentences; surplus
    rows come back unchanged, as in bilm-tf and AllenNLP.
    """

    hidden: Tensor  # [R, L, directions, H]
    cell: Tensor  # [R, L, directions, C]

    def reset(self, rows: Tensor) -> "ElmoStates":
        """A copy in which the rows where the boolean `rows` [R] is true are zero."""
        keep = (~rows.bool())[:, None, None, None].to(self.hidden.device)
        return ElmoStates(self.hidden * keep, self.cell * keep)


@dataclass
class ElmoModelOutput(ModelOutput):
    """Vectors of words, zero where the mask is. TF Hub's and Spark NLP's names of the layers work too: `elmo`,
    `word_emb`, `lstm_outputs1`, `lstm_outputs2`, ...

    Args:
        last_hidden_state: what `pooling_layer` names; the scalar mix [B, W, directions * H] unless set otherwise.
        hidden_states: with `output_hidden_states`: L + 1 layers [B, W, directions * H], word vectors first, repeated
            for each direction; of an aligned model, aligned.
        elmo_representations: all scalar mixes [B, mixes, W, directions * H]. None if nothing asked for them.
        word_emb: with `output_hidden_states`: the context-independent word vectors [B, W, P], never aligned.
        states: with `return_states`: the LSTM states after each sentence.
        attention_mask: with `return_boundaries`: the mask [B, W + 2] that counts `<S>` and `</S>` as words.
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
            raise AttributeError(f"{name} was not computed; call the model with output_hidden_states=True.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _check_range(ids: Tensor, rows: int, what: str) -> None:
    lowest, highest = (int(bound) for bound in torch.aminmax(ids))
    if lowest < 0 or highest >= rows:
        raise ValueError(f"{what} must be in 0..{rows - 1}; got {lowest if lowest < 0 else highest}.")


class ElmoPreTrainedModel(PreTrainedModel):
    """Initialisation, loading and saving, shared by all ELMo models."""

    config_class = ElmoConfig
    base_model_prefix = "elmo"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _no_split_modules = ["ElmoCharacterEncoder", "ElmoLayer"]

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. What the config says is frozen stays so, though transformers 5 makes all weights anew;
        `scalar_mix_parameters` take the place of the weights that were saved.
        """
        given = kwargs.get("scalar_mix_parameters")
        loaded = super().from_pretrained(*args, **kwargs)
        model: Any = loaded[0] if isinstance(loaded, tuple) else loaded
        model.freeze()
        if given is not None:
            for mix in (module for module in model.modules() if isinstance(module, ElmoScalarMix)):
                with torch.no_grad():
                    mix.weights.copy_(torch.tensor(given))
        return loaded

    def freeze(self) -> None:
        """Let the parameters train that the config says shall."""
        for module in self.modules():
            if isinstance(module, ElmoScalarMix):
                module.requires_grad_(not self.config.freeze_scalar_mix)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        """Weights that are moved or cast lose their packed copies; `model.to(where_it_is)` costs nothing."""
        before = [(parameter.device, parameter.dtype) for parameter in self.parameters()]
        result = super()._apply(*args, **kwargs)
        after = zip(self.parameters(), before, strict=True)
        forget(parameter for parameter, kind in after if kind != (parameter.device, parameter.dtype))
        return result

    @torch.no_grad()
    def _init_weights(self, module: Any) -> None:
        """bilm-tf's recipe. Only `nn.init` functions: transformers makes them pass over weights that were loaded."""
        scale = self.config.initializer_range
        recipe = getattr(module, "initialization", None)
        if recipe is not None:
            is_loaded = getattr(module.weight, "_is_hf_initialized", False)
            if recipe.uniform is not None:
                nn.init.uniform_(module.weight, -recipe.uniform * scale, recipe.uniform * scale)
            else:
                nn.init.normal_(module.weight, std=recipe.normal * scale)
            if recipe.zero_row and not is_loaded:
                module.weight[PAD_ID].zero_()
            if getattr(module, "bias", None) is not None:
                nn.init.constant_(module.bias, recipe.bias * scale)
        elif isinstance(module, ElmoScalarMix):
            given = self.config.scalar_mix_parameters
            if given is not None and not getattr(module.weights, "_is_hf_initialized", False):
                module.weights.copy_(torch.tensor(given))
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
    """The bidirectional language model without its softmax, and the scalar mix of its layers."""

    _auto_class = "AutoModel"

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        is_character_model = config.input_type == CHARACTER_INPUT
        self.char_encoder: Any = ElmoCharacterEncoder(config) if is_character_model else None
        self.word_embeddings: Any = None
        if not is_character_model:
            table = nn.Embedding(config.vocab_size, config.projection_size)
            self.word_embeddings = initialized(table, normal=1.0, zero_row=True)
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
        """The table that `input_ids` index: characters, or words if the model has no character encoder."""
        return self.word_embeddings if self.char_encoder is None else self.char_encoder.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
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
        r"""Args:
            input_ids: character ids [B, W, M] from `ElmoTokenizer`; a row of zeros is no word. Word-input models take
                word ids [B, W] or [B, W, 1], 0 for no word; models with a lexicon [B, W, 1 + M], the word's id first.
            attention_mask: [B, W], 1 for words, 0 for padding, which may stand anywhere. Default: what the ids say.
            inputs_embeds: character vectors [B, W, M, d] (word-input models: word vectors [B, W, P]; models with a
                lexicon: [B, W, D + M * d], see `ElmoCharacterEncoder.embed`) in place of `input_ids`.
            initial_states: states to start from, `(hidden [R, L, directions, H], cell [R, L, directions, C])`, usually
                the `states` of the previous batch. Default: every sentence starts anew.
            output_hidden_states: return every layer.
            pooling_layer: what `last_hidden_state` is, see `ElmoConfig`; layers that nothing needs are not computed.
            return_boundaries: return the vectors of `<S>` and `</S>` too, around each sentence; W becomes W + 2.
            return_states: return the LSTM states after each sentence.
            kwargs: ignored; transformers' pipelines and PEFT pass keywords that have no meaning here.

        Raises:
            ValueError: if an input has the wrong shape or ids, or contradicts another.
        """
        config = self.config
        if output_hidden_states is None:
            output_hidden_states = bool(config.output_hidden_states)
        pooled = config.layer_index(config.pooling_layer if pooling_layer is None else pooling_layer)
        depth = config.num_hidden_layers if output_hidden_states or return_states or pooled is None else pooled
        if return_boundaries and not config.sentence_boundaries:
            raise ValueError("return_boundaries needs a model with config.sentence_boundaries; this one adds none.")

        mask = self._check_inputs(input_ids, attention_mask, inputs_embeds)
        packing = pack(mask, config.sentence_boundaries)
        streams = self._directions(self._packed_words(input_ids, inputs_embeds, mask, packing), packing)
        if return_boundaries:
            shown, shown_mask = add_boundaries(packing, mask)
        else:
            shown, shown_mask = packing, mask

        packed_layers, states = self.run_layers(streams, packing, initial_states, depth)
        layers = [unpack(layer, shown, shown_mask) for layer in packed_layers]

        word_emb = layers[0][..., : config.projection_size]
        if config.aligned:
            layers = [layer @ matrix.T for layer, matrix in zip(layers, self.alignments(), strict=False)]
        mixes = None
        if self.scalar_mixes and (pooled is None or output_hidden_states):
            mixes = self._mix(layers, packed_layers, packing, mask, shown_mask)
        first = mixes[:, 0] if mixes is not None and pooled is None else layers[pooled] if pooled else word_emb
        return ElmoModelOutput(
            last_hidden_state=first,
            hidden_states=tuple(layers) if output_hidden_states else None,
            elmo_representations=mixes,
            word_emb=word_emb if output_hidden_states else None,
            states=states if return_states else None,
            attention_mask=shown_mask.long() if return_boundaries else None,
        )

    def alignments(self) -> list[Tensor]:
        """The matrices [D, D] that turn each layer, word vectors first; none unless `config.aligned`."""
        layers = range(self.config.num_hidden_layers + 1) if self.config.aligned else ()
        return [getattr(self, f"alignment_{layer}") for layer in layers]

    def run_layers(
        self,
        streams: Tensor,
        packing: Packing,
        initial_states: ElmoStates | tuple[Tensor, Tensor] | None = None,
        depth: int | None = None,
    ) -> tuple[list[Tensor], ElmoStates | None]:
        """The first `depth` LSTM layers (default: all) over packed word vectors.

        Args:
            streams: [directions, N, P], each direction in its own order of time.

        Returns:
            `depth` + 1 packed layers, `streams` first, and the states after each sentence if all layers ran.
        """
        hidden, cell, surplus = self._initial_states(initial_states, packing, streams)
        packed = [streams]
        final: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(self.layers[:depth]):
            streams, *after = layer(packed[-1], hidden[index], cell[index], packing.steps, self.config.recurrence)
            packed.append(streams)
            final.append((after[0], after[1]))
        return packed, self._final_states(final, packing, surplus)

    def _check_inputs(self, ids: Tensor | None, attention_mask: Tensor | None, embeds: Tensor | None) -> Tensor:
        """The mask [B, W] of real words; raises ValueError if the inputs do not make sense."""
        if (ids is None) == (embeds is None):
            raise ValueError("pass either input_ids or inputs_embeds, and not both.")
        present = self._check_ids(ids) if ids is not None else self._check_embeds(embeds)
        if attention_mask is None:
            return present
        if attention_mask.shape != present.shape:
            raise ValueError(
                f"attention_mask must be {list(present.shape)}, [batch, words]; got {list(attention_mask.shape)}."
            )
        mask = attention_mask.to(present.device) != 0
        if not bool((mask == attention_mask.to(present.device)).all()):
            raise ValueError("attention_mask must hold 1 for words and 0 for padding and nothing else.")
        ghosts = (mask & ~present).nonzero()
        if len(ghosts):
            raise ValueError(
                f"attention_mask contradicts input_ids: it is 1 at [sentence, word] {ghosts[0].tolist()}, "
                "where the ids are all zero, which means no word."
            )
        return mask

    def _check_embeds(self, embeds: Any) -> Tensor:
        config = self.config
        sizes = (config.max_characters_per_token, config.character_embedding_size)
        expected: tuple[int, ...] = (config.projection_size,) if self.char_encoder is None else sizes
        if config.lexicon_size:
            expected = ((config.lexicon_embedding_size or 0) + sizes[0] * sizes[1],)
        if embeds.dim() < 3 or tuple(embeds.shape[2:]) != expected:
            shape = ", ".join(["batch", "words", *map(str, expected)])
            raise ValueError(f"inputs_embeds must have shape [{shape}]; got {list(embeds.shape)}.")
        return torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)

    def _check_ids(self, ids: Tensor) -> Tensor:
        width = self.config.num_ids_per_word
        if self.char_encoder is not None and (ids.dim() != 3 or ids.shape[2] != width):
            raise ValueError(
                f"input_ids must have shape [batch, words, {width}], character ids; got {list(ids.shape)}."
            )
        if self.char_encoder is None and (ids.dim() not in (2, 3) or (ids.dim() == 3 and ids.shape[2] != 1)):
            raise ValueError(
                f"input_ids must have shape [batch, words] or [batch, words, 1], word ids; got {list(ids.shape)}."
            )
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise ValueError(f"input_ids must be integers; got {ids.dtype}.")
        if ids.numel() and self.config.lexicon_size:
            _check_range(ids[..., 0], self.config.lexicon_size, "the words of input_ids")
            _check_range(ids[..., 1:], self.config.vocab_size, "the characters of input_ids")
        elif ids.numel():
            _check_range(ids, self.config.vocab_size, "input_ids")
        return (ids != PAD_ID).any(-1) if ids.dim() == 3 else ids != PAD_ID

    def _packed_words(self, ids: Tensor | None, embeds: Any, mask: Tensor, packing: Packing) -> Tensor:
        """Word vectors in packed order [N, P], each distinct word computed once."""
        boundaries = self._boundary_rows(mask.device)[: len(packing.boundary_slots)]
        if ids is not None:
            words = ids.reshape(*mask.shape, boundaries.shape[1])[mask].long()
            distinct, index = unique_rows(torch.cat([words, boundaries]))
            vectors = self._word_vectors(distinct)
        else:
            words = embeds[mask] if self.char_encoder is None else self.char_encoder.encode_embeddings(embeds[mask])
            vectors = torch.cat([words, self._word_vectors(boundaries)])
            index = torch.arange(len(vectors), device=mask.device)
        source = index.new_empty(packing.num_slots)
        source[packing.word_slots] = index[: len(words)]
        source[packing.boundary_slots] = index[len(words) :, None]
        return vectors.index_select(0, source)

    def _boundary_rows(self, device: torch.device) -> Tensor:
        """Ids of the words `<S>` and `</S>`, [2, M]; [0, M] if the model adds none; a lexicon's go first."""
        config = self.config
        if not config.sentence_boundaries:
            return torch.zeros(0, config.num_ids_per_word, dtype=torch.long, device=device)
        bos, eos = config.bos_token_id, config.eos_token_id
        if bos is None or eos is None or max(bos, eos) >= config.vocab_size:
            raise ValueError(
                f"bos_token_id and eos_token_id must be below vocab_size, {config.vocab_size}; got {bos} and {eos}."
            )
        marks = torch.tensor([[bos], [eos]], device=device)
        if self.char_encoder is not None:
            rows = marks.new_full((2, config.max_characters_per_token), config.character_pad_id)
            rows[:, 0], rows[:, 1:2], rows[:, 2] = config.character_bow_id, marks, config.character_eow_id
            marks = rows
            if config.lexicon_size:
                words = torch.tensor([[config.lexicon_bos_id], [config.lexicon_eos_id]], device=device)
                marks = torch.cat([words, rows], dim=1)
        return marks

    def _word_vectors(self, ids: Tensor) -> Tensor:
        return self.word_embeddings(ids.squeeze(1)) if self.char_encoder is None else self.char_encoder(ids)

    def _directions(self, words: Tensor, packing: Packing) -> Tensor:
        """Each direction's stream in its own order of time, [directions, N, P]."""
        if not self.config.bidirectional:
            return words[None]
        return torch.stack([words, words.index_select(0, packing.reverse)])

    def _initial_states(
        self, given: ElmoStates | tuple[Tensor, Tensor] | None, packing: Packing, streams: Tensor
    ) -> tuple[Tensor, Tensor, ElmoStates | None]:
        """Hidden [L, directions, B, H] and cell [L, directions, B, C] of the ranked sentences; surplus rows."""
        config = self.config
        batch = len(packing.order)
        # Sums that run over a whole sentence stay in float32 at least.
        dtypes = (streams.dtype, torch.promote_types(streams.dtype, torch.float32))
        stored: tuple[Any, Any] = (None, None)
        if config.stored_initial_state:
            stored = (self.initial_hidden, self.initial_cell)
        ranked, surplus = [], []
        for index, (name, size) in enumerate((("hidden", config.output_size), ("cell", config.cell_size))):
            shape = (config.num_hidden_layers, config.num_directions, size)
            start = streams.new_zeros(shape) if stored[index] is None else stored[index]
            rows = start.to(dtypes[index]).expand(batch, *shape)
            if given is not None:
                state = given[index]
                if tuple(state.shape[1:]) != shape:
                    raise ValueError(
                        f"initial_states: {name} must have shape [rows, {', '.join(map(str, shape))}]; "
                        f"got {list(state.shape)}."
                    )
                state = state.to(rows.device, dtypes[index])
                surplus.append(state[batch:])
                rows = torch.cat([state[:batch], rows[len(state) :]])
            ranked.append(rows[packing.order].permute(1, 2, 0, 3))
        return ranked[0], ranked[1], ElmoStates(*surplus) if surplus else None

    def _final_states(
        self, final: list[tuple[Tensor, Tensor]], packing: Packing, surplus: ElmoStates | None
    ) -> ElmoStates | None:
        """The states after the sentences, in the batch's order; None unless every layer ran."""
        if len(final) < len(self.layers):
            return None
        states = []
        for index in range(2):
            ranked = torch.stack([layer[index] for layer in final]).permute(2, 0, 1, 3)
            rows = torch.empty_like(ranked).index_copy(0, packing.order, ranked)
            states.append(rows if surplus is None else torch.cat([rows, surplus[index]]))
        return ElmoStates(*states)

    def _mix(
        self, layers: list[Tensor], packed: list[Tensor], packing: Packing, mask: Tensor, shown_mask: Tensor
    ) -> Tensor:
        if self.config.mix_layer_norm == "with_boundaries":  # AllenNLP's scope and epsilon
            statistics = [torch.cat(tuple(streams), dim=1) for streams in packed]
            layers = [normalize_over_batch(h, s, shown_mask, 1e-13) for h, s in zip(layers, statistics, strict=True)]
        elif self.config.mix_layer_norm == "without_boundaries":  # bilm-tf's
            statistics = [unpack(streams, packing, mask)[mask] for streams in packed]
            layers = [normalize_over_batch(h, s, shown_mask, 1e-12) for h, s in zip(layers, statistics, strict=True)]
        dropout = self.config.output_dropout
        mixes = [F.dropout(mix(tuple(layers)), dropout, self.training) for mix in self.scalar_mixes]
        return torch.stack(mixes, dim=1)

    def word_cache_info(self) -> CacheInfo:
        """Hits and misses of the cache of word vectors; none where it is not used (`ElmoConfig.word_cache_size`)."""
        cache = getattr(self.char_encoder, "cache", None)
        return CacheInfo(0, 0, self.config.word_cache_size, 0) if cache is None else cache.info()

    @torch.no_grad()
    def calibrate_initial_state(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, rounds: int = 3
    ) -> ElmoStates:
        """Store the state that sentences end in as the state that every sentence starts from.

        The biLM was trained on running text and never saw the zero state again after its first batch. A stored state
        is as warm as AllenNLP's and still the same for every sentence, batch and run. Needs
        `config.stored_initial_state`; saved with the weights.

        Args:
            input_ids, attention_mask: typical sentences, as for `forward`.
            rounds: how often they are read, states carried from round to round.

        Returns:
            The stored state, one row: the mean over the sentences.
        """
        if not self.config.stored_initial_state:
            raise ValueError("calibrate_initial_state needs config.stored_initial_state=True; it is False.")
        states = None
        for _ in range(rounds):
            states = self(input_ids, attention_mask, initial_states=states, return_states=True).states
        if states is None or not len(states.hidden):
            raise ValueError(f"calibrate_initial_state needs a sentence and a round; got {rounds} rounds.")
        mean = ElmoStates(*(state.mean(0, keepdim=True) for state in states))
        self.initial_hidden.copy_(mean.hidden[0])
        self.initial_cell.copy_(mean.cell[0])
        return mean


# ---------------------------------------------------------------- language model


@dataclass
class ElmoForPreTrainingOutput(ModelOutput):
    """What the language model says of words.

    Args:
        loss: with `labels`: the mean of the directions' mean losses, in nats a prediction. In training that of the
            training softmax, otherwise exact: `exp(loss)` is the perplexity.
        forward_log_probs: with `labels`, outside training: log p(word | words before) [B, W], 0 where nothing is asked.
        backward_log_probs: log p(word | words after) [B, W].
        boundary_log_probs: log p(`</S>` | sentence) forward and log p(`<S>` | sentence) backward, [B, directions].
        prediction_states: what each word is predicted from, [B, W, directions * H]; by default
            without `labels` alone.
        hidden_states: with `output_hidden_states`: the layers of `ElmoModel`, L + 1 of [B, W, directions * H].
        states: with `return_states`: the LSTM states after each sentence.
    """

    loss: Tensor | None = None
    forward_log_probs: Tensor | None = None
    backward_log_probs: Tensor | None = None
    boundary_log_probs: Tensor | None = None
    prediction_states: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    states: ElmoStates | None = None


class ElmoForPreTraining(ElmoPreTrainedModel):
    """`ElmoModel` and the softmax that both directions share; needs `config.word_vocab_size`."""

    _auto_class = "AutoModelForPreTraining"
    accepts_loss_kwargs = False  # the loss is a mean already, whatever Trainer knows of the batch

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.elmo = ElmoModel(config)
        self.softmax = ElmoSoftmax(config)
        self.post_init()
        self.freeze()

    def freeze(self) -> None:
        """The scalar mix is no part of the language model, and weights without gradients would stop several GPUs."""
        super().freeze()
        self.elmo.scalar_mixes.requires_grad_(False)

    def get_input_embeddings(self) -> Any:
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
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
        r"""Whole sentences, or, with `reverse_input_ids`, windows of running text.

        Args:
            input_ids: [B, W, M] as for `ElmoModel`. Of running text every word counts, `<S>` and `</S>` among them, and
                the model adds none.
            attention_mask: [B, W] as for `ElmoModel`; not for running text, which has no padding.
            labels: ids [B, W] of the words in the vocabulary, -100 for none. Of running text: the next words.
            reverse_input_ids, reverse_labels: the text that the backward direction reads from left to right, each
                sentence reversed, and its next words; same shapes.
            inputs_embeds: in place of `input_ids`, as for `ElmoModel`.
            initial_states: as for `ElmoModel`; running text carries the `states` from window to window.
            output_hidden_states, return_states, return_prediction_states: see `ElmoForPreTrainingOutput`.
            kwargs: ignored.

        Raises:
            ValueError: if an input has the wrong shape or ids, or contradicts another.
        """
        elmo = self.elmo
        mask = elmo._check_inputs(input_ids, attention_mask, inputs_embeds)
        for name, given in (("labels", labels), ("reverse_labels", reverse_labels)):
            self._check_labels(name, given, mask)
        running = reverse_input_ids is not None
        if reverse_input_ids is not None:
            if input_ids is None or reverse_input_ids.shape != input_ids.shape:
                raise ValueError(
                    f"reverse_input_ids must have the shape of input_ids; got {list(reverse_input_ids.shape)}."
                )
            if not bool((mask & elmo._check_inputs(reverse_input_ids, None, None)).all()):
                raise ValueError("running text must have no padding; got rows of zeros or an attention_mask with 0.")
        packing = pack(mask, self.config.sentence_boundaries and not running)
        if running:
            both: Any = [input_ids, reverse_input_ids][: self.config.num_directions]
            streams = torch.stack([elmo._packed_words(ids, None, mask, packing) for ids in both])
        else:
            streams = elmo._directions(elmo._packed_words(input_ids, inputs_embeds, mask, packing), packing)
        packed, states = elmo.run_layers(streams, packing, initial_states)
        tops = F.dropout(packed[-1], self.config.lstm_dropout, self.training)

        if running:
            texts = [labels, reverse_labels][: self.config.num_directions]
            targets = None if labels is None else [self._running_targets(ids, packing, mask) for ids in texts]
            predictors = torch.ones(packing.num_slots, dtype=torch.bool, device=mask.device)
        else:
            targets = None if labels is None else self._sentence_targets(labels, packing, mask)
            predictors = self._predictors(packing)
        loss, log_probs = None, {}
        if targets is not None:
            vectors = [top[predictors] for top in tops]
            losses = [self.softmax.loss(v, t) for v, t in zip(vectors, targets, strict=True)] if self.training else []
            if not self.training:
                scores = [self.softmax.log_prob(v, t) for v, t in zip(vectors, targets, strict=True)]
                counts = [(t != IGNORED).sum().clamp(min=1) for t in targets]
                losses = [-score.sum() / count for score, count in zip(scores, counts, strict=True)]
                if not running:
                    log_probs = self._placed(scores, packing, mask)
            loss = torch.stack(losses).mean()
        seen_from = None
        if not running and (labels is None if return_prediction_states is None else return_prediction_states):
            seen_from = self._prediction_states(tops, predictors, packing, mask)
        layers = None
        if self.config.output_hidden_states if output_hidden_states is None else output_hidden_states:
            layers = tuple(unpack(layer, packing, mask) for layer in packed)
        return ElmoForPreTrainingOutput(
            loss=loss,
            prediction_states=seen_from,
            hidden_states=layers,
            states=states if return_states else None,
            **log_probs,
        )

    def _check_labels(self, name: str, labels: Tensor | None, mask: Tensor) -> None:
        if labels is None:
            return
        if labels.shape != mask.shape or labels.is_floating_point():
            raise ValueError(
                f"{name} must be integers [batch, words], {list(mask.shape)}; got {labels.dtype} {list(labels.shape)}."
            )
        wrong = labels[mask & (labels != IGNORED) & ((labels < 0) | (labels >= self.softmax.words))]
        if len(wrong):
            raise ValueError(
                f"{name} must be word ids in 0..{self.softmax.words - 1}, or {IGNORED}; got {int(wrong[0])}."
            )

    def _predictors(self, packing: Packing) -> Tensor:
        """Whether a slot [N] has a next one in its sentence; those have, in order, the slots from step 1 on."""
        follows = [
            [True] * after + [False] * (live - after)
            for live, after in zip(packing.batch_sizes, [*packing.batch_sizes[1:], 0], strict=False)
        ]
        flat = [flag for step in follows for flag in step]
        return torch.tensor(flat, dtype=torch.bool, device=packing.reverse.device)

    def _sentence_targets(self, labels: Tensor, packing: Packing, mask: Tensor) -> list[Tensor]:
        """What each predicting slot should predict, for each direction."""
        words = labels.new_full((packing.num_slots,), IGNORED)
        words[packing.word_slots] = labels.to(words.device)[mask]
        if len(packing.boundary_slots):
            bos, eos = self.config.word_bos_id, self.config.word_eos_id
            words[packing.boundary_slots[0]] = IGNORED if bos is None else bos
            words[packing.boundary_slots[1]] = IGNORED if eos is None else eos
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        return [words[first:], words[packing.reverse][first:]][: self.config.num_directions]

    def _running_targets(self, labels: Tensor | None, packing: Packing, mask: Tensor) -> Tensor:
        if labels is None:
            raise ValueError("running text must have labels for both directions; got one of them.")
        targets = labels.new_empty(packing.num_slots)
        targets[packing.word_slots] = labels[mask]
        return targets

    def _placed(self, scores: list[Tensor], packing: Packing, mask: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of the predicted slots to those of the words and of the boundaries."""
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        slots = [packing.word_slots, packing.reverse[packing.word_slots]]
        ends = []
        placed = {}
        for direction, (name, score) in enumerate(zip(("forward", "backward"), scores, strict=False)):
            every = torch.cat([score.new_zeros(first), score])
            placed[f"{name}_log_probs"] = place(every[slots[direction], None], mask).squeeze(2)
            if len(packing.boundary_slots):
                # The last slot in each direction's own order of time is that of `</S>`, mirrored or not.
                ends.append(every[packing.boundary_slots[1]])
        if ends:
            placed["boundary_log_probs"] = torch.stack(ends, dim=1)
        return placed

    def _prediction_states(self, tops: Tensor, predictors: Tensor, packing: Packing, mask: Tensor) -> Tensor:
        first = packing.batch_sizes[0] if packing.batch_sizes else 0
        slots = [packing.word_slots, packing.reverse[packing.word_slots]]
        parts = []
        for top, slot in zip(tops, slots, strict=False):
            every = torch.cat([top.new_zeros(first, top.shape[1]), top[predictors]])
            parts.append(every[slot])
        return place(torch.cat(parts, dim=1), mask)


# ---------------------------------------------------------------- heads

# As in the paper (sections 3.2 and 3.3): the biLM keeps its weights, its layers are mixed by learned weights, dropout
# lies on the mix, and `l2 * ||w||^2` over the mix's weights draws it towards the layers' mean.

FROZEN_BY_DEFAULT = ("char_encoder", "word_embeddings", "layers")


class ElmoForClassificationBase(ElmoPreTrainedModel):
    """What both heads share: the biLM, frozen but for `config.trainable_modules`, dropout, and a linear layer."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.elmo = ElmoModel(config)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = initialized(
            nn.Linear(self._classifier_inputs(config), config.num_labels), normal=config.hidden_size**-0.5
        )
        self.post_init()
        self.freeze()

    def _classifier_inputs(self, config: ElmoConfig) -> int:
        return config.hidden_size

    def freeze(self) -> None:
        """Train the parts of the biLM that `config.trainable_modules` names, and no others; the rest always trains.

        Raises ValueError if a name is no part.
        """
        super().freeze()
        parts = self.config.trainable_modules
        known = {name for name, _ in self.elmo.named_modules() if name.split(".")[0] in FROZEN_BY_DEFAULT}
        unknown = [part for part in parts if part not in known]
        if unknown:
            raise ValueError(
                "trainable_modules must name modules of the biLM such as 'char_encoder', 'layers' or 'layers.1'; "
                f"got {unknown[0]!r}."
            )
        for name, parameter in self.elmo.named_parameters():
            if name.split(".")[0] in FROZEN_BY_DEFAULT:
                parameter.requires_grad_(any(name.startswith(f"{part}.") for part in parts))

    def unfreeze(self, *parts: str) -> None:
        """Train these parts of the biLM too, all of it without a name; kept in the config."""
        present = [name for name in FROZEN_BY_DEFAULT if getattr(self.elmo, name) is not None]
        self.config.trainable_modules = sorted({*self.config.trainable_modules, *(parts or present)})
        self.freeze()

    def get_input_embeddings(self) -> Any:
        return self.elmo.get_input_embeddings()

    def set_input_embeddings(self, value: Any) -> None:
        self.elmo.set_input_embeddings(value)

    def _with_mix_penalty(self, loss: Tensor) -> Tensor:
        strength = self.config.scalar_mix_l2
        if not strength or not self.elmo.scalar_mixes:
            return loss
        weights: Any = self.elmo.scalar_mixes[0].weights
        return loss + strength * weights.square().sum().to(loss.dtype)


class ElmoForTokenClassification(ElmoForClassificationBase):
    """A label for each word: parts of speech, named entities."""

    _auto_class = "AutoModelForTokenClassification"
    accepts_loss_kwargs = False  # the loss is a mean already, whatever Trainer knows of the batch

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
        """`labels` [B, W] in 0..K-1, -100 where none counts; logits [B, W, K]. The rest is as for `ElmoModel`."""
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        logits = self.classifier(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise ValueError(f"labels must be [batch, words], {list(logits.shape[:2])}; got {list(labels.shape)}.")
            # The sum over no label is 0, where the mean would be no number.
            total = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten().to(logits.device), reduction="sum")
            loss = self._with_mix_penalty(total / (labels != -100).sum().clamp(min=1))
        return TokenClassifierOutput(loss=loss, logits=logits, hidden_states=output.hidden_states)


class ElmoForSequenceClassification(ElmoForClassificationBase):
    """A label or a number for each sentence, from the mean and the maximum of its words' vectors."""

    _auto_class = "AutoModelForSequenceClassification"
    accepts_loss_kwargs = False

    def _classifier_inputs(self, config: ElmoConfig) -> int:
        return config.hidden_size * len(config.sentence_pooling)

    def _pool(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """[B, W, D] to [B, D * number of poolings]; zeros for a sentence without words."""
        counts = mask.sum(1, keepdim=True)
        parts = []
        for pooling in self.config.sentence_pooling:
            if pooling == "mean":  # padding is zero already
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
        """`labels` [B] of classes, [B] of numbers (K = 1) or [B, K] of 0 and 1; logits [B, K]."""
        output: ElmoModelOutput = self.elmo(
            input_ids, attention_mask, inputs_embeds, output_hidden_states=output_hidden_states, **kwargs
        )
        vectors: Any = output.last_hidden_state
        mask = self.elmo._check_inputs(input_ids, attention_mask, inputs_embeds).to(vectors.device)
        logits = self.classifier(self.dropout(self._pool(vectors, mask)))
        loss = None
        if labels is not None:
            loss = self._with_mix_penalty(self._loss(logits, labels.to(logits.device)))
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
            raise ValueError(f"labels must be {list(shape)} for problem_type {problem!r}; got {list(labels.shape)}.")
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
