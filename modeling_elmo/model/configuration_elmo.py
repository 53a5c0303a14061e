# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo's configuration, and the character alphabet that tokenizer, model and converters share.

Source of the numbers: Peters et al. 2018, "Deep contextualized word representations"
(arXiv:1802.05365), and the `options.json` files of the models released with it.
"""

import math
from typing import Any

from transformers import PretrainedConfig

# A word is a row of character ids: begin-of-word, its UTF-8 bytes (each plus BYTE_OFFSET),
# end-of-word, then CHARACTER_PAD_ID up to the row's width. A row of zeros is no word at all.
PAD_ID = 0
BYTE_OFFSET = 1
BOS_ID = 257  # <S>, the only character of the word that begins a sentence
EOS_ID = 258  # </S>
BOW_ID = 259
EOW_ID = 260
CHARACTER_PAD_ID = 261
ALPHABET_SIZE = 262

CHARACTER_INPUT = "characters"
WORD_INPUT = "words"
INPUT_TYPES = (CHARACTER_INPUT, WORD_INPUT)
CNN_ACTIVATIONS = ("relu", "tanh")
RECURRENCES = ("auto", "reference", "cpu", "cuda", "int8")
SENTENCE_POOLINGS = ("mean", "max")
SOFTMAXES = ("full", "sampled", "adaptive")
MIX_LAYER_NORMS = (None, "with_boundaries", "without_boundaries")

# What remote code needs to find the classes: every head, also in a repository of the base model.
AUTO_MAP = {
    "AutoConfig": "configuration_elmo.ElmoConfig",
    "AutoModel": "modeling_elmo.ElmoModel",
    "AutoModelForPreTraining": "modeling_elmo.ElmoForPreTraining",
    "AutoModelForTokenClassification": "modeling_elmo.ElmoForTokenClassification",
    "AutoModelForSequenceClassification": "modeling_elmo.ElmoForSequenceClassification",
}

# Fields that config.json holds only where they differ from these: most models need none of them.
_UNSPOKEN: dict[str, Any] = {
    "character_bow_id": BOW_ID,
    "character_eow_id": EOW_ID,
    "character_pad_id": CHARACTER_PAD_ID,
    "lexicon_size": None,
    "lexicon_embedding_size": None,
    "lexicon_bos_id": None,
    "lexicon_eos_id": None,
    "aligned": False,
}

_FILTERS_2048 = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]

# The architectures released with the paper; their names are those of `ElmoConfig.from_preset`.
PRESETS: dict[str, dict[str, int]] = {
    "small": {"cell_size": 1024, "projection_size": 128, "num_highway_layers": 1},
    "medium": {"cell_size": 2048, "projection_size": 256, "num_highway_layers": 1},
    "original": {"cell_size": 4096, "projection_size": 512, "num_highway_layers": 2},
}


def _choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}.")
    return value


def _positive_integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer; got {value!r}.")
    return value


def _clip(name: str, value: Any) -> float | None:
    """A bound, or None for none; 0 and null mean none in the old option files."""
    if not value:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive finite number or None; got {value!r}.")
    return float(value)


def _filters(value: Any) -> list[list[int]]:
    try:
        filters = [[_positive_integer("a filter's width or count", n) for n in pair] for pair in value]
        well_formed = bool(filters) and all(len(pair) == 2 for pair in filters)
    except (TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise ValueError(f"filters must be a list of [width, count] pairs of positive integers; got {value!r}.")
    return filters


def _cutoffs(value: Any, words: int) -> list[int]:
    if value is None:
        value = sorted({max(1, words // 8), max(1, words // 2)})
    rising = isinstance(value, list) and value and all(type(cutoff) is int for cutoff in value)
    if not rising or value != sorted(set(value)) or not 0 < value[0] <= value[-1] < words:
        raise ValueError(
            f"adaptive_softmax_cutoffs must be rising integers between 0 and word_vocab_size, {words}; got {value!r}."
        )
    return value


class ElmoConfig(PretrainedConfig):
    r"""The architecture of a bidirectional language model (biLM) and what its first output is.

    The defaults are the model that the paper calls ELMo: 93,600,848 weights without the scalar mix.

    Args:
        vocab_size: rows of the input table: characters (262 for bytes), or words plus one if `input_type` is `"words"`.
        input_type: `"characters"` for the character CNN, `"words"` for a table of word vectors in its place.
        max_characters_per_token: width M of a word's row of character ids, both word boundaries included.
        character_embedding_size: size d of a character vector.
        filters: the convolutions over a word's characters, a list of `[width, count]` in the order of the output.
        cnn_activation: `"relu"` or `"tanh"`, after the maximum over positions.
        num_highway_layers: highway layers after the convolutions; 0 for none.
        use_character_projection: whether a linear map takes the convolutions' outputs to `projection_size`.
            Without it their number must be `projection_size` already.
        projection_size: size P of a word vector and of each direction's output.
        cell_size: size C of the LSTM's cell state.
        use_cell_projection: whether the LSTM's output is projected from C to P. Without it the output has C numbers.
        num_hidden_layers: number L of LSTM layers in each direction.
        bidirectional: False for a forward language model alone.
        use_skip_connections: whether each LSTM layer but the first adds its input to its output.
        cell_clip: bound on the absolute cell state; None or 0 for none.
        projection_clip: bound on the absolute projected output; None or 0 for none. No effect without projection.
        forget_bias: added to the forget gate when the model runs. Checkpoints of bilm-tf leave 1.0 out of their bias.
        sentence_boundaries: whether the model puts `<S>` and `</S>` around each sentence.
        pooling_layer: what the first output is: `"elmo"` (the scalar mix), `"word_emb"`, or `"lstm_outputs1"`,
            `"lstm_outputs2"`, ... `f"lstm_outputs{num_hidden_layers}"`.
        num_output_representations: number of scalar mixes; the first one is the first output.
        scalar_mix_parameters: initial weights of the mix *before* the softmax, L + 1 of them; None for zeros.
        freeze_scalar_mix: whether the mix keeps its weights in training.
        mix_layer_norm: normalise each layer over all words of the batch before the mix, statistics
            `"with_boundaries"` (AllenNLP) or `"without_boundaries"` (bilm-tf). For parity only: it makes a vector
            depend on the batch.
        output_dropout: dropout on the mixes in training; the paper uses 0.5.
        lstm_dropout: dropout in training on the input of every LSTM layer and on the last one's output; bilm-tf's
            recipe has 0.1.
        classifier_dropout: of the heads, on the mix; 0.5 in the paper.
        scalar_mix_l2: strength of the heads' penalty on the squares of the mix's weights; the paper has 0.001 to 1.
        trainable_modules: modules of the biLM that the heads train, such as `"char_encoder"`, `"layers"` or `"layers.1"`;
            none by default.
        sentence_pooling: what `ElmoForSequenceClassification` makes of a sentence's vectors, of `"mean"` and `"max"`.
        word_vocab_size: number V of words that the language model predicts (`ElmoForPreTraining`); None without one.
        word_bos_id, word_eos_id: ids of `<S>` and `</S>` in that vocabulary, which is `vocab.txt` in the model folder.
        softmax: `"full"`, `"sampled"` (in training; scores are exact) or `"adaptive"`.
        num_sampled_words: size of the sample.
        adaptive_softmax_cutoffs: ids, rising, at which the vocabulary is cut; default: the most frequent eighth and
            the first half.
        adaptive_softmax_div_value: how many times fewer numbers each part has than the one before.
        stored_initial_state: whether the LSTMs start from the state stored with the weights
            (see `ElmoModel.calibrate_initial_state`) instead of zero.
        word_cache_size: words whose vectors are kept across batches, on a CPU in float32 and without gradients; 0 for
            none. They take `word_cache_size * projection_size * 4` bytes.
        bos_token_id, eos_token_id: what begins and ends a sentence; with `input_type="words"` the vocabulary's ids.
        character_bow_id, character_eow_id, character_pad_id: the characters that begin, end and fill up a word. The
            default goes with UTF-8 bytes; the alphabets of ELMoForManyLangs have others.
        lexicon_size: rows of a table of word vectors, row 0 for no word, that go into the projection before the
            convolutions' outputs; None for none. With it each row of ids begins with the word's own.
        lexicon_embedding_size: size of these vectors.
        lexicon_bos_id, lexicon_eos_id: rows of what begins and ends a sentence.
        aligned: whether each layer is multiplied with a stored matrix, its own, before the mix: into another language's
            space (Schuster et al. 2019, arXiv:1902.09492; see `conversion.alignment`).
        recurrence: implementation of the LSTM: `"auto"` picks the fastest that can run and is exact; `"int8"` rounds
            the LSTMs' weights to eight bits, on a CPU, for inference (cosine to the exact vectors above 0.999).
        initializer_range: scale of the random initialisation, 1.0 for the recipe of bilm-tf.
    """

    model_type = "elmo"

    def __init__(
        self,
        vocab_size: int = ALPHABET_SIZE,
        input_type: str = CHARACTER_INPUT,
        max_characters_per_token: int = 50,
        character_embedding_size: int = 16,
        filters: list[list[int]] | None = None,
        cnn_activation: str = "relu",
        num_highway_layers: int = 2,
        use_character_projection: bool = True,
        projection_size: int = 512,
        cell_size: int = 4096,
        use_cell_projection: bool = True,
        num_hidden_layers: int = 2,
        bidirectional: bool = True,
        use_skip_connections: bool = True,
        cell_clip: float | None = 3.0,
        projection_clip: float | None = 3.0,
        forget_bias: float = 1.0,
        sentence_boundaries: bool = True,
        pooling_layer: str = "elmo",
        num_output_representations: int = 1,
        scalar_mix_parameters: list[float] | None = None,
        freeze_scalar_mix: bool = False,
        mix_layer_norm: str | None = None,
        output_dropout: float = 0.0,
        lstm_dropout: float = 0.0,
        classifier_dropout: float = 0.5,
        scalar_mix_l2: float = 0.001,
        trainable_modules: list[str] | None = None,
        sentence_pooling: list[str] | None = None,
        word_vocab_size: int | None = None,
        word_bos_id: int | None = None,
        word_eos_id: int | None = None,
        softmax: str = "full",
        num_sampled_words: int = 8192,
        adaptive_softmax_cutoffs: list[int] | None = None,
        adaptive_softmax_div_value: float = 4.0,
        stored_initial_state: bool = False,
        word_cache_size: int = 16384,
        recurrence: str = "auto",
        initializer_range: float = 1.0,
        pad_token_id: int = PAD_ID,
        bos_token_id: int | None = None,
        eos_token_id: int | None = None,
        character_bow_id: int = BOW_ID,
        character_eow_id: int = EOW_ID,
        character_pad_id: int = CHARACTER_PAD_ID,
        lexicon_size: int | None = None,
        lexicon_embedding_size: int | None = None,
        lexicon_bos_id: int | None = None,
        lexicon_eos_id: int | None = None,
        aligned: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = _positive_integer("vocab_size", vocab_size)
        self.input_type = _choice("input_type", input_type, INPUT_TYPES)
        self.max_characters_per_token = _positive_integer("max_characters_per_token", max_characters_per_token)
        self.character_embedding_size = _positive_integer("character_embedding_size", character_embedding_size)
        self.filters = _filters(_FILTERS_2048 if filters is None else filters)
        self.cnn_activation = _choice("cnn_activation", cnn_activation, CNN_ACTIVATIONS)
        self.num_highway_layers = num_highway_layers and _positive_integer("num_highway_layers", num_highway_layers)
        self.use_character_projection = bool(use_character_projection)
        self.projection_size = _positive_integer("projection_size", projection_size)
        self.cell_size = _positive_integer("cell_size", cell_size)
        self.use_cell_projection = bool(use_cell_projection)
        self.num_hidden_layers = _positive_integer("num_hidden_layers", num_hidden_layers)
        self.bidirectional = bool(bidirectional)
        self.use_skip_connections = bool(use_skip_connections)
        self.cell_clip = _clip("cell_clip", cell_clip)
        self.projection_clip = _clip("projection_clip", projection_clip)
        self.forget_bias = float(forget_bias)
        self.sentence_boundaries = bool(sentence_boundaries)
        self.pooling_layer = pooling_layer
        self.num_output_representations = _positive_integer("num_output_representations", num_output_representations)
        self.scalar_mix_parameters = (
            None if scalar_mix_parameters is None else [float(w) for w in scalar_mix_parameters]
        )
        self.freeze_scalar_mix = bool(freeze_scalar_mix)
        self.mix_layer_norm = _choice("mix_layer_norm", mix_layer_norm, MIX_LAYER_NORMS)
        self.output_dropout = float(output_dropout)
        self.lstm_dropout = float(lstm_dropout)
        self.classifier_dropout = float(classifier_dropout)
        self.scalar_mix_l2 = float(scalar_mix_l2)
        self.trainable_modules = list(trainable_modules or ())
        self.sentence_pooling = [
            _choice("sentence_pooling", p, SENTENCE_POOLINGS) for p in sentence_pooling or ["mean"]
        ]
        self.word_vocab_size = word_vocab_size and _positive_integer("word_vocab_size", word_vocab_size)
        self.word_bos_id = word_bos_id
        self.word_eos_id = word_eos_id
        self.softmax = _choice("softmax", softmax, SOFTMAXES)
        self.num_sampled_words = _positive_integer("num_sampled_words", num_sampled_words)
        self.adaptive_softmax_cutoffs = adaptive_softmax_cutoffs
        if self.word_vocab_size and softmax == "adaptive":
            self.adaptive_softmax_cutoffs = _cutoffs(adaptive_softmax_cutoffs, self.word_vocab_size)
        self.adaptive_softmax_div_value = float(adaptive_softmax_div_value)
        self.stored_initial_state = bool(stored_initial_state)
        self.word_cache_size = word_cache_size and _positive_integer("word_cache_size", word_cache_size)
        self.recurrence = _choice("recurrence", recurrence, RECURRENCES)
        self.initializer_range = float(initializer_range)
        self.character_bow_id = _positive_integer("character_bow_id", character_bow_id)
        self.character_eow_id = _positive_integer("character_eow_id", character_eow_id)
        self.character_pad_id = _positive_integer("character_pad_id", character_pad_id)
        self.lexicon_size = lexicon_size and _positive_integer("lexicon_size", lexicon_size)
        self.lexicon_embedding_size = lexicon_embedding_size
        self.lexicon_bos_id = lexicon_bos_id
        self.lexicon_eos_id = lexicon_eos_id
        self.aligned = bool(aligned)

        stored_hidden_size = kwargs.pop("hidden_size", None)  # config.json names it for other readers
        self._check_sizes(stored_hidden_size)
        self.layer_index(pooling_layer)
        if self.input_type == CHARACTER_INPUT:
            bos_token_id = BOS_ID if bos_token_id is None else bos_token_id
            eos_token_id = EOS_ID if eos_token_id is None else eos_token_id
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)

    def _check_sizes(self, stored_hidden_size: int | None) -> None:
        if self.input_type == CHARACTER_INPUT:
            least = max(self.character_bow_id, self.character_eow_id, self.character_pad_id) + 1
            if self.vocab_size < least:
                raise ValueError(f"vocab_size must be at least {least} for characters; got {self.vocab_size}.")
            if self.max_characters_per_token < max(3, self.max_filter_width):
                raise ValueError(
                    f"max_characters_per_token must be at least 3 and the widest filter, {self.max_filter_width}; "
                    f"got {self.max_characters_per_token}."
                )
            if not self.use_character_projection and self.num_filters != self.projection_size:
                raise ValueError(
                    "without a character projection the number of filters must be projection_size, "
                    f"{self.projection_size}; got {self.num_filters}."
                )
        if self.lexicon_size:
            self._check_lexicon()
        if self.aligned and self.mix_layer_norm is not None:
            raise ValueError(f"mix_layer_norm must be None in an aligned model; got {self.mix_layer_norm!r}.")
        parts = len(self.adaptive_softmax_cutoffs or ())
        if self.softmax == "adaptive" and self.output_size < self.adaptive_softmax_div_value**parts:
            raise ValueError(
                f"adaptive_softmax_div_value to the power of the number of cutoffs, {parts}, must be at most the output "
                f"size, {self.output_size}; got {self.adaptive_softmax_div_value:g}."
            )
        if stored_hidden_size not in (None, self.hidden_size):
            raise ValueError(
                f"hidden_size follows from the directions' output size and must be {self.hidden_size}; "
                f"got {stored_hidden_size}."
            )
        weights = self.scalar_mix_parameters
        if weights is not None and len(weights) != self.num_hidden_layers + 1:
            raise ValueError(
                f"scalar_mix_parameters must have one weight a layer, {self.num_hidden_layers + 1}; got {len(weights)}."
            )
        for name in ("output_dropout", "lstm_dropout", "classifier_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1); got {getattr(self, name)}.")

    def _check_lexicon(self) -> None:
        if self.input_type != CHARACTER_INPUT or not self.use_character_projection:
            raise ValueError("a lexicon must stand beside characters, with a character projection that takes both.")
        _positive_integer("lexicon_embedding_size", self.lexicon_embedding_size)
        for name in ("lexicon_bos_id", "lexicon_eos_id"):
            value = _positive_integer(name, getattr(self, name))
            if value >= (self.lexicon_size or 0):
                raise ValueError(f"{name} must be below lexicon_size, {self.lexicon_size}; got {value}.")

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "ElmoConfig":
        """A released architecture: `"small"`, `"medium"` or `"original"` (the 5.5B model's too)."""
        return cls(**{**PRESETS[_choice("preset", name, tuple(PRESETS))], **overrides})

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def num_filters(self) -> int:
        """Outputs of the character CNN."""
        return sum(count for _, count in self.filters)

    @property
    def max_filter_width(self) -> int:
        return max(width for width, _ in self.filters)

    @property
    def char_projection_input_size(self) -> int:
        """What the character projection takes: the lexicon's vector, if there is one, and the convolutions' outputs."""
        return self.num_filters + (self.lexicon_embedding_size or 0 if self.lexicon_size else 0)

    @property
    def is_byte_level(self) -> bool:
        """Whether words are their UTF-8 bytes and nothing else, as in bilm-tf and AllenNLP."""
        marks = (self.character_bow_id, self.character_eow_id, self.character_pad_id)
        bytes_marks = (BOW_ID, EOW_ID, CHARACTER_PAD_ID)
        return self.input_type == CHARACTER_INPUT and not self.lexicon_size and marks == bytes_marks

    @property
    def num_ids_per_word(self) -> int:
        """Ids of a word: its characters, and one before them for a lexicon; or its number in a vocabulary alone."""
        if self.input_type != CHARACTER_INPUT:
            return 1
        return self.max_characters_per_token + bool(self.lexicon_size)

    @property
    def output_size(self) -> int:
        """Size H of one direction's output: P, or C where nothing projects it."""
        return self.projection_size if self.use_cell_projection else self.cell_size

    @property
    def hidden_size(self) -> int:
        """Size of a contextual vector: all directions side by side."""
        return self.num_directions * self.output_size

    @property
    def hidden_sizes(self) -> list[int]:
        """Sizes of the layers, word vectors first, which every direction has."""
        return [self.num_directions * self.projection_size, *[self.hidden_size] * self.num_hidden_layers]

    @property
    def has_scalar_mix(self) -> bool:
        """Whether word vectors and LSTM outputs are of one size, so that they can be mixed."""
        return self.output_size == self.projection_size

    def layer_index(self, pooling_layer: str) -> int | None:
        """0 for `"word_emb"`, l for `f"lstm_outputs{l}"`, None for `"elmo"`, the mix; ValueError for any other name."""
        names = ["word_emb", *(f"lstm_outputs{layer + 1}" for layer in range(self.num_hidden_layers))]
        if pooling_layer in names:
            return names.index(pooling_layer)
        if pooling_layer != "elmo":
            raise ValueError(f"pooling_layer must be one of {', '.join(['elmo', *names])}; got {pooling_layer!r}.")
        if not self.has_scalar_mix:
            raise ValueError(
                f"pooling_layer 'elmo' needs layers of one size, but word vectors have {self.projection_size} numbers "
                f"a direction and LSTM outputs {self.output_size}; choose one of {', '.join(names)}."
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """As in transformers, without rare fields that say nothing."""
        fields = {**super().to_dict(), "hidden_size": self.hidden_size}
        return {name: value for name, value in fields.items() if name not in _UNSPOKEN or value != _UNSPOKEN[name]}


__all__ = ["ElmoConfig"]
