"""Tokenizers that split by a rule and learn only which tokens there are."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import Any

from minigrad.data.tokenizer import Tokenizer
from minigrad.data.vocabulary import Vocabulary


class RuleTokenizer(Tokenizer):
    """A tokenizer whose :meth:`split` and :meth:`join` are fixed rules; its vocabulary is a list of tokens."""

    @staticmethod
    @abstractmethod
    def split(text: str) -> list[str]:
        """The tokens of a text, as strings."""

    @classmethod
    def train(cls, texts, *, size=None, min_count=1, lowercase=False):
        counts = Counter()
        for text in texts:
            counts.update(cls.split(text.lower() if lowercase else text))
        return cls(Vocabulary.build(counts, min_count=min_count, max_size=size), lowercase=lowercase)

    @classmethod
    def _restored(cls, content, *, lowercase):
        return cls(Vocabulary(content["words"]), lowercase=lowercase)

    def _content(self) -> dict[str, Any]:
        return {"words": self.vocabulary.words}


class WordTokenizer(RuleTokenizer):
    """Words as white space separates them, for text that is tokenised already; joined by single spaces."""

    kind = "words"

    @staticmethod
    def split(text: str) -> list[str]:
        return text.split()

    @staticmethod
    def join(tokens: Iterable[str]) -> str:
        return " ".join(tokens)


class CharTokenizer(RuleTokenizer):
    """Characters, the space among them; a text comes back exactly."""

    kind = "chars"

    @staticmethod
    def split(text: str) -> list[str]:
        return list(text)

    @staticmethod
    def join(tokens: Iterable[str]) -> str:
        return "".join(tokens)


class PieceTokenizer(RuleTokenizer):
    """Words, single digits and single marks, each with the space before it; a text comes back exactly.

    ``March 4, 2025`` is ``March| 4|,| 2|0|2|5``: a number never seen is made of digits that were,
    and spaces cost no token. A tag such as ``<de>`` is one token.
    """

    kind = "pieces"

    # The last alternative takes a space that stands before another one, so that every character is in some piece.
    _PIECE = re.compile(r" ?(?:<\w+>|[^\W\d_]+|\d|[^\w\s]|_)|\s")

    @staticmethod
    def split(text: str) -> list[str]:
        return PieceTokenizer._PIECE.findall(text)

    @staticmethod
    def join(tokens: Iterable[str]) -> str:
        return "".join(tokens)
