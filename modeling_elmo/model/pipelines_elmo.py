# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("token-classification")` for ELMo, whose tokens are words with a row of ids each.

The default pipeline expects one id per token and supports offsets only for fast tokenizers. Importing this module
patches the default class: for an `ElmoTokenizer` it creates an `ElmoTokenClassificationPipeline`.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import TokenClassificationPipeline

# Strategies that merge subwords. ELMo's tokens are words, so they are equivalent to "simple".
_SUBWORD_STRATEGIES = ("first", "average", "max")


def _is_elmo_tokenizer(tokenizer: Any) -> bool:
    # Compare names, because remote code defines a second class of this name.
    return any(base.__name__ == "ElmoTokenizer" for base in type(tokenizer).__mro__)


class ElmoTokenClassificationPipeline(TokenClassificationPipeline):
    """Token classification pipeline whose `word`, `start`, and `end` refer to the input text, for all strategies.

    Raises:
        TypeError: If `tokenizer` is not an `ElmoTokenizer`.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        tokenizer = keywords.get("tokenizer")
        if not _is_elmo_tokenizer(tokenizer):
            raise TypeError(f"Expected `tokenizer` to be an ElmoTokenizer, got {type(tokenizer).__name__}.")
        super().__init__(*arguments, **keywords)

    def _sanitize_parameters(self, **kwargs: Any) -> Any:
        strategy = kwargs.get("aggregation_strategy")
        if str(getattr(strategy, "value", strategy)).lower() in _SUBWORD_STRATEGIES:
            kwargs["aggregation_strategy"] = "simple"
        return super()._sanitize_parameters(**kwargs)

    def preprocess(self, sentence: Any, offset_mapping: Any = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the model inputs and spans of one sentence, a list of words if `is_split_into_words`, else a string."""
        tokenizer: Any = self.tokenizer
        is_split_into_words = parameters.get("is_split_into_words", False)
        if is_split_into_words != isinstance(sentence, list):
            expected = "a list of words" if is_split_into_words else "a string"
            raise ValueError(
                f"Expected {expected} with `is_split_into_words={is_split_into_words}`, got {type(sentence).__name__}."
            )
        inputs = dict(
            tokenizer(
                [sentence],
                is_split_into_words=is_split_into_words,
                return_tensors="pt",
                return_special_tokens_mask=True,
                return_offsets_mapping=not is_split_into_words,
                **parameters.get("tokenizer_params", {}),
            )
        )
        if is_split_into_words:
            delimiter, spans, start = parameters.get("delimiter", " "), [], 0
            for word in sentence:
                spans.append((start, start + len(word)))
                start += len(word) + len(delimiter)
            sentence = delimiter.join(sentence)
            inputs["offset_mapping"] = torch.tensor(spans).view(1, -1, 2)
        yield {**inputs, "sentence": sentence, "is_last": True}

    def gather_pre_entities(
        self,
        sentence: str,
        input_ids: Any,
        scores: Any,
        offset_mapping: Any,
        special_tokens_mask: Any,
        *arguments: Any,
        **keywords: Any,
    ) -> list[dict[str, Any]]:
        """Return the words with scores and spans, without padding and special tokens."""
        return [
            {
                "word": sentence[start:end],
                "scores": scores[index],
                "start": start,
                "end": end,
                "index": index,
                "is_subword": False,
            }
            for index, (start, end) in enumerate(offset_mapping.tolist())
            if not special_tokens_mask[index] and input_ids[index].any()  # padding is a row of zeros
        ]

    def postprocess(self, all_outputs: Any, *arguments: Any, **keywords: Any) -> list[dict[str, Any]]:
        """Return entities as spelled in the text. transformers joins the words of a group with spaces."""
        entities = super().postprocess(all_outputs, *arguments, **keywords)
        for entity in entities:
            entity["word"] = all_outputs[0]["sentence"][entity["start"] : entity["end"]]
        return entities


def _dispatch_pipeline_class(cls: type, *arguments: Any, **keywords: Any) -> Any:
    is_elmo = cls is TokenClassificationPipeline and _is_elmo_tokenizer(keywords.get("tokenizer"))
    return object.__new__(ElmoTokenClassificationPipeline if is_elmo else cls)


# `pipeline()` picks the class before it loads the model's code, so an entry in its registry would come too late.
# A reload or a second copy of this module, as remote code, finds `__new__` defined and leaves it as it is.
if TokenClassificationPipeline.__new__ is object.__new__:
    TokenClassificationPipeline.__new__ = _dispatch_pipeline_class

__all__ = ["ElmoTokenClassificationPipeline"]
