"""Word embeddings from the beginning, with all the numbers: ``python -m models.word2vec lesson``.

A network with two units learns which word comes next. What it learns about a word are two numbers, so that words become points
of a plane, and words that are used alike end up close together. Then the two models of word2vec, CBOW and skip-gram, with each
of their three losses, on a text of eight sentences: ``lesson --model skipgram --loss ns``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels.huffman import huffman
from minigrad.nn import functional as F
from minigrad.word2vec import losses
from minigrad.word2vec.projection import pca
from models.word2vec_picture import Panel, before_and_after

SENTENCES = ("Troll2 is great", "Gymkata is great")
WORDS = ("Troll2", "is", "great", "Gymkata")
STEPS, RATE = 100, 0.3
SEED = 10  # the two films begin far apart; they come closer from any other, too

TEXT = (
    "we watched troll2 and laughed", "we watched gymkata and laughed", "troll2 is a great film", "gymkata is a great film",
    "we cooked pasta and dined", "we cooked rice and dined", "pasta is a tasty meal", "rice is a tasty meal",
)  # fmt: skip
SHOWN = ("troll2", "gymkata", "pasta", "rice", "watched", "cooked", "film", "meal")
WINDOW = 2  # words on either side
DIM, PASSES, PEAK = 4, 300, 0.1  # the learning rate falls from PEAK to 0, as in word2vec
EXPLAINED = 5  # passes before the example whose gradient is shown: vectors that begin at 0 have little to show

_NAMES = {
    "skipgram": "Skip-gram", "cbow": "CBOW",
    "softmax": "full softmax", "ns": "negative sampling", "hs": "hierarchical softmax",
}  # fmt: skip
_PREDICTS = {
    "skipgram": "Skip-gram: each neighbour goes in by itself, and the word in their middle comes out. h is its vector.",
    "cbow": "CBOW: all neighbours go in together, and the word in their middle comes out. h is the mean of their vectors.",
}
_SCORES = {
    "softmax": "Full softmax: every word w is scored by u_w . h, and p = exp(score) / sum of all exp(score).",
    "ns": "Negative sampling: the word (label 1) is to be told from random ones (label 0), each by p = 1 / (1 + exp(-u . h)).",
    "hs": "Hierarchical softmax: a walk down a tree to the word; p = 1 / (1 + exp(-u . h)) is for left (label 1) at each node.",
}


class NextWord(nn.Module):
    """A word in, as a 1 among zeros; a score for each word that may come next out. All there is between is two numbers."""

    def __init__(self, words: int):
        super().__init__()
        self.hidden = nn.Linear(words, 2, bias=False)
        self.output = nn.Linear(2, words, bias=False)

    def forward(self, one_hot: mg.Tensor) -> mg.Tensor:
        return self.output(self.hidden(one_hot))

    def embeddings(self) -> np.ndarray:
        """The two weights that lead away from each word, (words, 2): what comes out of the two units when it goes in."""
        return self.hidden.weight.detach().numpy().T.copy()


def next_word(seed: int = SEED) -> str:
    """The first lesson, printed step by step. Returns its picture, the text of an SVG file."""
    mg.manual_seed(seed)
    model = NextWord(len(WORDS))
    pairs = [(WORDS.index(a), WORDS.index(b)) for text in SENTENCES for a, b in pairwise(text.split())]
    inputs = F.one_hot(mg.tensor([a for a, _ in pairs]), len(WORDS)).float()
    targets = mg.tensor([b for _, b in pairs])

    print(f"The text is {' and '.join(map(repr, SENTENCES))}. Each word is to predict the next one:\n")
    print("    " + "    ".join(f"{WORDS[a]} -> {WORDS[b]}" for a, b in pairs))
    print("\n1. A word goes in as a list of zeros with a 1 at its own place (one-hot):\n")
    for word, row in zip(WORDS, np.eye(len(WORDS))):
        print(f"    {word:<8}" + "".join(f"{bit:3.0f}" for bit in row))
    print(
        "\n2. Two units add up their inputs, each times a weight. Only one input is not 0, so what comes out are the two\n"
        "   weights of that word: its embedding, a point in a plane. They begin at random:\n"
    )
    _table(WORDS, model.embeddings())
    print("\n3. Four outputs score what may come next, and softmax makes probabilities of the scores. After 'Troll2':\n")
    _first_gradient(model, inputs[:1], targets[:1])
    before = model.embeddings()
    track = [before]
    print("\n5. The same for all four pairs at once, again and again:\n")
    print("    pass      loss    from Troll2 to Gymkata")
    optimizer = optim.SGD(model.parameters(), lr=RATE)
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), targets)
        if step in (0, 1, 2, 5, 10, 20, 50, STEPS):
            print(f"    {step:4d}  {loss.item():8.4f}    {_apart(track[-1], 'Troll2', 'Gymkata'):.3f}")
        if step < STEPS:
            loss.backward()
            optimizer.step()
            track.append(model.embeddings())
    after = track[-1]
    print("\n6. What the two units say now:\n")
    _table(WORDS, after)
    with mg.no_grad():
        sure = F.softmax(model(inputs), -1).numpy()
    said = ", ".join(f"{WORDS[a]} -> {WORDS[b]} ({sure[i, b]:.0%})" for i, (a, b) in enumerate(pairs[:3]))
    apart = _apart(before, "Troll2", "Gymkata"), _apart(after, "Troll2", "Gymkata"), _apart(after, "Troll2", "is")
    print("\n   What is predicted: " + said)
    print("   The films were {:.2f} apart and are now {:.2f} apart, and {:.2f} from 'is'.".format(*apart))
    print("""   Nobody said that both are films: the same word follows both, so the same errors pull at both points.
   'great' stayed where it was: no word follows it, so that it never went in, and its gradient was 0.""")
    panels = [Panel("before", before, WORDS), Panel(f"after {STEPS} passes", after, WORDS, np.stack(track))]
    return before_and_after(panels, "A network that predicts the next word", "unit 1 (across), unit 2 (up)")


def _first_gradient(model: NextWord, one_hot: mg.Tensor, target: mg.Tensor) -> None:
    """One pair's way through the network and back, with the formulas' numbers beside those of the tape."""
    hidden = model.hidden(one_hot)
    scores = model.output(hidden)
    loss = F.cross_entropy(scores, target)
    loss.backward()
    h, u, p = _array(hidden)[0], _array(model.output.weight), _array(F.softmax(scores, -1))[0]
    labels = np.eye(len(WORDS))[_array(target)[0]]
    _errors(h, WORDS, u, p, labels, _array(model.output.weight.grad))
    pulled = (p - labels) @ u
    print(f"""
   The loss is the cross-entropy, -log of the probability of 'is': {loss.item():.4f}. It would be 0 at a probability of 1.

4. The embedding moved every score, each by its u: its gradient is the sum of error * u, {_numbers(pulled)}.
   What the tape found, for every word:
""")
    _table(WORDS, _array(model.hidden.weight.grad).T)
    print(f"""
   Words that did not go in get 0. So nobody multiplies by all those zeros: nn.Embedding looks up the row of a table.
   A step against the gradient, {RATE} times its length, moves Troll2 from {_numbers(h)} to {_numbers(h - RATE * pulled)}.""")
    model.zero_grad()


class Examples:
    """What a model of word2vec is trained on: every place of a text, with what goes in there and what is to come out.

    Args:
        kind: "skipgram": each word of the context goes in by itself; "cbow": all go in together. The word itself comes out.
        loss: which decides what a target is: a word, a word and ``negatives`` random ones, or a way down the tree.
    """

    negatives = 5

    def __init__(self, kind: str, loss: str):
        counted = Counter(word for sentence in TEXT for word in sentence.split()).most_common()
        self.words, self.counts = [word for word, _ in counted], np.array([count for _, count in counted])
        self.loss = loss
        inputs, targets = [], []
        for sentence in TEXT:
            numbers = [self.words.index(word) for word in sentence.split()]
            for place, target in enumerate(numbers):
                context = numbers[max(place - WINDOW, 0) : place] + numbers[place + 1 : place + 1 + WINDOW]
                inputs += context if kind == "skipgram" else [context + [-1] * (2 * WINDOW - len(context))]
                targets += [target] * (len(context) if kind == "skipgram" else 1)
        self.inputs, self.targets = np.array(inputs), np.array(targets)
        starts, nodes, codes = huffman(self.counts)
        longest = np.diff(starts).max()
        self.points, self.codes = (
            np.stack([np.pad(of[a:b].astype(int), (0, longest - b + a), constant_values=-1) for a, b in pairwise(starts)])
            for of in (nodes, codes)
        )

    def answers(self, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """What a loss takes behind its inputs; the random words are drawn anew, in proportion to count^0.75."""
        if self.loss == "hs":
            return self.points[self.targets], self.codes[self.targets]
        if self.loss == "softmax":
            return (self.targets,)
        shares = self.counts**0.75
        drawn = generator.choice(len(self.words), (len(self.targets), self.negatives), p=shares / shares.sum())
        return self.targets, drawn


def word2vec(kind: str, loss: str, seed: int = 0) -> str:
    """The second lesson: one of word2vec's models with one of its losses, on eight sentences. Returns the picture."""
    mg.manual_seed(seed)
    generator = np.random.default_rng(seed)
    examples = Examples(kind, loss)
    model = losses.Word2Vec(len(examples.words), DIM, loss)
    optimizer = optim.Adam(model.parameters(), lr=PEAK)
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / PASSES)
    track, course = [_array(model.input.weight).copy()], []
    print("The text has eight sentences:\n")
    for sentence in TEXT:
        print(f"    {sentence}")
    print(f"\n{_PREDICTS[kind]}\n{_SCORES[loss]}")
    for step in range(PASSES):
        if step == EXPLAINED:
            print(f"\n1. One example after {EXPLAINED} passes (the vectors u begin at 0, and the first gradients are small):\n")
            _example(model, examples, generator)
        optimizer.zero_grad()
        total = model.loss(examples.inputs, *examples.answers(generator))
        total.backward()
        optimizer.step()
        schedule.step()
        course.append(total.item() / len(examples.targets))
        track.append(_array(model.input.weight).copy())
    print(f"\n2. All {len(examples.targets)} examples, again and again (the mean of their losses):\n")
    for step in (1, 2, 5, 10, 20, 50, 100, 200, PASSES):
        print(f"    pass {step:4d}   loss {course[step - 1]:.4f}")
    print("\n3. Four words that are each used like one other, and the nearest to each by the cosine of their angle:\n")
    units = track[-1] / np.linalg.norm(track[-1], axis=1, keepdims=True)
    cosines = units @ units.T - 2 * np.eye(len(units))
    rows = [examples.words.index(word) for word in SHOWN]
    for i in rows[:4]:
        print(f"    {examples.words[i]:<8} {examples.words[cosines[i].argmax()]:<8} {cosines[i].max():.3f}")
    seen = np.stack(track)[:, rows]
    plane = pca(seen.reshape(-1, DIM))[0].reshape(*seen.shape[:2], 2)  # one plane for all times
    panels = [Panel("before", plane[0], SHOWN), Panel(f"after {PASSES} passes", plane[-1], SHOWN, plane)]
    return before_and_after(panels, f"{_NAMES[kind]}, {_NAMES[loss]}", "first two principal components")


def _example(model: losses.Word2Vec, examples: Examples, generator: np.random.Generator) -> None:
    """The gradient of the first example, by the formulas and by the tape."""
    inputs, answers = examples.inputs[:1], [of[:1] for of in examples.answers(generator)]
    words, target = examples.words, examples.words[examples.targets[0]]
    model.zero_grad()
    loss = model.loss(inputs, *answers)
    loss.backward()
    h, u = _array(model(inputs))[0], _array(model.output.weight)
    gone_in = [words[i] for i in inputs.ravel() if i >= 0]
    if examples.loss == "softmax":
        chosen, labels = np.arange(len(words)), np.eye(len(words))[examples.targets[0]]
    elif examples.loss == "ns":
        chosen = np.array([answers[0][0], *(word for word in answers[1][0] if word != answers[0][0])])
        labels = np.eye(len(chosen))[0]
    else:
        chosen = answers[0][0][answers[0][0] >= 0]
        labels = 1.0 - answers[1][0][: len(chosen)]
    scores = u[chosen] @ h
    p = np.exp(scores) / np.exp(scores).sum() if examples.loss == "softmax" else 1 / (1 + np.exp(-scores))
    names = [f"node {i}" if examples.loss == "hs" else words[i] for i in chosen]
    print(f"    in: {', '.join(gone_in)}    out: {target}    loss {loss.item():.4f}")
    _errors(h, names, u[chosen], p, labels, _array(model.output.weight.grad)[chosen])
    pulled = (p - labels) @ u[chosen]
    row = examples.inputs.ravel()[0]
    print(f"\n    The gradient of h is the sum of error * u:  {_numbers(pulled)}")
    print(f"    The tape's for the vector of {words[row]!r}:  {_numbers(_array(model.input.weight.grad)[row])}")
    if len(gone_in) > 1:
        print("    h is the mean of the words that went in; as in word2vec.c, each of them gets the whole gradient.")


def _errors(h, names, u, p, labels, found) -> None:
    """The table of all outputs: scores, probabilities, errors, and the gradient of each vector u, which is error * h."""
    gradients = (p - labels)[:, None] * h
    width = 9 * len(h) + 1
    print(f"    h = {_numbers(h)}")
    print(f"    output    {'u':<{width}}   u . h   p       label  error    gradient of u = error * h")
    for name, vector, probability, label, gradient in zip(names, u, p, labels, gradients):
        score, error = vector @ h, probability - label
        judged = f"{score:7.4f}  {probability:.4f}  {label:3.0f}   {error:+.4f}"
        print(f"    {name:<8}  {_numbers(vector)}  {judged}  {_numbers(gradient)}")
    if len(set(names)) == len(names):  # a word that was drawn twice has the sum of its two gradients
        print(f"    The tape's gradients differ from these by {np.abs(found - gradients).max():.0e} at most.")


def _table(names: Sequence[str], rows: np.ndarray) -> None:
    print("              unit 1    unit 2")
    for name, row in zip(names, rows):
        print(f"    {name:<8}{row[0]:8.4f}  {row[1]:8.4f}")


def _array(tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:7.4f}" for value in values) + ")"


def _apart(points: np.ndarray, a: str, b: str) -> float:
    return float(np.linalg.norm(points[WORDS.index(a)] - points[WORDS.index(b)]))
