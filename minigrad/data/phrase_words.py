"""The words of :mod:`.phrases`: nouns, verbs and adjectives in English and Spanish, with what their grammars ask of them."""

from typing import NamedTuple

# The forms of a Spanish verb are numbered: 0 yo, 1 tú, 2 él or ella, 3 nosotros, 4 ellos.
_ENDINGS = {
    "present": {"ar": "o as a amos an", "er": "o es e emos en", "ir": "o es e imos en"},
    "preterite": {"ar": "é aste ó amos aron", "er": "í iste ió imos ieron", "ir": "í iste ió imos ieron"},
    "imperfect": {"ar": "aba abas aba ábamos aban", "er": "ía ías ía íamos ían", "ir": "ía ías ía íamos ían"},
}
_FUTURE = ("é", "ás", "á", "emos", "án")


class Verb(NamedTuple):
    """A verb.

    Attributes:
        english: base, third person, past, and the -ing form or "".
        spanish: the infinitive.
        objects: the kinds of nouns that it takes.
        present, past, future: its Spanish forms where they are not regular: five words, or for the future its stem. "imperfect"
            says that its past is a state rather than an event.
        personal: whether a person as its object takes an ``a``.
    """

    english: tuple[str, ...]
    spanish: str
    objects: str = ""
    present: str = ""
    past: str = ""
    future: str = ""
    personal: bool = True

    def form(self, person: int, tense: str) -> str:
        """The Spanish form for ``person`` in "present", "past" or "future"."""
        stem, ending = self.spanish[:-2], self.spanish[-2:]
        if tense == "future":
            return (self.future or self.spanish) + _FUTURE[person]
        given = self.present if tense == "present" else self.past
        if given and given != "imperfect":
            return given.split()[person]
        name = "present" if tense == "present" else given or "preterite"
        return stem + _ENDINGS[name][ending].split()[person]

    @property
    def gerund(self) -> str:
        """``comiendo``."""
        return self.spanish[:-2] + ("ando" if self.spanish.endswith("ar") else "iendo")


class Noun(NamedTuple):
    """A noun; a substance such as milk has no plural. ``kind`` says what can be done with it and how it can be."""

    english: str
    plural: str
    spanish: str
    spanish_plural: str
    feminine: bool
    kind: str


class Adjective(NamedTuple):
    """An adjective, in Spanish masculine and singular, and its plural where that is not regular."""

    english: str
    spanish: str
    irregular_plural: str = ""

    def agreeing(self, feminine: bool, plural: bool) -> str:
        """The form for a gender and number."""
        if plural and self.irregular_plural:
            return self.irregular_plural
        word = self.spanish[:-1] + "a" if feminine and self.spanish.endswith("o") else self.spanish
        return word + ("" if not plural else "s" if word[-1] in "aeo" else "es")


class Modal(NamedTuple):
    """A verb before an infinitive, with ``link`` between them in Spanish; ``helper`` is an English auxiliary in its place."""

    verb: Verb
    helper: str = ""
    link: str = ""


class Determiner(NamedTuple):
    """Its English in singular and plural, and its Spanish: masculine and feminine singular, masculine and feminine plural."""

    name: str
    english: tuple[str, str]
    spanish: tuple[str, ...]
    plural_only: bool = False


def _nouns(kind: str, text: str) -> list[Noun]:
    """Nouns from lines ``english spanish gender``; ``english/plural`` and ``spanish/plural`` where that is not regular, and
    ``english/-`` for a substance."""
    found = []
    for entry in text.split(";"):
        english, spanish, gender = entry.split()
        english, _, plural = english.partition("/")
        spanish, _, spanish_plural = spanish.partition("/")
        plural = plural or english + "s"
        spanish_plural = spanish_plural or spanish + ("s" if spanish[-1] in "aeiouáéó" else "es")
        found.append(Noun(english, "" if plural == "-" else plural, spanish, spanish_plural, gender == "f", kind))
    return found


THINGS = _nouns(
    "thing",
    "book libro m; letter carta f; house casa f; car coche m; table mesa f; chair silla f; door puerta f; window ventana f; "
    "dress/dresses vestido m; shirt camisa f; shoe zapato m; hat sombrero m; bag bolsa f; key llave f; "
    "pencil lápiz/lápices m; clock reloj m; flower flor f; box/boxes caja f; bed cama f; picture cuadro m; cup taza f; "
    "knife/knives cuchillo m; bicycle bicicleta f",
)
FURNITURE = [noun for noun in THINGS if noun.english in ("table", "chair", "bed", "box", "car", "house", "door", "window")]
FOODS = _nouns(
    "food",
    "apple manzana f; orange naranja f; egg huevo m; tomato/tomatoes tomate m; potato/potatoes patata f; cake pastel m; "
    "sandwich/sandwiches bocadillo m; carrot zanahoria f; bread/- pan m; rice/- arroz m; meat/- carne f; cheese/- queso m; "
    "soup/- sopa f",
)
DRINKS = _nouns("drink", "water/- agua f; milk/- leche f; coffee/- café m; tea/- té m; wine/- vino m; juice/- zumo m")
PERSONS = _nouns(
    "person",
    "boy chico m; girl chica f; man/men hombre m; woman/women mujer f; child/children niño m; teacher profesor m; "
    "doctor médico m; brother hermano m; sister hermana f; friend amigo m; neighbor vecino m; son hijo m; daughter hija f",
)
ANIMALS = _nouns("animal", "dog perro m; cat gato m; horse caballo m; bird pájaro m; cow vaca f; hen gallina f")
PLACES = _nouns(
    "place",
    "park parque m; school escuela f; market mercado m; beach/beaches playa f; city/cities ciudad f; museum museo m; "
    "library/libraries biblioteca f; station estación/estaciones f; garden jardín/jardines m; kitchen cocina f; "
    "hospital hospital m; square plaza f",
)
KINDS = {"thing": THINGS, "food": FOODS, "drink": DRINKS, "person": PERSONS, "animal": ANIMALS}

_COLOURS = [Adjective(*pair.split()) for pair in ("red rojo", "white blanco", "black negro", "yellow amarillo", "green verde")]
NATURES = [
    *_COLOURS,
    *map(
        Adjective._make,
        (
            ("blue", "azul", ""), ("big", "grande", ""), ("small", "pequeño", ""), ("new", "nuevo", ""), ("old", "viejo", ""),
            ("cheap", "barato", ""), ("expensive", "caro", ""), ("heavy", "pesado", ""), ("beautiful", "bonito", ""),
        ),
    ),
]  # fmt: skip
FEELINGS = [
    Adjective(*pair.split())
    for pair in ("tired cansado", "happy contento", "sick enfermo", "busy ocupado", "alone solo", "worried preocupado")
]
HAD = (("hungry", "hambre"), ("thirsty", "sed"), ("sleepy", "sueño"), ("afraid", "miedo"), ("in a hurry", "prisa"))
ADJECTIVES: dict[str, tuple[Adjective, ...]] = {
    "thing": tuple(NATURES),
    "food": (
        Adjective("fresh", "fresco"), Adjective("cold", "frío"), Adjective("hot", "caliente"), Adjective("big", "grande"),
        Adjective("red", "rojo"), Adjective("green", "verde"),
    ),
    "drink": (Adjective("fresh", "fresco"), Adjective("cold", "frío"), Adjective("hot", "caliente")),
    "person": (
        Adjective("tall", "alto"), Adjective("young", "joven", "jóvenes"), Adjective("old", "viejo"),
        Adjective("strong", "fuerte"), Adjective("intelligent", "inteligente"), Adjective("rich", "rico"),
        Adjective("poor", "pobre"), Adjective("thin", "delgado"),
    ),
    "animal": (Adjective("big", "grande"), Adjective("small", "pequeño"), Adjective("black", "negro")),
}  # fmt: skip

PRONOUNS = (  # the Spanish is empty where it is left out
    ("I", "", 0, False),
    ("you", "", 1, False),
    ("he", "él", 2, False),
    ("she", "ella", 2, True),
    ("we", "", 3, False),
    ("they", "ellos", 4, False),
)
CLITICS = ("me", "te", "le", "nos", "les")

_NUMBERS = "two dos, three tres, four cuatro, five cinco, six seis, seven siete, eight ocho, nine nueve, ten diez"
DETERMINERS = [
    Determiner("the", ("the", "the"), ("el", "la", "los", "las")),
    Determiner("a", ("a", "some"), ("un", "una", "unos", "unas")),
    Determiner("my", ("my", "my"), ("mi", "mi", "mis", "mis")),
    Determiner("your", ("your", "your"), ("tu", "tu", "tus", "tus")),
    Determiner("his", ("his", "his"), ("su", "su", "sus", "sus")),
    Determiner("his", ("her", "her"), ("su", "su", "sus", "sus")),
    Determiner("our", ("our", "our"), ("nuestro", "nuestra", "nuestros", "nuestras")),
    Determiner("this", ("this", "these"), ("este", "esta", "estos", "estas")),
    Determiner("that", ("that", "those"), ("ese", "esa", "esos", "esas")),
    Determiner("many", ("", "many"), ("", "", "muchos", "muchas"), plural_only=True),
    *(
        Determiner("number", ("", english), ("", "", spanish, spanish), plural_only=True)
        for english, spanish in (pair.split() for pair in _NUMBERS.split(", "))
    ),
]

SER = Verb(("be",), "ser", present="soy eres es somos son", past="era eras era éramos eran")
ESTAR = Verb(("be",), "estar", present="estoy estás está estamos están", past="imperfect")
TENER = Verb(
    ("have", "has", "had", ""), "tener", "thing food animal person", "tengo tienes tiene tenemos tienen", "imperfect", "tendr",
    personal=False,
)  # fmt: skip
IR = Verb(("go", "goes", "went", "going"), "ir", "", "voy vas va vamos van", "fui fuiste fue fuimos fueron")
LIKE = Verb(("like", "likes", "liked", ""), "gustar")
QUERER = Verb(
    ("want", "wants", "wanted", ""),
    "querer",
    "thing food drink",
    "quiero quieres quiere queremos quieren",
    "imperfect",
    "querr",
)
ACTIONS = [
    Verb(("eat", "eats", "ate", "eating"), "comer", "food"),
    Verb(("drink", "drinks", "drank", "drinking"), "beber", "drink"),
    Verb(("buy", "buys", "bought", "buying"), "comprar", "thing food drink"),
    Verb(("sell", "sells", "sold", "selling"), "vender", "thing food"),
    Verb(("cook", "cooks", "cooked", "cooking"), "cocinar", "food"),
    Verb(("wash", "washes", "washed", "washing"), "lavar", "thing"),
    Verb(("paint", "paints", "painted", "painting"), "pintar", "thing"),
    Verb(
        ("look for", "looks for", "looked for", "looking for"), "buscar", "thing person",
        past="busqué buscaste buscó buscamos buscaron",
    ),
    Verb(("help", "helps", "helped", "helping"), "ayudar", "person"),
    Verb(("visit", "visits", "visited", "visiting"), "visitar", "person"),
    Verb(("wait for", "waits for", "waited for", "waiting for"), "esperar", "person"),
]  # fmt: skip
VERBS = [
    *ACTIONS,
    TENER,
    QUERER,
    Verb(("see", "sees", "saw", ""), "ver", "thing person", "veo ves ve vemos ven", "vi viste vio vimos vieron"),
    Verb(("find", "finds", "found", ""), "encontrar", "thing", "encuentro encuentras encuentra encontramos encuentran"),
    Verb(("need", "needs", "needed", ""), "necesitar", "thing food drink", past="imperfect"),
    Verb(("know", "knows", "knew", ""), "conocer", "person", "conozco conoces conoce conocemos conocen", "imperfect"),
]
MODALS = [
    Modal(Verb(("can",), "poder", "", "puedo puedes puede podemos pueden"), helper="can"),
    Modal(Verb(("must",), "deber"), helper="must"),
    Modal(QUERER),
    Modal(TENER, link="que "),
    Modal(Verb(("need", "needs", "needed", ""), "necesitar")),
]
TIMES = {
    "present": (("every day", "todos los días"), ("today", "hoy")),
    "past": (("yesterday", "ayer"), ("last week", "la semana pasada")),
    "future": (("tomorrow", "mañana"), ("today", "hoy")),
    "now": (("now", "ahora"),),
}
PREPOSITIONS = (("on", "sobre"), ("under", "debajo de"), ("near", "cerca de"), ("behind", "detrás de"))
