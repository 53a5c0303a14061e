# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""ELMo's configuration, and the character ids that the tokenizer, the model, and the converters share.

The numbers are those of Peters et al. 2018, "Deep contextualized word representations" (arXiv:1802.05365), and of the
`options.json` files of the models released with it.
"""

import difflib
import functools
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from transformers import PretrainedConfig

# A word is a row of character ids: begin of word, its UTF-8 bytes (each plus BYTE_OFFSET), end of word, and
# CHARACTER_PAD_ID up to the maximum length. A row of zeros is padding.
PAD_ID = 0
BYTE_OFFSET = 1
BOS_ID = 257  # <S>, the only character of the word that begins a sentence
EOS_ID = 258  # </S>
BOW_ID = 259
EOW_ID = 260
CHARACTER_PAD_ID = 261
NUM_CHARACTERS = 262

CHARACTER_INPUT = "characters"
WORD_INPUT = "words"
INPUT_TYPES = (CHARACTER_INPUT, WORD_INPUT)
CNN_ACTIVATIONS = ("relu", "tanh")
LSTM_IMPLEMENTATIONS = ("auto", "eager", "packed", "triton")
LSTM_WEIGHT_DTYPES = (None, "int8")
SENTENCE_POOLINGS = ("mean", "max")
SOFTMAX_TYPES = ("full", "sampled", "adaptive")
MIX_LAYER_NORMS = (None, "with_boundaries", "without_boundaries")

# Remote code finds the classes through these entries. Every model folder serves every Auto class.
AUTO_MAP = {
    "AutoConfig": "configuration_elmo.ElmoConfig",
    "AutoModel": "modeling_elmo.ElmoModel",
    "AutoModelForPreTraining": "modeling_elmo.ElmoForPreTraining",
    "AutoModelForTokenClassification": "modeling_elmo.ElmoForTokenClassification",
    "AutoModelForSequenceClassification": "modeling_elmo.ElmoForSequenceClassification",
}
# Modules that `auto_map` of older model folders names. `save_pretrained` writes only `modeling_elmo`, which has their
# classes.
_MERGED_MODULES = ("heads_elmo", "pretraining_elmo")

# Keys of older `config.json` files, which are read but never written.
OLD_FIELDS = {
    "recurrence": "lstm_implementation",
    "softmax": "softmax_type",
    "adaptive_softmax_factor": "adaptive_softmax_div_value",
    "trainable_parts": "trainable_modules",
}
_OLD_LSTM_IMPLEMENTATIONS = {
    "auto": "auto",
    "reference": "eager",
    "cpu": "packed",
    "cuda": "triton",
    "int8": "auto",
}

# Fields that `to_dict` omits if they equal these defaults.
_OMITTED_DEFAULTS: dict[str, Any] = {
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

# Upper limits of sizes that no stored array justifies. Every id row takes 8 bytes per character.
_MAX_CHARACTERS_PER_TOKEN = 1024
_MAX_FILTERS = 1000
_MAX_UNKNOWN_FIELDS = 1000
_MAX_LABELS = 100_000
_MAX_FLOAT = sys.float_info.max
_MAX_VALUE_LENGTH = 80  # of values in messages

# The architectures released with the paper, by the names that `ElmoConfig.from_preset` takes.
PRESETS: dict[str, dict[str, int]] = {
    "small": {"cell_size": 1024, "projection_size": 128, "num_highway_layers": 1},
    "medium": {"cell_size": 2048, "projection_size": 256, "num_highway_layers": 1},
    "original": {"cell_size": 4096, "projection_size": 512, "num_highway_layers": 2},
}


def _format_value(value: Any) -> str:
    """Return the `repr` of a value that may come from an untrusted file, cut at 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # integers of thousands of digits, and deep nesting
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}..."


def _check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {', '.join(map(repr, choices))}, got {_format_value(value)}.")
    return value


def _check_positive_int(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= sys.maxsize:
        raise ValueError(f"Expected `{name}` to be a positive integer, got {_format_value(value)}.")
    return value


def _check_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _MAX_FLOAT:
        raise ValueError(f"Expected `{name}` to be a finite number, got {_format_value(value)}.")
    return float(value)


def check_characters_per_token(value: Any, minimum: int = 3) -> int:
    """Return the number of ids per word.

    Raises:
        ValueError: If it is below `minimum` or above 1024.
    """
    name = "max_characters_per_token"
    if _check_positive_int(name, value) < minimum:
        raise ValueError(f"Expected `{name}` to be at least {minimum}, got {value}.")
    if value > _MAX_CHARACTERS_PER_TOKEN:
        raise ValueError(f"Expected `{name}` to be at most {_MAX_CHARACTERS_PER_TOKEN}, got {_format_value(value)}.")
    return value


def _check_optional_size(name: str, value: Any) -> Any:
    """Return a positive integer, or 0 or None for a component that the model does not have."""
    return value and _check_positive_int(name, value)


def _check_clip(name: str, value: Any) -> float | None:
    """Return the bound, or None for no bound. Old option files write no bound as 0 or null."""
    if not value:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _MAX_FLOAT:
        raise ValueError(f"Expected `{name}` to be a positive finite number or None, got {_format_value(value)}.")
    return float(value)


def _check_filters(value: Any) -> list[list[int]]:
    try:
        if len(value) > _MAX_FILTERS:
            raise ValueError(f"Expected at most {_MAX_FILTERS} filters, got {len(value)}.")
        filters = [[_check_positive_int("filters", number) for number in pair] for pair in value]
        is_valid = bool(filters) and all(len(pair) == 2 for pair in filters)
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            f"Expected `filters` to be a list of [width, count] pairs of positive integers, got {_format_value(value)}."
        )
    return filters


def _check_cutoffs(value: Any, vocab_size: int) -> list[int]:
    if value is None:
        value = sorted({max(1, vocab_size // 8), max(1, vocab_size // 2)})
    are_integers = isinstance(value, list) and value and all(type(cutoff) is int for cutoff in value)
    if not are_integers or value != sorted(set(value)) or not 0 < value[0] <= value[-1] < vocab_size:
        raise ValueError(
            f"Expected `adaptive_softmax_cutoffs` to be increasing integers in 1..{vocab_size - 1}, "
            f"got {_format_value(value)}. They must be below `word_vocab_size`."
        )
    return value


# Choices made when a model is loaded, and their checks. They belong to the object, not to the saved model.
_RUNTIME_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "lstm_implementation": functools.partial(_check_choice, choices=LSTM_IMPLEMENTATIONS),
    "lstm_weight_dtype": functools.partial(_check_choice, choices=LSTM_WEIGHT_DTYPES),
    "word_cache_size": _check_optional_size,
}
RUNTIME_FIELDS = tuple(_RUNTIME_CHECKS)


def _rename_old_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields under their current names, with the current values.

    Raises:
        ValueError: If a field is given by both names, or the LSTM implementation is unknown.
    """
    renamed = dict(fields)
    for old, new in OLD_FIELDS.items():
        if old not in renamed:
            continue
        if new in renamed:
            raise ValueError(f"Expected `{new}` or its old name `{old}`, got both. Remove `{old}`.")
        renamed[new] = renamed.pop(old)
        if old == "recurrence":
            saved = _check_choice(old, renamed[new], tuple(_OLD_LSTM_IMPLEMENTATIONS))
            renamed[new] = _OLD_LSTM_IMPLEMENTATIONS[saved]
            if saved == "int8":
                warnings.warn(
                    "Ignoring the saved `recurrence` = 'int8', because the saved weights are not int8. "
                    "Pass lstm_weight_dtype='int8' to quantize the LSTM weights.",
                    stacklevel=3,
                )
    return renamed


def _replace_merged_modules(auto_map: Any) -> dict[str, Any]:
    if not isinstance(auto_map, Mapping):
        raise ValueError(f"Expected `auto_map` to be an object, got {_format_value(auto_map)}.")
    replaced = {}
    for auto_class, reference in auto_map.items():
        module, _, name = reference.partition(".") if isinstance(reference, str) else ("", "", "")
        replaced[auto_class] = f"modeling_elmo.{name}" if module in _MERGED_MODULES else reference
    return replaced


def _accept_old_fields(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate `ElmoConfig.__init__` to accept old field names as keywords."""

    @functools.wraps(init)
    def init_with_old_fields(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **_rename_old_fields(kwargs))

    return init_with_old_fields


class ElmoConfig(PretrainedConfig):
    r"""Architecture of a bidirectional language model (biLM), and the choice of its first output.

    The defaults are the model that the paper calls ELMo: 93,600,848 parameters without the scalar mix.

    `lstm_implementation`, `lstm_weight_dtype`, and `word_cache_size` are chosen when a model is loaded. Copies and
    pickles of the configuration keep them; `to_dict` and `save_pretrained` omit them. Keys of older `config.json` files
    (`recurrence`, `softmax`, `adaptive_softmax_factor`, `trainable_parts`) are accepted too.

    Args:
        vocab_size: Number of rows of the input embedding: characters (262 for bytes), or words plus one if
            `input_type` is `"words"`.
        input_type: `"characters"` for the character CNN, `"words"` for a word embedding instead.
        max_characters_per_token: Number M of character ids per word, both word boundaries included.
        character_embedding_size: Dimension d of the character embedding.
        filters: Convolutions over the characters of a word, a list of `[width, count]` in the order of the output.
        cnn_activation: `"relu"` or `"tanh"`, applied after the maximum over positions.
        num_highway_layers: Number of highway layers after the convolutions. May be 0.
        use_character_projection: Whether a linear layer maps the convolution outputs to `projection_size`. If False,
            their number must equal `projection_size`.
        projection_size: Dimension P of the word vectors and of the output of each direction.
        cell_size: Size C of the LSTM cell state.
        use_cell_projection: Whether to project the LSTM output from C to P dimensions. If False, the output size is C.
        num_hidden_layers: Number L of LSTM layers per direction.
        bidirectional: Whether the model has a backward direction. False for a forward language model.
        use_skip_connections: Whether each LSTM layer except the first adds its input to its output.
        cell_clip: Bound of the absolute cell state; None or 0 for no bound.
        projection_clip: Bound of the absolute projected output; None or 0 for no bound. No effect without a projection.
        forget_bias: Constant added to the forget gate pre-activation. Checkpoints of bilm-tf do not include it (1.0) in
            the bias.
        sentence_boundaries: Whether the model adds `<S>` and `</S>` to each sentence.
        pooling_layer: First output: `"elmo"` (the scalar mix), `"word_emb"`, or `"lstm_outputs1"`, `"lstm_outputs2"`,
            ..., `f"lstm_outputs{num_hidden_layers}"`.
        num_output_representations: Number of scalar mixes. The first one is the first output.
        scalar_mix_parameters: Initial weights of the mix *before* the softmax, one per layer (L + 1). Default: zeros.
        freeze_scalar_mix: Whether the mix keeps its weights in training.
        mix_layer_norm: Normalize each layer over all words of the batch before the mix. The statistics are computed
            `"with_boundaries"` (AllenNLP) or `"without_boundaries"` (bilm-tf). Use it for parity only: a vector then
            depends on the batch.
        output_dropout: Dropout on the mixes in training. The paper uses 0.5.
        lstm_dropout: Dropout in training on the input of every LSTM layer and on the output of the last. bilm-tf uses
            0.1.
        classifier_dropout: Dropout of the heads on the mix. The paper uses 0.5.
        scalar_mix_l2: Weight of the heads' L2 penalty on the weights of the mix. The paper uses 0.001 to 1.
        trainable_modules: Modules of the biLM that the heads train, such as `"char_encoder"`, `"layers"`, or
            `"layers.1"`. Defaults to none.
        sentence_pooling: Poolings that `ElmoForSequenceClassification` concatenates: `"mean"`, `"max"`, or both.
        word_vocab_size: Number V of words that the language model predicts (`ElmoForPreTraining`). None without one.
        word_bos_id: Id of `<S>` in that vocabulary, which is `vocab.txt` in the model folder.
        word_eos_id: Id of `</S>` in that vocabulary.
        softmax_type: `"full"`, `"sampled"` (in training; scores are exact), or `"adaptive"`.
        num_sampled_words: Number of words per sample of the sampled softmax.
        adaptive_softmax_cutoffs: Increasing ids that divide the vocabulary into clusters. Defaults to one eighth and
            one half of the vocabulary.
        adaptive_softmax_div_value: Factor by which the projection size decreases from cluster to cluster.
        stored_initial_state: Whether the LSTMs start from the state stored with the weights instead of zero (see
            `ElmoModel.calibrate_initial_state`).
        word_cache_size: Maximum number of words whose vectors are cached across batches; 0 for no cache. Used on a CPU
            in float32 without gradients. The cache takes `word_cache_size * projection_size * 4` bytes.
        lstm_implementation: `"eager"` (plain PyTorch), `"packed"` (CPU), `"triton"` (GPU), or `"auto"` for the fastest
            exact implementation that can run.
        lstm_weight_dtype: `"int8"` to quantize the LSTM weights for inference on a CPU (cosine similarity to the exact
            vectors above 0.999). None for the dtype of the model.
        initializer_range: Factor of the random initialization; 1.0 for that of bilm-tf.
        pad_token_id: Id of padding, always 0.
        bos_token_id: Id that begins a sentence. With `input_type="words"`, an id of the word vocabulary.
        eos_token_id: Id that ends a sentence.
        character_bow_id: Id of the character that begins a word. The default belongs to UTF-8 bytes; alphabets of
            ELMoForManyLangs have other ids.
        character_eow_id: Id of the character that ends a word.
        character_pad_id: Id of the character that pads a word.
        lexicon_size: Number of rows of a word embedding that is concatenated with the convolution outputs before the
            projection; row 0 is padding. None without a lexicon. With a lexicon, the id of the word precedes its
            character ids.
        lexicon_embedding_size: Dimension D of the lexicon.
        lexicon_bos_id: Row of the lexicon for `<S>`.
        lexicon_eos_id: Row of the lexicon for `</S>`.
        aligned: Whether each layer is multiplied by a stored matrix before the mix, which maps it into the space of
            another language (Schuster et al. 2019, arXiv:1902.09492; see `conversion.alignment`).

    Raises:
        ValueError: If a field is invalid or contradicts another.
    """

    model_type = "elmo"

    @_accept_old_fields
    def __init__(
        self,
        vocab_size: int = NUM_CHARACTERS,
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
        softmax_type: str = "full",
        num_sampled_words: int = 8192,
        adaptive_softmax_cutoffs: list[int] | None = None,
        adaptive_softmax_div_value: float = 4.0,
        stored_initial_state: bool = False,
        word_cache_size: int = 16384,
        lstm_implementation: str = "auto",
        lstm_weight_dtype: str | None = None,
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
        self.vocab_size = _check_positive_int("vocab_size", vocab_size)
        self.input_type = _check_choice("input_type", input_type, INPUT_TYPES)
        self.max_characters_per_token = check_characters_per_token(max_characters_per_token, minimum=1)
        self.character_embedding_size = _check_positive_int("character_embedding_size", character_embedding_size)
        self.filters = _check_filters(_FILTERS_2048 if filters is None else filters)
        self.cnn_activation = _check_choice("cnn_activation", cnn_activation, CNN_ACTIVATIONS)
        self.num_highway_layers = _check_optional_size("num_highway_layers", num_highway_layers)
        self.use_character_projection = bool(use_character_projection)
        self.projection_size = _check_positive_int("projection_size", projection_size)
        self.cell_size = _check_positive_int("cell_size", cell_size)
        self.use_cell_projection = bool(use_cell_projection)
        self.num_hidden_layers = _check_positive_int("num_hidden_layers", num_hidden_layers)
        self.bidirectional = bool(bidirectional)
        self.use_skip_connections = bool(use_skip_connections)
        self.cell_clip = _check_clip("cell_clip", cell_clip)
        self.projection_clip = _check_clip("projection_clip", projection_clip)
        self.forget_bias = _check_number("forget_bias", forget_bias)
        self.sentence_boundaries = bool(sentence_boundaries)
        self.pooling_layer = pooling_layer
        self.num_output_representations = _check_positive_int("num_output_representations", num_output_representations)
        self.scalar_mix_parameters = (
            None
            if scalar_mix_parameters is None
            else [_check_number("scalar_mix_parameters", w) for w in scalar_mix_parameters]
        )
        self.freeze_scalar_mix = bool(freeze_scalar_mix)
        self.mix_layer_norm = _check_choice("mix_layer_norm", mix_layer_norm, MIX_LAYER_NORMS)
        self.output_dropout = _check_number("output_dropout", output_dropout)
        self.lstm_dropout = _check_number("lstm_dropout", lstm_dropout)
        self.classifier_dropout = _check_number("classifier_dropout", classifier_dropout)
        self.scalar_mix_l2 = _check_number("scalar_mix_l2", scalar_mix_l2)
        self.trainable_modules = list(trainable_modules or ())
        self.sentence_pooling = [
            _check_choice("sentence_pooling", p, SENTENCE_POOLINGS) for p in sentence_pooling or ["mean"]
        ]
        self.word_vocab_size = _check_optional_size("word_vocab_size", word_vocab_size)
        self.word_bos_id = word_bos_id
        self.word_eos_id = word_eos_id
        self.softmax_type = _check_choice("softmax_type", softmax_type, SOFTMAX_TYPES)
        self.num_sampled_words = _check_positive_int("num_sampled_words", num_sampled_words)
        self.adaptive_softmax_cutoffs = adaptive_softmax_cutoffs
        if self.word_vocab_size and softmax_type == "adaptive":
            self.adaptive_softmax_cutoffs = _check_cutoffs(adaptive_softmax_cutoffs, self.word_vocab_size)
        self.adaptive_softmax_div_value = _check_number("adaptive_softmax_div_value", adaptive_softmax_div_value)
        self.stored_initial_state = bool(stored_initial_state)
        self.word_cache_size = word_cache_size
        self.lstm_implementation = lstm_implementation
        self.lstm_weight_dtype = lstm_weight_dtype
        self.initializer_range = _check_number("initializer_range", initializer_range)
        self.character_bow_id = _check_positive_int("character_bow_id", character_bow_id)
        self.character_eow_id = _check_positive_int("character_eow_id", character_eow_id)
        self.character_pad_id = _check_positive_int("character_pad_id", character_pad_id)
        self.lexicon_size = _check_optional_size("lexicon_size", lexicon_size)
        self.lexicon_embedding_size = lexicon_embedding_size
        self.lexicon_bos_id = lexicon_bos_id
        self.lexicon_eos_id = lexicon_eos_id
        self.aligned = bool(aligned)

        # `to_dict` writes the derived hidden_size for other readers of config.json.
        self._check_sizes(kwargs.pop("hidden_size", None))
        self.layer_index(pooling_layer)
        if self.input_type == CHARACTER_INPUT:
            bos_token_id = BOS_ID if bos_token_id is None else bos_token_id
            eos_token_id = EOS_ID if eos_token_id is None else eos_token_id
        num_labels = kwargs.get("num_labels")  # transformers creates a name for each
        if num_labels is not None and _check_optional_size("num_labels", num_labels) > _MAX_LABELS:
            raise ValueError(f"Expected `num_labels` to be at most {_MAX_LABELS}, got {_format_value(num_labels)}.")
        self._warn_misspelled_fields(kwargs)
        kwargs["auto_map"] = _replace_merged_modules(kwargs.get("auto_map") or AUTO_MAP)
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(pad_token_id=pad_token_id, bos_token_id=bos_token_id, eos_token_id=eos_token_id, **kwargs)

    def _warn_misspelled_fields(self, unknown_fields: Mapping[str, Any]) -> None:
        """Warn of unknown fields that resemble a field. transformers keeps unknown fields without a message.

        Raises:
            ValueError: If there are too many, because transformers takes quadratic time.
        """
        if len(unknown_fields) > _MAX_UNKNOWN_FIELDS:
            raise ValueError(f"Expected at most {_MAX_UNKNOWN_FIELDS} unknown fields, got {len(unknown_fields)}.")
        for name in unknown_fields:
            similar = difflib.get_close_matches(name, [*vars(self), *OLD_FIELDS], n=1, cutoff=0.85)
            if similar:
                warnings.warn(f"Unknown field `{name}` of ElmoConfig. Did you mean `{similar[0]}`?", stacklevel=4)

    def _check_sizes(self, hidden_size: int | None) -> None:
        if self.input_type == CHARACTER_INPUT:
            minimum = max(self.character_bow_id, self.character_eow_id, self.character_pad_id) + 1
            if self.vocab_size < minimum:
                raise ValueError(
                    f"Expected `vocab_size` to be at least {minimum} for character input, got {self.vocab_size}."
                )
            minimum = max(3, self.max_filter_width)
            if self.max_characters_per_token < minimum:
                raise ValueError(
                    f"Expected `max_characters_per_token` to be at least {minimum} (3 and the maximum filter width), "
                    f"got {self.max_characters_per_token}."
                )
            if not self.use_character_projection and self.num_filters != self.projection_size:
                raise ValueError(
                    f"Expected `projection_size` = {self.projection_size} filters without a character projection, "
                    f"got {self.num_filters}."
                )
        if self.lexicon_size:
            self._check_lexicon()
        if self.aligned and self.mix_layer_norm is not None:
            raise ValueError(
                f"Expected `mix_layer_norm` to be None in an aligned model, got {_format_value(self.mix_layer_norm)}."
            )
        num_cutoffs = len(self.adaptive_softmax_cutoffs or ())
        if self.softmax_type == "adaptive" and self.output_size < self.adaptive_softmax_div_value**num_cutoffs:
            raise ValueError(
                f"Expected `adaptive_softmax_div_value` to the power of {num_cutoffs} (the number of cutoffs) to be at "
                f"most the output size {self.output_size}, got {self.adaptive_softmax_div_value:g}."
            )
        if hidden_size not in (None, self.hidden_size):
            raise ValueError(
                f"Expected `hidden_size` = {self.hidden_size}, the output size of all directions, "
                f"got {_format_value(hidden_size)}."
            )
        mix_weights = self.scalar_mix_parameters
        if mix_weights is not None and len(mix_weights) != self.num_hidden_layers + 1:
            raise ValueError(
                f"Expected one weight per layer ({self.num_hidden_layers + 1}) in `scalar_mix_parameters`, "
                f"got {len(mix_weights)}."
            )
        for name in ("output_dropout", "lstm_dropout", "classifier_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"Expected `{name}` in [0, 1), got {getattr(self, name)}.")

    def _check_lexicon(self) -> None:
        if self.input_type != CHARACTER_INPUT or not self.use_character_projection:
            raise ValueError("Cannot use a lexicon without character input and a character projection.")
        _check_positive_int("lexicon_embedding_size", self.lexicon_embedding_size)
        for name in ("lexicon_bos_id", "lexicon_eos_id"):
            value = _check_positive_int(name, getattr(self, name))
            if value >= (self.lexicon_size or 0):
                raise ValueError(f"Expected `{name}` below `lexicon_size` = {self.lexicon_size}, got {value}.")

    def __setattr__(self, name: str, value: Any) -> None:
        """Check the runtime choices, and reject old names, which nothing reads."""
        if name in OLD_FIELDS:
            raise AttributeError(f"Cannot set `{name}` of ElmoConfig: its name is `{OLD_FIELDS[name]}`.")
        super().__setattr__(name, _RUNTIME_CHECKS[name](name, value) if name in _RUNTIME_CHECKS else value)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """See `PretrainedConfig.from_dict`. `kwargs` may have old field names too."""
        return super().from_dict(config_dict, **_rename_old_fields(kwargs))

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "ElmoConfig":
        """Return the configuration of a released architecture.

        Args:
            name: `"small"`, `"medium"`, or `"original"` (also of the 5.5B model).
            overrides: Fields that differ from the released architecture.
        """
        return cls(**{**PRESETS[_check_choice("preset", name, tuple(PRESETS))], **overrides})

    @property
    def num_directions(self) -> int:
        """Number of directions."""
        return 2 if self.bidirectional else 1

    @property
    def num_filters(self) -> int:
        """Number F of convolution outputs."""
        return sum(count for _, count in self.filters)

    @property
    def max_filter_width(self) -> int:
        """Maximum width of the filters, in characters."""
        return max(width for width, _ in self.filters)

    @property
    def char_projection_input_size(self) -> int:
        """Input size of the character projection: the lexicon vector, if there is one, and the convolution outputs."""
        return self.num_filters + (self.lexicon_embedding_size or 0 if self.lexicon_size else 0)

    @property
    def is_byte_level(self) -> bool:
        """Whether a word is represented by its UTF-8 bytes only, as in bilm-tf and AllenNLP."""
        character_ids = (self.character_bow_id, self.character_eow_id, self.character_pad_id)
        has_byte_ids = character_ids == (BOW_ID, EOW_ID, CHARACTER_PAD_ID)
        return self.input_type == CHARACTER_INPUT and not self.lexicon_size and has_byte_ids

    @property
    def num_ids_per_word(self) -> int:
        """Number of ids per word: 1 for word input, else M characters, preceded by the word id with a lexicon."""
        if self.input_type != CHARACTER_INPUT:
            return 1
        return self.max_characters_per_token + bool(self.lexicon_size)

    @property
    def output_size(self) -> int:
        """Output size H of one direction: P, or C without a cell projection."""
        return self.projection_size if self.use_cell_projection else self.cell_size

    @property
    def hidden_size(self) -> int:
        """Dimension of a contextual vector: the concatenated output of all directions."""
        return self.num_directions * self.output_size

    @property
    def hidden_sizes(self) -> list[int]:
        """Dimensions of the layers, starting with the word vectors, which are repeated for each direction."""
        return [self.num_directions * self.projection_size, *[self.hidden_size] * self.num_hidden_layers]

    @property
    def has_scalar_mix(self) -> bool:
        """Whether word vectors and LSTM outputs have the same dimension, which the scalar mix requires."""
        return self.output_size == self.projection_size

    def layer_index(self, pooling_layer: str) -> int | None:
        """Return 0 for `"word_emb"`, l for `f"lstm_outputs{l}"`, and None for `"elmo"`, the scalar mix.

        Raises:
            ValueError: If the name is unknown, or if the layers cannot be mixed.
        """
        last = self.num_hidden_layers
        layers = range(1, last + 1) if last <= 4 else (1, 2)
        names = ", ".join(["word_emb", *(f"lstm_outputs{layer}" for layer in layers)])
        names += f", ..., lstm_outputs{last}" if last > 4 else ""
        if pooling_layer == "word_emb":
            return 0
        layer = re.fullmatch(r"lstm_outputs([1-9]\d{0,8})", pooling_layer) if isinstance(pooling_layer, str) else None
        if layer is not None and int(layer[1]) <= self.num_hidden_layers:
            return int(layer[1])
        if pooling_layer != "elmo":
            raise ValueError(
                f"Expected `pooling_layer` to be one of elmo, {names}, got {_format_value(pooling_layer)}."
            )
        if not self.has_scalar_mix:
            raise ValueError(
                f"Cannot mix word vectors of dimension {self.projection_size} and LSTM outputs of dimension "
                f"{self.output_size}. Set `pooling_layer` to one of {names}."
            )
        return None

    def to_dict(self) -> dict[str, Any]:
        """See `PretrainedConfig.to_dict`. Runtime choices and rare fields with their default value are omitted."""
        fields = {**super().to_dict(), "hidden_size": self.hidden_size}
        return {
            name: value
            for name, value in fields.items()
            if name not in RUNTIME_FIELDS and (name not in _OMITTED_DEFAULTS or value != _OMITTED_DEFAULTS[name])
        }


__all__ = ["ElmoConfig"]
