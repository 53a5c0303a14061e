# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("token-classification")` where a token is one word and a row of ids; says where each word stands.

The stock pipeline takes each token's id for one number, and gives offsets for tokenizers written in Rust alone. Once
this file is imported, which loading a model does, the stock class makes this one where the tokenizer is ELMo's.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import TokenClassificationPipeline

_BY_SUBWORDS = ("first", "average", "max")  # ways to join pieces of words; here there are none


def _has_rows(tokenizer: Any) -> bool:
    return type(tokenizer).__name__ == "ElmoTokenizer"  # also the class of a copy that came as remote code


class ElmoTokenClassificationPipeline(TokenClassificationPipeline):
    """Labels of words: `word`, `start` and `end` are those of the text given, whatever the aggregation strategy."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        tokenizer = keywords.get("tokenizer")
        if not _has_rows(tokenizer):
            raise TypeError(f"tokenizer must be an ElmoTokenizer; got {type(tokenizer).__name__}.")
        super().__init__(*arguments, **keywords)

    def _sanitize_parameters(self, **kwargs: Any) -> Any:
        strategy = kwargs.get("aggregation_strategy")
        if str(getattr(strategy, "value", strategy)).lower() in _BY_SUBWORDS:
            kwargs["aggregation_strategy"] = "simple"
        return super()._sanitize_parameters(**kwargs)

    def preprocess(self, sentence: Any, offset_mapping: Any = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        """One sentence, a string or with `is_split_into_words` a list of words, to the model's inputs and spans."""
        tokenizer: Any = self.tokenizer
        words_given = parameters.get("is_split_into_words", False)
        if words_given != isinstance(sentence, list):
            expected = "a list of words" if words_given else "a string"
            raise ValueError(
                f"with is_split_into_words={words_given} a sentence must be {expected}; got {type(sentence).__name__}."
            )
        inputs = dict(
            tokenizer(
                [sentence],
                is_split_into_words=words_given,
                return_tensors="pt",
                return_special_tokens_mask=True,
                return_offsets_mapping=not words_given,
                **parameters.get("tokenizer_params", {}),
            )
        )
        if words_given:
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
        """The words with their scores and places; without padding and special tokens."""
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
            if not special_tokens_mask[index] and input_ids[index].any()  # a row of zeros is padding
        ]

    def postprocess(self, all_outputs: Any, *arguments: Any, **keywords: Any) -> list[dict[str, Any]]:
        """Entities in the text's own spelling, where transformers joins the words of a group by blanks."""
        entities = super().postprocess(all_outputs, *arguments, **keywords)
        for entity in entities:
            entity["word"] = all_outputs[0]["sentence"][entity["start"] : entity["end"]]
        return entities


def _new_pipeline(cls: type, *arguments: Any, **keywords: Any) -> Any:
    is_ours = cls is TokenClassificationPipeline and _has_rows(keywords.get("tokenizer"))
    return object.__new__(ElmoTokenClassificationPipeline if is_ours else cls)


# `pipeline()` picks the class before it loads the model, so an entry in its registry would come too late for the first
# model that brings its own code.
TokenClassificationPipeline.__new__ = _new_pipeline

__all__ = ["ElmoTokenClassificationPipeline"]
