"""The formulas of operations, which are LaTeX, as a line of text: Graphviz sets no LaTeX, but subscripts and superscripts."""

from __future__ import annotations

import re
from html import escape

_SYMBOLS = {
    "odot": " ⊙ ", "sigma": "σ", "varphi": "φ", "Phi": "Φ", "alpha": "α", "beta": "β", "epsilon": "ε", "sum": "Σ", "prod": "Π",
    "lfloor": "⌊", "rfloor": "⌋", "le": " ≤ ", "leftarrow": " ← ", "sim": " ∼ ", "dots": "…", "max": "max", "min": "min",
    "sin": "sin ", "cos": "cos ", "tan": "tan ", "tanh": "tanh ", "ln": "ln ", "log": "log", ";": " ", ",": " ", " ": " ",
    "left": "", "right": "",
}  # fmt: skip
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_]|\s+|.", re.DOTALL)
_SUB = str.maketrans("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_SUP = str.maketrans("0123456789+-=()iabcdefghjklmnoprstuvwxyzT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱᵃᵇᶜᵈᵉᶠᵍʰʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ")


def plain(formula: str) -> str:
    """The formula in Unicode, such as ``Σᵢ xᵢ``."""
    return _tidy(_Reader(formula, markup=False).group())


def markup(formula: str) -> str:
    """The formula for a Graphviz HTML-like label, with SUB and SUP; escaped."""
    return _tidy(_Reader(formula, markup=True).group())


def _tidy(text: str) -> str:
    return re.sub(r" +", " ", text).strip().replace("( ", "(").replace(" )", ")")


class _Reader:
    def __init__(self, formula: str, markup: bool):
        self.tokens = _TOKEN.findall(formula)
        self.at = 0
        self.markup = markup

    def group(self) -> str:
        """What follows, up to a closing brace or the end."""
        parts: list[str] = []
        while self.at < len(self.tokens) and self.tokens[self.at] != "}":
            token = self.tokens[self.at]
            if token in "_^":
                self.at += 1
                raised = token == "^"
                parts = [f"{''.join(parts).rstrip() if parts else ''}{self._shifted(self.argument(), raised)}"]
                if self._before_letter():
                    parts.append(" ")
            else:
                parts.append(self.atom())
        return "".join(parts)

    def _before_letter(self) -> bool:
        return self.at < len(self.tokens) and (self.tokens[self.at].isalpha() or self.tokens[self.at].startswith("\\"))

    def argument(self) -> str:
        """What a command or a shift applies to: a group in braces, or one atom."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        if self.at < len(self.tokens) and self.tokens[self.at] == "{":
            self.at += 1
            inside = self.group()
            self.at += 1
            return inside.strip()
        return self.atom().strip()

    def atom(self) -> str:
        """One token, with what belongs to it."""
        if self.at >= len(self.tokens):
            return ""
        token = self.tokens[self.at]
        self.at += 1
        if token == "{":
            self.at -= 1
            return self.argument()
        if not token.startswith("\\"):
            return self._text(" " if token.isspace() else token)
        name = token[1:]
        if name == "frac":
            above, below = _bracketed(self.argument()), _bracketed(self.argument())
            return f"{above}/{below} " if len(above + below) == 2 else f"{above} / {below}"
        if name == "sqrt":
            return f"√{_bracketed(self.argument())}"
        if name == "bar":
            return f"{self.argument()}\u0304"
        if name == "overline":
            return f"⟨{self.argument()}⟩"
        if name in ("mathrm", "mathsf", "mathrel"):
            return self.argument() + (" " if name == "mathrm" and self._before_letter() else "")
        return self._text(_SYMBOLS.get(name, f"{name} "))

    def _text(self, text: str) -> str:
        return escape(text) if self.markup else text

    def _shifted(self, text: str, raised: bool) -> str:
        if self.markup:
            tag = "SUP" if raised else "SUB"
            return f"<{tag}>{text}</{tag}>"
        small = text.translate(_SUP if raised else _SUB)
        if all(before != after for before, after in zip(text, small)):
            return small
        return f"{'^' if raised else '_'}{text if len(text) == 1 else f'({text})'}"


def _bracketed(text: str) -> str:
    bare = re.sub(r"<(SUB|SUP)>.*?</\1>", "", text)
    whole = bare.startswith("(") and bare.endswith(")") and "(" not in bare[1:]
    return text if whole or re.fullmatch(r"√?[\w\u0304]+(\(\w+\))?|⟨.*⟩", bare) else f"({text})"


def lines(text: str, longest: int) -> list[str]:
    """A formula in several lines, cut at the commas that are not in brackets, where it is longer than that."""
    if len(text) <= longest:
        return [text]
    parts, start, depth = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and not depth:
            parts.append(text[start : i + 1])
            start = i + 1
    return [part.strip() for part in [*parts, text[start:]]]
