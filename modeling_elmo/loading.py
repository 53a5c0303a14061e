# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Loading of saved models with checks of the model type and of the names, shapes, and values of all weights.

transformers loads any folder: it replaces missing weights by random ones and only warns.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from .model.configuration_elmo import ElmoConfig
from .model.modeling_elmo import ElmoForPreTraining, ElmoModel, ElmoPreTrainedModel

Model = TypeVar("Model", bound=ElmoPreTrainedModel)

# Options for the Hub client, shared by model, configuration, and tokenizer.
HUB_OPTIONS = frozenset({"revision", "token", "cache_dir", "force_download", "local_files_only", "subfolder"})
_SOFTMAX, _CLASSIFIER = "softmax", "classifier"  # modules of this package's models with a head
_MAX_NAMES = 3


def load_config(name: str | os.PathLike[str], model_class: type = ElmoModel, **hub_options: Any) -> ElmoConfig:
    """Load the configuration of a model.

    Args:
        name: Folder or repository of the Hub.
        model_class: Class of the model that the caller needs.
        hub_options: Options among `HUB_OPTIONS`.

    Raises:
        OSError: If the model does not exist.
        ValueError: If it is of another model type, or has no softmax and `model_class` needs one.
    """
    try:
        fields, _ = ElmoConfig.get_config_dict(name, **hub_options)
    except RecursionError:
        raise ValueError(f"Cannot read the configuration of {name}: it is nested too deeply.") from None
    model_type = fields.get("model_type") if isinstance(fields, dict) else None
    if model_type != ElmoConfig.model_type:
        raise ValueError(
            f"Expected an ELMo model, got {name} of model_type {model_type!r}. Pass a model folder that `elmo convert` "
            "or `elmo train` wrote."
        )
    config: ElmoConfig = ElmoConfig.from_dict(fields)
    if model_class is ElmoForPreTraining and not config.word_vocab_size:
        raise _no_softmax_error(name)
    return config


def load_pretrained(
    model_class: type[Model],
    name: str | os.PathLike[str],
    *,
    allow_nonfinite: bool = False,
    new_softmax: bool = False,
    **options: Any,
) -> Model:
    """Load a model as its `from_pretrained` does, and check that the saved weights are complete and finite.

    `ElmoModel` ignores the weights of a head: the softmax of a language model, or the classifier of a task.

    Args:
        model_class: Class of the model.
        name: Folder or repository of the Hub.
        allow_nonfinite: Whether to accept NaN and infinite weights.
        new_softmax: Whether to initialize the softmax if the saved weights do not contain one of its size.
        options: Further options of `from_pretrained`.

    Raises:
        OSError: If the model does not exist.
        ValueError: If it is of another model type, has no softmax although `model_class` needs one, is corrupt, or if
            its weights do not match the configuration or are not finite.
    """
    needed_class = ElmoModel if new_softmax else model_class
    saved = load_config(name, needed_class, **{key: options[key] for key in HUB_OPTIONS & options.keys()})
    try:
        with _without_load_report():
            model, info = model_class.from_pretrained(
                name, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except SafetensorError as error:
        raise ValueError(
            f"Cannot read the weights of {name}: they are corrupt or truncated ({error}). Copy the model again."
        ) from error
    ignored = {_SOFTMAX, _CLASSIFIER} if new_softmax else set()
    if model_class is ElmoModel:
        ignored = _head_modules(info["unexpected_keys"], model, saved)
    # transformers 4 returns the names of mismatched weights, transformers 5 also the shapes.
    mismatched = (key if isinstance(key, str) else key[0] for key in info["mismatched_keys"])
    problems = {
        problem: [key for key in keys if key.split(".")[0] not in ignored]
        for problem, keys in (
            ("missing", info["missing_keys"]),
            ("unexpected", info["unexpected_keys"]),
            ("of another shape", mismatched),
        )
    }
    softmax = {key for key in model.state_dict() if key.startswith(f"{_SOFTMAX}.")}
    if softmax and softmax <= {*problems["missing"]}:
        raise _no_softmax_error(name)
    if any(problems.values()):
        found = "; ".join(f"{problem}: {_format_names(keys)}" for problem, keys in problems.items() if keys)
        raise ValueError(
            f"Cannot load {name}: its weights do not match its configuration ({found}). "
            "Copy or convert the model again."
        )
    if not allow_nonfinite:
        check_finite(model.state_dict(), str(name))
    return model


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Check that all weights are finite.

    Args:
        weights: Weights by name.
        source: Name of the model or file in the error message.

    Raises:
        ValueError: If a weight contains NaN or infinite values. The message names the first one.
    """
    name = find_nonfinite(weights)
    if name is not None:
        raise ValueError(
            f"Cannot use {source}: its weight {name} contains NaN or infinite values. Copy or train the model again; "
            "`allow_nonfinite` (`elmo embed` and `elmo convert`: --allow-nonfinite) accepts such weights."
        )


def find_nonfinite(weights: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first weight with a NaN or infinite value, or None."""
    for name, weight in weights.items():
        if not weight.is_floating_point() or weight.is_meta:
            continue
        # The sum is many times faster than `isfinite` of all values. It can overflow, so it is no proof.
        if not torch.isfinite(weight.sum()) and not torch.isfinite(weight).all():
            return name
    return None


def _head_modules(unexpected: Iterable[str], model: ElmoPreTrainedModel, saved: ElmoConfig) -> set[str]:
    """Return the modules of the saved model that are its head, which the base model lacks."""
    if not any(name != ElmoModel.__name__ for name in saved.architectures or ()):
        return {_SOFTMAX, _CLASSIFIER}
    base_modules = {key.split(".")[0] for key in (*model.state_dict(), f"{model.base_model_prefix}.")}
    return {key.split(".")[0] for key in unexpected} - base_modules


def _no_softmax_error(name: str | os.PathLike[str]) -> ValueError:
    return ValueError(
        f"Expected a language model with a softmax, got {name} without one. "
        "Convert it with `elmo convert --language-model`, or train one with `elmo train`."
    )


def _format_names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - _MAX_NAMES
    return ", ".join(ordered[:_MAX_NAMES]) + (f", and {rest} more" if rest > 0 else "")


@contextlib.contextmanager
def _without_load_report() -> Iterator[None]:
    """Hide the table of missing and unexpected weights that transformers logs. `load_pretrained` checks them."""
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_no_load_report)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_load_report)


def _is_no_load_report(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "LOAD REPORT" not in message and not message.startswith("Some weights of")
