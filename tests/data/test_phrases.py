"""The English-Spanish phrases: correct, of one reference each, and split by the sentence."""

import random

import pytest

from minigrad.data import builtin_task, phrase_words, phrases
from minigrad.errors import UsageError


def words_of(text):
    return text.lower().strip(".!?¿¡")


@pytest.fixture(scope="module")
def splits():
    return {split: phrases.generate(split, size) for split, size in (("train", 4000), ("valid", 300), ("test", 300))}


@pytest.mark.parametrize(
    "verb, tense, forms",
    [
        ("comer", "present", "como comes come comemos comen"),
        ("vender", "past", "vendí vendiste vendió vendimos vendieron"),
        ("comprar", "past", "compré compraste compró compramos compraron"),
        ("buscar", "past", "busqué buscaste buscó buscamos buscaron"),
        ("tener", "future", "tendré tendrás tendrá tendremos tendrán"),
        ("necesitar", "past", "necesitaba necesitabas necesitaba necesitábamos necesitaban"),
        ("querer", "past", "quería querías quería queríamos querían"),
        ("encontrar", "future", "encontraré encontrarás encontrará encontraremos encontrarán"),
    ],
)
def test_verbs_are_conjugated(verb, tense, forms):
    found = next(v for v in phrase_words.VERBS if v.spanish == verb)
    assert [found.form(person, tense) for person in range(5)] == forms.split()


@pytest.mark.parametrize(
    "spanish, irregular, forms",
    [
        ("rojo", "", "rojo roja rojos rojas"),
        ("verde", "", "verde verde verdes verdes"),
        ("azul", "", "azul azul azules azules"),
        ("joven", "jóvenes", "joven joven jóvenes jóvenes"),
    ],
)
def test_adjectives_agree(spanish, irregular, forms):
    adjective = phrase_words.Adjective("", spanish, irregular)
    assert [adjective.agreeing(f, p) for p in (False, True) for f in (False, True)] == forms.split()


def test_nouns_have_their_plurals():
    plurals = {noun.spanish: noun.spanish_plural for nouns in phrase_words.KINDS.values() for noun in nouns}
    for spanish, plural in (("lápiz", "lápices"), ("flor", "flores"), ("reloj", "relojes"), ("mujer", "mujeres")):
        assert plurals[spanish] == plural


def test_sentences_known_by_heart():
    """Sentences whose Spanish was written by hand, each drawn by the grammar itself."""
    known = {
        "they are hungry": "ellos tienen hambre",
        "she is tired": "ella está cansada",
        "we are tired": "estamos cansados",
        "he likes coffee": "a él le gusta el café",
        "i don't like water": "no me gusta el agua",
        "do you like milk": "te gusta la leche",
        "we go to the park": "vamos al parque",
        "i went to the beach": "fui a la playa",
        "let's go to the market": "vamos al mercado",
        "where are my keys": "dónde están mis llaves",
        "let's drink water": "vamos a beber agua",
        "she was sick": "ella estaba enferma",
        "will he be busy": "él estará ocupado",
    }
    generator, found = random.Random(0), {}
    for _ in range(30_000):
        sentence = phrases.make(generator)
        if sentence.key in known:
            found[sentence.key] = sentence.spanish
    assert found == known


def test_a_person_as_an_object_takes_an_a(splits):
    def after(verbs, noun):
        return [y for x, y in splits["train"] if any(f"{verb} the {noun} " in x.strip(".?!") + " " for verb in verbs)]

    persons = after(("see", "for", "help", "visit"), "man")
    things = [y for noun in ("dress", "hat", "book", "car") for y in after(("see", "for", "wash", "buy", "sell"), noun)]
    assert persons and all(" al hombre" in y for y in persons)
    assert things and all(" el " in y and " al " not in y for y in things)


def test_each_source_has_one_reference(splits):
    references = {}
    for pairs in splits.values():
        for source, target in pairs:
            assert references.setdefault(source, target) == target
    assert len(references) > 4000


def test_no_sentence_is_in_two_splits(splits):
    train, valid, test = ({words_of(source) for source in splits[name].sources} for name in ("train", "valid", "test"))
    assert not train & valid and not train & test and not valid & test
    assert len(valid) == len(test) == 300


def test_let_us_go_is_learnt_in_every_spelling(splits):
    pairs = dict(splits["train"])
    assert pairs["let's go"] == "vamos" and pairs["Let's go!"] == "¡Vamos!"
    assert pairs["Let's go"] == "Vamos" and pairs["let's go!"] == "¡vamos!"


def test_capitals_and_marks_are_those_of_the_source(splits):
    for source, target in splits["train"]:
        assert source[0].isupper() == target.strip("¿¡")[0].isupper()
        for mark, opening in ((".", ""), ("?", "¿"), ("!", "¡")):
            assert source.endswith(mark) == target.endswith(mark)
            assert not opening or source.endswith(mark) == target.startswith(opening)
        assert "  " not in source + target and " a el " not in target and " de el " not in target


def test_the_seed_decides():
    assert list(phrases.generate("test", 50)) == list(phrases.generate("test", 50))
    assert list(phrases.generate("test", 50, 1)) != list(phrases.generate("test", 50))


def test_it_is_built_in():
    assert builtin_task("phrases").generate("valid", 3).sources == phrases.generate("valid", 3).sources
    with pytest.raises(UsageError, match="train, valid, test"):
        phrases.generate("dev", 3)
