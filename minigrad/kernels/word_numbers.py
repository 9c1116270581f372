"""Text in, word numbers out: bytes are split at white space and looked up in a hash table, by all threads.

Words are byte strings between white space, which is what C calls so: space, tab, line feed, vertical tab, form feed, carriage
return. A line feed ends a sentence.

A block of text is read twice. First all threads look its words up in a table that nobody changes; then the words that were not
found, which after the first blocks are few, are added by one thread, in their order. So the numbers do not depend on the number
of threads: they count the different words as they come.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from minigrad.kernels.jit import core, driver

END = -1  # the end of a sentence
UNKNOWN = -2  # a word that is not in the table
_FNV_START, _FNV_FACTOR = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_FOLD = np.uint64(32)


class Table(NamedTuple):
    """A hash table of words, with linear probing.

    Attributes:
        slots: ``(a power of 2,)`` int32, the number of the word whose place this is, or -1.
        hashes: ``(room for words,)`` uint64.
        ends: ``(room for words + 1,)`` int64: word i is ``letters[ends[i]:ends[i + 1]]``.
        letters: uint8, the words' bytes.
        size: ``(1,)`` int64, how many words there are.
    """

    slots: Any
    hashes: Any
    ends: Any
    letters: Any
    size: Any


def new_table(words: int, letters: int) -> Table:
    """An empty table with room for ``words`` words of ``letters`` bytes together."""
    slots = np.full(1 << max(4, (2 * words - 1).bit_length()), -1, np.int32)
    hashes, ends = np.empty(words, np.uint64), np.zeros(words + 1, np.int64)
    return Table(slots, hashes, ends, np.empty(letters, np.uint8), np.zeros(1, np.int64))


def grown(table: Table, words: int, letters: int) -> Table:
    """The same words in a table with more room."""
    new = new_table(words, letters)
    count = int(table.size[0])
    new.hashes[:count], new.ends[: count + 1] = table.hashes[:count], table.ends[: count + 1]
    new.letters[: table.ends[count]] = table.letters[: table.ends[count]]
    new.size[0] = count
    with np.errstate(over="ignore"):
        _place(new.slots, new.hashes, count)
    return new


def numbers(text, table: Table, out, misses, parts: int):
    """Look up all words of a text.

    Args:
        text: ``(n,)`` uint8. A word at its end is whole: text is cut between words.
        table: the words.
        out: ``(>= n,)`` int32, receives word numbers and ``END``; ``UNKNOWN`` for what is not in the table.
        misses: ``(2, >= n)`` int32, receives for each unknown word its place in ``out`` and in ``text``.
        parts: how many threads share the text.

    Returns:
        ``(parts, 3)`` int64: where in ``out`` each part's numbers begin and end, and how many unknown words it has; their
        places in ``misses`` begin where its numbers do.
    """
    cuts = np.linspace(0, text.size, parts + 1).astype(np.int64)
    _move_to_spaces(text, cuts)
    found = np.empty((parts, 3), np.int64)
    found[:, 0] = cuts[:-1]
    with np.errstate(over="ignore"):
        if parts == 1:
            _numbers(text, cuts[0], cuts[1], table, out, misses, found[0])
        else:
            _numbers_parts(text, cuts, table, out, misses, found)
    return found


def add(text, table: Table, out, misses, first: int, count: int) -> int:
    """Add the unknown words ``misses[:, first:count]`` to the table, and put their numbers into ``out``.

    Returns:
        how far it came: ``count``, or less where the table must grow first.
    """
    with np.errstate(over="ignore"):
        return _add(text, table, out, misses, first, count)


@core
def count_words(found_numbers, counts):
    """Count the words of a stream of word numbers; adds to ``counts``."""
    for i in range(found_numbers.size):
        if found_numbers[i] >= 0:
            counts[found_numbers[i]] += 1


@core
def renumber(stream, rank, keep_unknown, out):
    """Put ``rank[word]`` for each word of a stream into ``out``; words of a negative rank are unknown, and kept or left out.

    Returns:
        how long the new stream is. Sentences without words are gone.
    """
    n = 0
    for i in range(stream.size):
        word = stream[i]
        if word >= 0:
            word = rank[word]
            if word < 0:
                word = UNKNOWN
        if word == UNKNOWN and not keep_unknown:
            continue
        if word == END and (n > 0 and out[n - 1] == END):
            continue
        out[n] = word
        n += 1
    return n


@core
def _is_space(byte):
    return byte == 32 or (byte >= 9 and byte <= 13)


@core
def _move_to_spaces(text, cuts):
    """Move each cut forward to white space."""
    for part in range(1, cuts.size - 1):
        place = max(cuts[part], cuts[part - 1])
        while place < text.size and not _is_space(text[place]):
            place += 1
        cuts[part] = place


@core
def _find(text, start, stop, hashed, table):
    """The number of a word, or -1."""
    mask = table.slots.size - 1
    slot = np.int64((hashed ^ (hashed >> _FOLD)) & np.uint64(mask))
    while True:
        word = table.slots[slot]
        if word < 0:
            return word
        if table.hashes[word] == hashed:
            begin = table.ends[word]
            if table.ends[word + 1] - begin == stop - start:
                k = 0
                while k < stop - start and table.letters[begin + k] == text[start + k]:
                    k += 1
                if k == stop - start:
                    return word
        slot = (slot + 1) & mask


@core
def _numbers(text, start, stop, table, out, misses, found):
    n = start
    missed = 0
    i = start
    while i < stop:
        byte = text[i]
        if _is_space(byte):
            if byte == 10:
                out[n] = END
                n += 1
            i += 1
            continue
        begin = i
        hashed = _FNV_START
        while i < stop and not _is_space(text[i]):
            hashed = (hashed ^ np.uint64(text[i])) * _FNV_FACTOR
            i += 1
        word = _find(text, begin, i, hashed, table)
        if word < 0:
            misses[0, start + missed] = n
            misses[1, start + missed] = begin
            missed += 1
            word = np.int32(UNKNOWN)
        out[n] = word
        n += 1
    found[1] = n
    found[2] = missed


@driver
def _numbers_parts(text, cuts, table, out, misses, found):
    for part in prange(found.shape[0]):
        _numbers(text, cuts[part], cuts[part + 1], table, out, misses, found[part])


@core
def _add(text, table, out, misses, first, count):
    for k in range(first, count):
        begin = misses[1, k]
        stop = begin
        hashed = _FNV_START
        while stop < text.size and not _is_space(text[stop]):
            hashed = (hashed ^ np.uint64(text[stop])) * _FNV_FACTOR
            stop += 1
        word = np.int64(_find(text, begin, stop, hashed, table))
        if word < 0:
            word = table.size[0]
            end = table.ends[word] + stop - begin
            if word == table.hashes.size or end > table.letters.size:
                return k
            table.letters[table.ends[word] : end] = text[begin:stop]
            table.ends[word + 1] = end
            table.hashes[word] = hashed
            table.size[0] = word + 1
            _put(table.slots, hashed, word)
        out[misses[0, k]] = word
    return count


@core
def _put(slots, hashed, word):
    mask = slots.size - 1
    slot = np.int64((hashed ^ (hashed >> _FOLD)) & np.uint64(mask))
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = word


@core
def _place(slots, hashes, count):
    for word in range(count):
        _put(slots, hashes[word], word)
