"""Subwords: byte-pair encoding, learnt on the spot by sentencepiece."""

import base64
import binascii
import io
import logging
from collections.abc import Iterable
from typing import Any

from minigrad.data.tokenizer import Tokenizer
from minigrad.data.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary
from minigrad.errors import DataError, MissingExtraError

DEFAULT_SIZE = 8000
_SPACE = "▁"  # sentencepiece writes the space before a word into the word's first piece

_log = logging.getLogger(__name__)


class SubwordTokenizer(Tokenizer):
    """Byte-pair encoding (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units").

    Frequent words are one token, rare ones several, and every character of the training text is one, so that only
    characters never seen are ``<unk>``. The text is taken as it stands, without Unicode normalisation: tokens separated by
    single spaces come back exactly; longer runs of spaces come back as one.

    Args:
        model: a serialised sentencepiece model with the four specials of :class:`Vocabulary` as its first pieces.
    """

    kind = "subwords"

    def __init__(self, model: bytes, *, lowercase: bool = False):
        self._model = model
        self._processor = _sentencepiece().SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)
        pieces = self._processor.IdToPiece(list(range(self._processor.GetPieceSize())))
        if tuple(pieces[: len(SPECIALS)]) != SPECIALS:
            raise DataError(f"a model of subwords begins with {' '.join(SPECIALS)}: got {' '.join(pieces[: len(SPECIALS)])}")
        super().__init__(Vocabulary(pieces[len(SPECIALS) :]), lowercase=lowercase)

    @classmethod
    def train(cls, texts, *, size=None, min_count=1, lowercase=False):
        """See :func:`train_tokenizer`. ``min_count`` is not used: merges are learnt in the order of their counts.

        A corpus too small for ``size`` (8,000 where it is ``None``) gives all the merges it has, and a warning in the log.
        """
        if lowercase:
            texts = (text.lower() for text in texts)
        size = DEFAULT_SIZE if size is None else size
        tokenizer = cls(_trained(texts, size), lowercase=lowercase)
        if len(tokenizer) < size:
            _log.warning("the text gives %s subwords, not %s: all of them are used", f"{len(tokenizer):,}", f"{size:,}")
        return tokenizer

    def split(self, text: str) -> list[str]:
        return self._processor.EncodeAsPieces(text)

    def join(self, tokens: Iterable[str]) -> str:
        return "".join(tokens).replace(_SPACE, " ").removeprefix(" ")

    def encode(self, text: str) -> list[int]:
        return self._processor.EncodeAsIds(text.lower() if self.lowercase else text)

    @classmethod
    def _restored(cls, content, *, lowercase):
        try:
            return cls(base64.b64decode(content["model"], validate=True), lowercase=lowercase)
        except (binascii.Error, RuntimeError):  # the latter from sentencepiece, for bytes that it cannot parse
            raise DataError("the model in this tokenizer is damaged: train it again") from None

    def _content(self) -> dict[str, Any]:
        return {"model": base64.b64encode(self._model).decode("ascii")}


def _trained(texts: Iterable[str], size: int) -> bytes:
    """The model that sentencepiece learns from ``texts``, serialised."""
    model = io.BytesIO()
    try:
        _sentencepiece().SentencePieceTrainer.Train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,  # a corpus with fewer merges is no error
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,  # the same text gives the same model on every machine
            minloglevel=2,  # errors alone: they are raised below
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            pad_piece=SPECIALS[PAD],
            unk_piece=SPECIALS[UNK],
            bos_piece=SPECIALS[BOS],
            eos_piece=SPECIALS[EOS],
        )
    except RuntimeError as error:
        raise _explained(error, size) from None
    return model.getvalue()


def _explained(error: RuntimeError, size: int) -> DataError:
    message = str(error)
    if "required_chars" in message:
        return DataError(f"{size} subwords cannot hold even each character of the text: {message.rpartition('] ')[2]}")
    if "sentences_.empty()" in message:
        return DataError("subwords are learnt from text: got none, or only lines of over 4,192 bytes")
    return DataError(f"sentencepiece cannot learn subwords from this text: {message}")


def _sentencepiece():
    try:
        import sentencepiece
    except ImportError:
        raise MissingExtraError("subwords need sentencepiece: pip install 'minigrad[text]', or choose words or chars") from None
    return sentencepiece
