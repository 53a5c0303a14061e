# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo in PyTorch: characters -> words -> bidirectional LSTMs -> a weighted sum of the layers.

Reading order is the order of the data. Shapes: B sentences, W words, M characters a word, d character
vector, F convolution outputs, P word vector, C cells, H output of one direction, L layers.

Source: Peters et al. 2018, "Deep contextualized word representations" (arXiv:1802.05365).
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_elmo import CHARACTER_INPUT, PAD_ID, ElmoConfig
from .initialization_elmo import initialized
from .kernels_elmo import LstmOptions, LstmWeights, projected_lstm
from .packing_elmo import Packing, add_boundaries, pack, unique_rows, unpack
from .products_elmo import forget, product, rows_are_independent
from .recurrence_elmo import CHUNK_BYTES, sigmoid
from .word_cache_elmo import CacheInfo, WordCache

if TYPE_CHECKING:  # never run, but transformers saves and fetches what stands here: a folder serves every Auto class
    from .cuda_elmo import run_layer  # noqa: F401
    from .heads_elmo import ElmoHead  # noqa: F401
    from .operators_elmo import lstm  # noqa: F401
    from .pipelines_elmo import ElmoTokenClassificationPipeline  # noqa: F401
    from .pretraining_elmo import ElmoForPreTraining  # noqa: F401
    from .softmax_elmo import ElmoSoftmax  # noqa: F401


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


def multiply(linear: Any, rows: Tensor) -> Tensor:
    """`linear(rows)`, by the fast product where the module is what it seems."""
    return product(rows, linear.weight, linear.bias) if _is_plain(linear, rows) else linear(rows)


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
            projection = nn.Linear(config.num_word_features, config.projection_size)
            self.projection = initialized(projection, normal=config.num_word_features**-0.5)
        self.lexicon: nn.Module | None = None
        if config.lexicon_size:
            lexicon = nn.Embedding(config.lexicon_size, config.lexicon_embedding_size or 0)
            self.lexicon = initialized(lexicon, normal=1.0, zero_row=True)
        self.activation = F.relu if config.cnn_activation == "relu" else torch.tanh
        self.widest_filter = config.widest_filter
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
        modules = all(type(module) in own or _is_plain(module, ids) for module in self.modules())
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
        return ids[:, : longest + self.widest_filter]

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
            if _is_plain(convolution, characters):
                # A product over all windows: faster than PyTorch's convolution of so few channels.
                windows = characters.unfold(1, convolution.kernel_size[0], 1)
                rows = windows.reshape(-1, windows.shape[2] * windows.shape[3])
                maxima = product(rows, convolution.weight, convolution.bias)
                maxima = maxima.view(*windows.shape[:2], len(convolution.weight)).amax(1)
            else:
                maxima = convolution(characters.transpose(1, 2)).amax(2)
            features.append(self.activation(maxima))
        return torch.cat(features, dim=1)


class ElmoDirection(nn.Module):
    """The matrices of one layer in one direction, each an `nn.Linear` so that LoRA and quantisation find it."""

    def __init__(self, config: ElmoConfig, input_size: int) -> None:
        super().__init__()
        cells, size = config.cell_size, config.output_size
        # Glorot's bound, of the one kernel for input and state that TensorFlow has.
        bound = (6 / (input_size + size + 4 * cells)) ** 0.5
        self.input_linearity = initialized(nn.Linear(input_size, 4 * cells, bias=False), uniform=bound)
        self.state_linearity = initialized(nn.Linear(size, 4 * cells), uniform=bound)
        self.state_projection: nn.Module | None = None
        if config.use_cell_projection:
            bound = (6 / (cells + size)) ** 0.5
            self.state_projection = initialized(nn.Linear(cells, size, bias=False), uniform=bound)

    def weights(self, like: Tensor) -> LstmWeights:
        """What the modules compute, as matrices; `like` gives dtype and device where they must be read off."""
        bias = _bias(self.state_linearity, like)
        if not _is_plain(self.input_linearity, like):  # an adapter can have a bias where the layer itself has none
            bias = bias + _bias(self.input_linearity, like)
        if self.state_projection is not None and not _is_plain(self.state_projection, like):
            _refuse_bias("state_projection", self.state_projection)
        return LstmWeights(
            input=_weight(self.input_linearity, like),
            state=_weight(self.state_linearity, like),
            bias=bias,
            projection=None if self.state_projection is None else _weight(self.state_projection, like),
        )


# Adapters, quantised layers and layers offloaded to the disk do not show their matrices as plain parameters, but they
# pass the identity and zero through like anything else.


def _is_plain(module: Any, like: Tensor) -> bool:
    """Whether a module computes with its parameters and does nothing else: no subclass, no hook, not offloaded."""
    if type(module) not in (nn.Linear, nn.Conv1d, nn.Embedding) or module.weight.device != like.device:
        return False
    return not module._forward_pre_hooks and not module._forward_hooks


def _weight(linear: Any, like: Tensor) -> Tensor:
    if _is_plain(linear, like):
        return linear.weight
    # Enlarged, so that a bias that is added and taken away again leaves the digits of a low precision alone.
    identity = torch.eye(linear.in_features, dtype=like.dtype, device=like.device)
    return ((linear(256 * identity) - linear(torch.zeros_like(identity[:1]))) / 256).T


def _bias(linear: Any, like: Tensor) -> Tensor:
    return linear.bias if _is_plain(linear, like) else linear(like.new_zeros(1, linear.in_features)).squeeze(0)


def _refuse_bias(name: str, linear: Any) -> None:
    biases = [parameter for parameter, _ in linear.named_parameters() if parameter.endswith("bias")]
    if biases:
        raise ValueError(f"{name} must have no bias, which the recurrence would leave out; got {biases[0]!r}.")


class ElmoLayer(GradientCheckpointingLayer):
    """One LSTM layer in all directions, over packed streams."""

    def __init__(self, config: ElmoConfig, index: int) -> None:
        super().__init__()
        input_size = config.output_size if index else config.projection_size
        self.directions: Any = nn.ModuleList(ElmoDirection(config, input_size) for _ in range(config.num_directions))
        # Word vectors are never added to the first layer's outputs.
        self.skip = config.use_skip_connections and index > 0
        self.dropout = config.lstm_dropout
        self.options = LstmOptions(config.cell_clip, config.projection_clip, config.forget_bias)

    def forward(
        self, streams: Tensor, hidden: Tensor, cell: Tensor, batch_sizes: Tensor, recurrence: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Streams [directions, N, input size] to [directions, N, H], with the states of the ranked sentences."""
        streams = F.dropout(streams, self.dropout, self.training)  # what the skip connection adds is dropped too
        weights = [direction.weights(streams) for direction in self.directions]
        outputs, hidden, cell = projected_lstm(streams, batch_sizes, weights, hidden, cell, self.options, recurrence)
        return outputs + streams if self.skip else outputs, hidden, cell


class ElmoScalarMix(nn.Module):
    """`gamma * sum_l softmax(weights)_l * layer_l` (Peters et al. 2018, equation 1)."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, layers: tuple[Tensor, ...]) -> Tensor:
        shares = torch.softmax(self.weights, dim=0)
        mix: Any = sum(share * layer for share, layer in zip(shares, layers, strict=True))
        return self.gamma * mix


def normalize_over_batch(layer: Tensor, statistics: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """One mean and one variance over all words and sizes in `statistics` [n, D]; words outside `mask` stay zero."""
    variance, mean = torch.var_mean(statistics.to(torch.promote_types(statistics.dtype, torch.float32)), correction=0)
    return ((layer - mean) * torch.rsqrt(variance + epsilon) * mask[:, :, None]).to(layer.dtype)


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
            for layer, size in enumerate(config.layer_sizes):
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
        width = self.config.row_width
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
            return torch.zeros(0, config.row_width, dtype=torch.long, device=device)
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


__all__ = ["ElmoModel", "ElmoModelOutput", "ElmoPreTrainedModel", "ElmoStates"]
