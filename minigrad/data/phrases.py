"""Short English sentences and their Spanish, both made by one small grammar.

    Let's go!                               ¡Vamos!
    does she want to eat the red apple?     ¿ella quiere comer la manzana roja?
    We didn't see the old man yesterday.    No vimos al hombre viejo ayer.
    i am hungry                             tengo hambre

The two languages differ where they do in life: Spanish conjugates for person and tense and leaves out most pronouns, articles
and adjectives agree in gender and number, adjectives follow the noun, a person as an object takes an "a" (and ``a el`` is
``al``), to be is ``ser`` or ``estar``, one *has* hunger, and what one likes is the subject. The source alone decides the
target: "you" is one friend (tú), groups of unknown gender are masculine, and capitals and marks of the English stay.

Which split a sentence belongs to depends on its words alone: no held-out sentence is in the training set, in whatever capitals
and marks.
"""

import random
from functools import cache
from typing import NamedTuple

from minigrad.data import phrase_words as words
from minigrad.data.corpus import TextPairs
from minigrad.data.phrase_words import Adjective, Noun, Verb
from minigrad.data.splits import check_split, split_of

FIXED = (  # whole sentences, which are all in the training set
    ("let's go", "vamos", "!"),
    ("let's go home", "vamos a casa", "!"),
    ("good morning", "buenos días", "!"),
    ("good night", "buenas noches", "!"),
    ("hello", "hola", "!"),
    ("thank you", "gracias", "!"),
    ("welcome", "bienvenido", "!"),
    ("how are you", "cómo estás", "?"),
    ("where are you", "dónde estás", "?"),
    ("see you tomorrow", "hasta mañana", "."),
    ("you are welcome", "de nada", "."),
    ("please", "por favor", "."),
)


class Sentence(NamedTuple):
    """A sentence in lower case (but for "I") and without marks, and the mark at its end: ``.``, ``!`` or ``?``."""

    english: str
    spanish: str
    mark: str

    @property
    def key(self) -> str:
        """What its split is decided by."""
        return self.english.lower()


class Phrase(NamedTuple):
    """A noun phrase or pronoun.

    Attributes:
        english, spanish: as an object, or for a subject as that; the Spanish is empty where a pronoun is left out.
        person: which form of a Spanish verb it takes, as in ``phrase_words``.
        feminine, plural: what Spanish adjectives agree with.
    """

    english: str
    spanish: str
    person: int = 2
    feminine: bool = False
    plural: bool = False


def generate(split: str, size: int, seed: int = 0) -> TextPairs:
    """Pairs of a split.

    Args:
        split: ``train``, ``valid`` or ``test``: 8, 1 and 1 in 10 of all sentences.
        size: how many pairs. The training set begins with the fixed sentences, and draws the others with repetition; the other
            two hold no sentence twice.
        seed: which ones.
    """
    check_split(split, size)
    generator = random.Random(f"{split} {seed}")
    pairs = TextPairs([], [])
    if split == "train":
        for sentence in map(Sentence._make, FIXED):
            for capital in (True, False):
                for mark in (sentence.mark, ""):
                    _add(pairs, sentence, capital, mark)
    seen: set[str] = set()
    while len(pairs) < size:
        if split == "train" and generator.random() < 0.03:
            sentence = Sentence(*generator.choice(FIXED))
        else:
            sentence = make(generator)
            if split_of(sentence.key) != split or sentence.key in seen:
                continue
            if split != "train":
                seen.add(sentence.key)
        mark = generator.choice((sentence.mark, sentence.mark, "." if sentence.mark == "!" else sentence.mark, ""))
        _add(pairs, sentence, generator.random() < 0.6, mark)
    return TextPairs(pairs.sources[:size], pairs.targets[:size])


def _add(pairs: TextPairs, sentence: Sentence, capital: bool, mark: str) -> None:
    english, spanish = sentence.english, sentence.spanish
    if capital:
        english, spanish = english[0].upper() + english[1:], spanish[0].upper() + spanish[1:]
    else:
        english = english.lower()
    pairs.sources.append(english + mark)
    pairs.targets.append({"?": "¿", "!": "¡"}.get(mark, "") + spanish + mark)


def make(generator: random.Random) -> Sentence:
    """One sentence of the grammar."""
    kinds = (_action, _be, _feel, _place, _go, _like, _let_us, _there_is, _where, _what)
    (kind,) = generator.choices(kinds, (34, 12, 12, 8, 8, 10, 5, 5, 3, 3))
    sentence = kind(generator)
    contracted = f" {sentence.spanish} ".replace(" a el ", " al ").replace(" de el ", " del ").strip()
    return sentence._replace(spanish=contracted)


# -- noun phrases -------------------------------------------------------------------------------------------------------


@cache
def _determiners(names: str, plural: bool) -> list[words.Determiner]:
    """Those of the given names, between spaces, that go with a number; a name that comes twice counts twice."""
    return [d for name in names.split() for d in words.DETERMINERS if d.name == name and d.plural_only <= plural]


def _noun_phrase(generator: random.Random, noun: Noun, determiners: str, adjectives: tuple[Adjective, ...] = ()) -> Phrase:
    """A noun with one of ``determiners`` and perhaps one of ``adjectives``."""
    adjective = generator.choice(adjectives) if adjectives and generator.random() < 0.35 else None
    plural = bool(noun.plural) and generator.random() < 0.4
    determiner = generator.choice(_determiners(determiners, plural))
    before = determiner.english[plural]
    article = determiner.spanish[2 * plural + noun.feminine]
    if noun.spanish == "agua" and article == "la":  # before a stressed a
        article = "el"
    described = (adjective.english + " " if adjective else "") + (noun.plural if plural else noun.english)
    if before == "a" and described[0] in "aeiou":
        before = "an"
    spanish = f"{article} {noun.spanish_plural if plural else noun.spanish}"
    if adjective:
        spanish += " " + adjective.agreeing(noun.feminine, plural)
    return Phrase(f"{before} {described}", spanish, 4 if plural else 2, noun.feminine, plural)


def _person(generator: random.Random, noun: Noun, adjectives: tuple[Adjective, ...] = ()) -> Phrase:
    """A person or an animal: one's own are relatives, friends and animals, not men, women, boys and girls."""
    own = "" if noun.english in ("man", "woman", "boy", "girl") else "my your his"
    return _noun_phrase(generator, noun, f"the the our this that {own}" if own else "the the this that", adjectives)


def _substance(noun: Noun, article: bool) -> Phrase:
    """A substance without an article in English: milk is ``leche`` as an object, and ``la leche`` as what one likes."""
    spanish = ("el " if noun.spanish == "agua" or not noun.feminine else "la ") if article else ""
    return Phrase(noun.english, spanish + noun.spanish, 2, noun.feminine)


def _subject(generator: random.Random, animals: bool = True) -> Phrase:
    if generator.random() < 0.6:
        english, spanish, person, feminine = generator.choice(words.PRONOUNS)
        return Phrase(english, spanish, person, feminine, person > 2)
    beings = words.PERSONS + words.ANIMALS if animals else words.PERSONS
    return _person(generator, generator.choice(beings))


def _object(generator: random.Random, verb: Verb) -> Phrase:
    """What a verb acts on; a person after a verb that takes one has an ``a`` before it."""
    noun = generator.choice(words.KINDS[generator.choice(verb.objects.split())])
    adjectives = words.ADJECTIVES[noun.kind]
    if not noun.plural:
        bare = generator.random() < 0.6
        return _substance(noun, article=False) if bare else _noun_phrase(generator, noun, "the my your", adjectives)
    if noun.kind == "person":
        found = _person(generator, noun, adjectives)
        return found._replace(spanish=f"a {found.spanish}") if verb.personal else found
    return _noun_phrase(generator, noun, "the a my your our his this that number many", adjectives)


# -- verbs in both languages --------------------------------------------------------------------------------------------


def _is_third(subject: Phrase) -> bool:
    return subject.person == 2


def _be_form(subject: Phrase, tense: str) -> str:
    if tense == "past":
        return "was" if subject.english == "I" or _is_third(subject) else "were"
    return "am" if subject.english == "I" else "is" if _is_third(subject) else "are"


def _helped(subject: Phrase, helper: str, rest: str, negative: bool, question: bool) -> str:
    """An English clause with an auxiliary verb, which a question puts first and a negation changes."""
    shortened = {"will": "won't", "can": "can't", "must": "must not", "am": "am not"}
    helper_then = helper if not negative else shortened.get(helper, helper + "n't")
    if question:
        return f"{helper_then} {subject.english} {rest}"
    return f"{subject.english} {helper_then} {rest}"


def _english(subject: Phrase, verb: Verb, tense: str, rest: str, negative: bool, question: bool) -> str:
    """An English clause with a full verb, which takes "do" in questions and negations."""
    if tense == "future":
        return _helped(subject, "will", f"{verb.english[0]} {rest}", negative, question)
    if negative or question:
        helper = "did" if tense == "past" else "does" if _is_third(subject) else "do"
        return _helped(subject, helper, f"{verb.english[0]} {rest}", negative, question)
    form = 2 if tense == "past" else 1 if _is_third(subject) else 0
    return f"{subject.english} {verb.english[form]} {rest}"


def _clause(subject: Phrase, verb: str, rest: str, negative: bool) -> str:
    """A Spanish clause: subject, verb, rest; a question differs by its marks alone."""
    return " ".join(part for part in (subject.spanish, "no" if negative else "", verb, rest) if part)


def _mood(generator: random.Random) -> tuple[bool, bool]:
    """Whether a clause is negative, and whether it is a question; never both."""
    (mood,) = generator.choices(((False, False), (True, False), (False, True)), (5, 2, 3))
    return mood


def _told(english: str, spanish: str, question: bool) -> Sentence:
    return Sentence(" ".join(english.split()), spanish, "?" if question else ".")


def _when(generator: random.Random, tense: str) -> tuple[str, str]:
    """An adverb of time that goes with a tense, or none: English and Spanish."""
    return generator.choice(words.TIMES[tense]) if generator.random() < 0.25 else ("", "")


# -- the kinds of sentences ---------------------------------------------------------------------------------------------


def _action(generator: random.Random) -> Sentence:
    """Somebody does something to something, is doing it, or can, wants to, has to or must do it."""
    negative, question = _mood(generator)
    way = generator.choices(("present", "past", "future", "now", "modal"), (5, 4, 3, 2, 3))[0]
    verb = generator.choice(words.ACTIONS if way in ("now", "modal") else words.VERBS)
    subject, acted_on = _subject(generator, animals=False), _object(generator, verb)
    if way == "modal":
        modal = generator.choice(words.MODALS)
        rest = f"{verb.english[0]} {acted_on.english}"
        if modal.helper:
            english = _helped(subject, modal.helper, rest, negative, question)
        else:
            english = _english(subject, modal.verb, "present", f"to {rest}", negative, question)
        spanish = f"{modal.verb.form(subject.person, 'present')} {modal.link}{verb.spanish} {acted_on.spanish}"
        return _told(english, _clause(subject, spanish, "", negative), question)
    if way == "now":
        when = generator.choice(words.TIMES["now"]) if generator.random() < 0.25 else ("", "")
        rest = f"{verb.english[3]} {acted_on.english} {when[0]}"
        english = _helped(subject, _be_form(subject, "present"), rest, negative, question)
        spanish = f"{words.ESTAR.form(subject.person, 'present')} {verb.gerund} {acted_on.spanish} {when[1]}".strip()
        return _told(english, _clause(subject, spanish, "", negative), question)
    when = ("", "") if verb.past == "imperfect" else _when(generator, way)  # a state has no moment
    english = _english(subject, verb, way, f"{acted_on.english} {when[0]}", negative, question)
    spanish = _clause(subject, verb.form(subject.person, way), f"{acted_on.spanish} {when[1]}".strip(), negative)
    return _told(english, spanish, question)


def _being(generator: random.Random, subject: Phrase, verb: Verb, english: str, spanish: str) -> Sentence:
    """``subject is english``, in some tense."""
    negative, question = _mood(generator)
    tense = generator.choices(("present", "past", "future"), (5, 2, 2))[0]
    if tense == "future":
        told = _helped(subject, "will", f"be {english}", negative, question)
    else:
        told = _helped(subject, _be_form(subject, tense), english, negative, question)
    return _told(told, _clause(subject, verb.form(subject.person, tense), spanish, negative), question)


def _be(generator: random.Random) -> Sentence:
    """How somebody or something is by nature: ``ser``."""
    if generator.random() < 0.4:
        subject = _subject(generator, animals=False)
        adjective = generator.choice(words.ADJECTIVES["person"])
    else:
        noun = generator.choice(words.THINGS)
        subject, adjective = _noun_phrase(generator, noun, "the the my your our his this that"), generator.choice(words.NATURES)
    return _being(generator, subject, words.SER, adjective.english, adjective.agreeing(subject.feminine, subject.plural))


def _feel(generator: random.Random) -> Sentence:
    """How somebody is at the time: ``estar``; or what he has: ``tener``."""
    subject = _subject(generator)
    if generator.random() < 0.3:
        english, spanish = generator.choice(words.HAD)
        return _being(generator, subject, words.TENER, english, spanish)
    adjective = generator.choice(words.FEELINGS)
    return _being(generator, subject, words.ESTAR, adjective.english, adjective.agreeing(subject.feminine, subject.plural))


def _somewhere(generator: random.Random) -> tuple[str, str]:
    """Where: English and Spanish."""
    if generator.random() < 0.5:
        place = _noun_phrase(generator, generator.choice(words.PLACES)._replace(plural=""), "the")
        return f"in {place.english}", f"en {place.spanish}"
    before, spanish = generator.choice(words.PREPOSITIONS)
    thing = _noun_phrase(generator, generator.choice(words.FURNITURE)._replace(plural=""), "the")
    return f"{before} {thing.english}", f"{spanish} {thing.spanish}"


def _place(generator: random.Random) -> Sentence:
    """Where something or somebody is: ``estar``."""
    if generator.random() < 0.5:
        subject = _subject(generator)
    else:
        subject = _noun_phrase(generator, generator.choice(words.THINGS), "the my your our his")
    return _being(generator, subject, words.ESTAR, *_somewhere(generator))


def _to_place(generator: random.Random) -> tuple[str, str]:
    place = _noun_phrase(generator, generator.choice(words.PLACES)._replace(plural=""), "the")
    return f"to {place.english}", f"a {place.spanish}"


def _go(generator: random.Random) -> Sentence:
    """Somebody goes somewhere."""
    negative, question = _mood(generator)
    tense = generator.choice(("present", "past", "future"))
    subject, (to, spanish), when = _subject(generator), _to_place(generator), _when(generator, tense)
    english = _english(subject, words.IR, tense, f"{to} {when[0]}", negative, question)
    rest = f"{spanish} {when[1]}".strip()
    return _told(english, _clause(subject, words.IR.form(subject.person, tense), rest, negative), question)


def _like(generator: random.Random) -> Sentence:
    """What one likes pleases one: ``me gusta``."""
    negative, question = _mood(generator)
    subject = _subject(generator, animals=False)
    if generator.random() < 0.3:
        verb = generator.choice(words.ACTIONS)
        acted_on = _object(generator, verb)
        liked = Phrase(f"to {verb.english[0]} {acted_on.english}", f"{verb.spanish} {acted_on.spanish}")
    else:
        noun = generator.choice(words.THINGS + words.FOODS + words.DRINKS)
        if not noun.plural:
            liked = _substance(noun, article=True)
        else:
            liked = _noun_phrase(generator, noun, "the my your his this that", words.ADJECTIVES[noun.kind])
    told = _english(subject, words.LIKE, "present", liked.english, negative, question)
    whom = f"a {subject.spanish}" if subject.spanish else ""  # a él, a ella, a las chicas
    pleases = f"{words.CLITICS[subject.person]} {'gustan' if liked.plural else 'gusta'}"
    return _told(told, _clause(subject._replace(spanish=whom), pleases, liked.spanish, negative), question)


def _let_us(generator: random.Random) -> Sentence:
    """``let's``: ``vamos``."""
    if generator.random() < 0.4:
        english, spanish = _to_place(generator)
        return Sentence(f"let's go {english}", f"vamos {spanish}", "!")
    verb = generator.choice(words.ACTIONS)
    acted_on = _object(generator, verb)
    return Sentence(f"let's {verb.english[0]} {acted_on.english}", f"vamos a {verb.spanish} {acted_on.spanish}", "!")


def _there_is(generator: random.Random) -> Sentence:
    """``hay``, whatever the number."""
    thing = _noun_phrase(generator, generator.choice(words.THINGS + words.ANIMALS + words.PERSONS), "a number many")
    where, spanish = _somewhere(generator)
    question = generator.random() < 0.3
    verb = "are" if thing.plural else "is"
    english = f"{verb} there {thing.english} {where}" if question else f"there {verb} {thing.english} {where}"
    return _told(english, f"hay {thing.spanish} {spanish}", question)


def _where(generator: random.Random) -> Sentence:
    """Where something is; Spanish puts the verb before the subject."""
    if generator.random() < 0.3:
        subject = _subject(generator)
    else:
        subject = _noun_phrase(generator, generator.choice(words.THINGS), "the my your our his")
    spanish = f"dónde {words.ESTAR.form(subject.person, 'present')} {subject.spanish}".strip()
    return _told(f"where {_be_form(subject, 'present')} {subject.english}", spanish, True)


def _what(generator: random.Random) -> Sentence:
    """What somebody does something to."""
    subject = _subject(generator, animals=False)
    verb = generator.choice([verb for verb in words.ACTIONS if "person" not in verb.objects])
    tense = generator.choice(("present", "past", "future"))
    english = "what " + _english(subject, verb, tense, "", False, True)
    return _told(english, f"qué {verb.form(subject.person, tense)} {subject.spanish}".strip(), True)
