"""From text to token ids and back: one interface for words, characters, pieces and subwords."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from minigrad.data.vocabulary import BOS, EOS, PAD, Vocabulary
from minigrad.errors import DataError, UsageError

_FORMAT, _VERSION = "minigrad tokenizer", 1


class Tokenizer(ABC):
    """Splits text into tokens, numbers them, and puts them together again.

    A subclass names its ``kind`` and is then known to :meth:`from_json`, :meth:`load` and :func:`train_tokenizer`.

    Args:
        vocabulary: the tokens and their ids.
        lowercase: whether text is lower-cased before it is split.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type["Tokenizer"]]] = {}

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            cls.kinds[cls.kind] = cls

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool = False):
        self.vocabulary = vocabulary
        self.lowercase = lowercase

    @classmethod
    @abstractmethod
    def train(
        cls, texts: Iterable[str], *, size: int | None = None, min_count: int = 1, lowercase: bool = False
    ) -> "Tokenizer":
        """A tokenizer for texts like these. :func:`train_tokenizer` says what the arguments mean."""

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The tokens of a text, as strings."""

    @abstractmethod
    def join(self, tokens: Iterable[str]) -> str:
        """The text of tokens: the inverse of :meth:`split`."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without ``<bos>`` and ``<eos>``; ``UNK`` for a token that the vocabulary does not hold."""
        return self.vocabulary.encode(self.split(text.lower() if self.lowercase else text))

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of many texts."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first ``<eos>``, without ``<pad>`` and ``<bos>``; an unknown token reads ``<unk>``.

        Raises:
            DataError: an id outside ``[0, len(self))``.
        """
        kept = []
        for number in ids:
            if number == EOS:
                break
            if number not in (PAD, BOS):
                kept.append(number)
        return self.join(self.vocabulary.decode(kept))

    def __len__(self) -> int:
        """The number of ids, specials included."""
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} tokens{', lower case' if self.lowercase else ''})"

    def to_json(self) -> dict[str, Any]:
        """All that :meth:`from_json` needs to build it again, of JSON's own types."""
        return {"format": _FORMAT, "version": _VERSION, "kind": self.kind, "lowercase": self.lowercase, **self._content()}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Tokenizer":
        """The tokenizer that :meth:`to_json` described, of whatever kind. Raises :class:`DataError` for anything else."""
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise DataError("this is no tokenizer of minigrad: give the file that Tokenizer.save wrote")
        if content.get("version") != _VERSION:
            raise DataError(
                f"this minigrad reads version {_VERSION} of a tokenizer: got {content.get('version')!r}; "
                f"train the tokenizer again, or use the minigrad that saved it"
            )
        kind = Tokenizer.kinds.get(content.get("kind", ""))
        if kind is None:
            raise DataError(f"a tokenizer is one of {', '.join(Tokenizer.kinds)}: got {content.get('kind')!r}")
        try:
            return kind._restored(content, lowercase=bool(content["lowercase"]))
        except DataError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this tokenizer is damaged ({error!r}): train it again") from None

    def save(self, path: str | PathLike) -> None:
        """Writes one JSON file; an earlier one of that name stays whole until the new one is."""
        partial = Path(f"{os.fspath(path)}.partial")
        partial.write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
        partial.replace(path)

    @staticmethod
    def load(path: str | PathLike) -> "Tokenizer":
        """The tokenizer in a file that :meth:`save` wrote. Raises :class:`DataError` where there is none."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"the tokenizer {path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise DataError(f"the tokenizer {path} is not JSON: it is damaged, or another file") from None
        try:
            return Tokenizer.from_json(content)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    @classmethod
    @abstractmethod
    def _restored(cls, content: dict[str, Any], *, lowercase: bool) -> "Tokenizer":
        """What :meth:`_content` described."""

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """What this tokenizer has learnt, of JSON's own types."""


def train_tokenizer(
    kind: str, texts: Iterable[str], *, size: int | None = None, min_count: int = 1, lowercase: bool = False
) -> Tokenizer:
    """A tokenizer of a kind, with the vocabulary of texts.

    Args:
        kind: ``words`` (split at white space), ``chars``, ``pieces`` (words, digits and marks) or ``subwords``
            (byte-pair encoding).
        texts: the training texts; for a vocabulary shared by two languages, the texts of both.
        size: how many tokens to hold at most, specials included; the most frequent are held.
        min_count: tokens seen less often are left out.
        lowercase: lower-case every text before it is split.

    Raises:
        UsageError: an unknown kind.
        DataError: texts too small to give a vocabulary.
    """
    if kind not in Tokenizer.kinds:
        raise UsageError(f"a tokenizer is one of {', '.join(Tokenizer.kinds)}: got {kind!r}")
    return Tokenizer.kinds[kind].train(texts, size=size, min_count=min_count, lowercase=lowercase)
