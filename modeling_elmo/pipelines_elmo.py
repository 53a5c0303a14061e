# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""`pipeline("token-classification")` where a token is one word and a row of ids; says where each word stands.

The stock pipeline takes each token's id for one number, and gives offsets for tokenizers written in Rust alone.
Importing this file puts a subclass in its place that does as before for every other tokenizer.
"""

from collections.abc import Iterator
from typing import Any

import torch
from transformers import TokenClassificationPipeline
from transformers.pipelines import PIPELINE_REGISTRY

_BY_SUBWORDS = ("first", "average", "max")  # ways to join pieces of words; here there are none


def _has_rows(tokenizer: Any) -> bool:
    return type(tokenizer).__name__ == "ElmoTokenizer"  # also the class of a copy that came as remote code


class ElmoTokenClassificationPipeline(TokenClassificationPipeline):
    """Labels of words: `word`, `start` and `end` are those of the text given, whatever the aggregation strategy."""

    def _sanitize_parameters(self, **kwargs: Any) -> Any:
        strategy = kwargs.get("aggregation_strategy")
        if _has_rows(self.tokenizer) and getattr(strategy, "value", strategy) in _BY_SUBWORDS:
            kwargs["aggregation_strategy"] = "simple"
        return super()._sanitize_parameters(**kwargs)

    def preprocess(self, sentence: Any, offset_mapping: Any = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        if not _has_rows(self.tokenizer):
            yield from super().preprocess(sentence, offset_mapping, **parameters)
            return
        tokenizer: Any = self.tokenizer
        words_given = parameters.get("is_split_into_words", False)
        if words_given != isinstance(sentence, list):
            expected = "a list of words" if words_given else "a string"
            raise ValueError(
                f"with is_split_into_words={words_given} a sentence must be {expected}; got {type(sentence).__name__}."
            )
        inputs = tokenizer(
            [sentence],
            is_split_into_words=words_given,
            return_tensors="pt",
            return_special_tokens_mask=True,
            return_offsets_mapping=not words_given,
            **parameters.get("tokenizer_params", {}),
        )
        inputs = dict(inputs)
        if words_given:
            delimiter, spans, start = parameters.get("delimiter", " "), [], 0
            for word in sentence:
                spans.append((start, start + len(word)))
                start += len(word) + len(delimiter)
            sentence = delimiter.join(sentence)
            inputs["offset_mapping"] = torch.tensor(spans).view(1, -1, 2)
        inputs["offset_mapping"] = torch.as_tensor(inputs["offset_mapping"]).view(1, -1, 2)
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
        if not _has_rows(self.tokenizer):
            return super().gather_pre_entities(
                sentence, input_ids, scores, offset_mapping, special_tokens_mask, *arguments, **keywords
            )
        entities = []
        for index, (start, end) in enumerate(offset_mapping.tolist()):
            if not special_tokens_mask[index] and input_ids[index].any():  # a row of zeros is padding
                entities.append(
                    {
                        "word": sentence[start:end],
                        "scores": scores[index],
                        "start": start,
                        "end": end,
                        "index": index,
                        "is_subword": False,
                    }
                )
        return entities

    def postprocess(self, all_outputs: Any, *arguments: Any, **keywords: Any) -> list[dict[str, Any]]:
        entities = super().postprocess(all_outputs, *arguments, **keywords)
        if _has_rows(self.tokenizer):
            for entity in entities:  # groups have their words joined by blanks
                entity["word"] = all_outputs[0]["sentence"][entity["start"] : entity["end"]]
        return entities


PIPELINE_REGISTRY.supported_tasks["token-classification"]["impl"] = ElmoTokenClassificationPipeline

__all__ = ["ElmoTokenClassificationPipeline"]
