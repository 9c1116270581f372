"""Data for sequence models: text from files or generated, tokenizers, and batches of like length.

Plain Python and NumPy; nothing here knows of tensors.
"""

from minigrad.data.batching import Batch, TokenBatches, pad
from minigrad.data.builtin import TASKS, Task, builtin_task
from minigrad.data.corpus import Skipped, TextPairs, read_lines, read_pairs
from minigrad.data.parallel import ParallelText
from minigrad.data.rules import CharTokenizer, PieceTokenizer, WordTokenizer
from minigrad.data.splits import SPLITS, split_of
from minigrad.data.subwords import SubwordTokenizer
from minigrad.data.tokenizer import Tokenizer, train_tokenizer
from minigrad.data.vocabulary import BOS, EOS, PAD, SPECIALS, UNK, Vocabulary

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "SPECIALS",
    "SPLITS",
    "TASKS",
    "UNK",
    "Batch",
    "CharTokenizer",
    "ParallelText",
    "PieceTokenizer",
    "Skipped",
    "SubwordTokenizer",
    "Task",
    "TextPairs",
    "TokenBatches",
    "Tokenizer",
    "Vocabulary",
    "WordTokenizer",
    "builtin_task",
    "pad",
    "read_lines",
    "read_pairs",
    "split_of",
    "train_tokenizer",
]
