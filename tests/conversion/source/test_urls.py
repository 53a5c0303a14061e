# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Removal of secrets from URLs and texts."""

import pytest

from modeling_elmo.conversion.source.urls import redact, redact_url, url_file_name


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host.org/a/w.hdf5", "https://host.org/a/w.hdf5"),
        ("https://host.org:8443/w.hdf5?X-Amz-Signature=S&token=S#S", "https://host.org:8443/w.hdf5"),
        ("https://me:S@host.org/w.hdf5", "https://host.org/w.hdf5"),
        ("https://S@[::1]:80/w.hdf5?S", "https://[::1]:80/w.hdf5"),
        ("https://me:S'S\"S@host.org/w.hdf5", "https://host.org/w.hdf5"),
        ("HTTPS://host.org/w?S", "https://host.org/w"),
        ("https:/me:S@host.org/w.hdf5?S", "https://host.org/w.hdf5"),  # str(Path(url))
        ("s3://S:S@bucket/key?versionId=S", "s3://bucket/key"),
        ("https://me:S?S@host.org/w", "https://***"),
        ("https://[S", "https://***"),
    ],
)
def test_urls_lose_their_secrets(url: str, expected: str) -> None:
    assert redact_url(url) == expected
    assert redact(url) == expected
    assert redact_url(expected) == redact(expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cannot read 'https://a.org/w?k=S'.", "Cannot read 'https://a.org/w'."),
        ("got https://me:S@a.org/w?k=S, https://b.org/w#S.", "got https://a.org/w, https://b.org/w."),
        ("URL can't contain control characters. '/w?key=S&x=S'", "URL can't contain control characters. '/w'"),
        ("lm_weights.hdf5?X-Amz-Signature=S&token=S", "lm_weights.hdf5"),  # file name by wget
        ("Illegal header value b'Bearer S'", "Illegal header value b'Bearer ***'"),
        ("token hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567 is invalid", "token *** is invalid"),
        ("pip install hf_xet hf_transfer", "pip install hf_xet hf_transfer"),
        ("C:/models/w.hdf5", "C:/models/w.hdf5"),
        ("What is it? a=b", "What is it? a=b"),
    ],
)
def test_texts_lose_their_secrets(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_given_secrets_are_replaced() -> None:
    assert redact("a secret of a secret", "secret", None, "") == "a *** of a ***"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/w.hdf5?file=evil.zip#x.tar", "w.hdf5"),
        ("https://a.org/", "file"),
        ("https://a.org/x%2F..%2F%1b[31mw%00.hdf5", "__31mw_.hdf5"),
        ("https://a.org/" + "x" * 300 + ".hdf5", "x" * 95 + ".hdf5"),
    ],
)
def test_file_names_come_from_the_path(url: str, name: str) -> None:
    assert url_file_name(url) == name
