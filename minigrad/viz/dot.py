"""A view as text in the DOT language, which Graphviz lays out.

Whatever comes from a program (names, lines of code, shapes) goes through :func:`words` into labels, which are HTML-like, and
through :func:`quoted` into everything between quotes: see :mod:`minigrad.viz.wording`.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

from .fold import Call, Repeat
from .latex import lines, markup, plain
from .style import Theme, ramp
from .view import Arrow, Box, View
from .wording import between, dims, number, quoted, words

_DECADES = 2.0  # powers of ten of gain on either side of 1 at which the colours end
_FONT = "Helvetica,Arial,DejaVu Sans,sans-serif"


class Paint:
    """The colours of a theme, put to use."""

    def __init__(self, theme: Theme):
        self.theme = theme
        dark = theme.name == "dark"
        self.operation = "#262a32" if dark else "#f3f4f6"
        self.module = "#26313c" if dark else "#e6ecf1"
        self.parameter = "#332f18" if dark else "#fbf4de"
        self.input = "#183029" if dark else "#e4f4ee"
        self.cluster = ("#1a1d23", "#1f232a") if dark else ("#fafbfc", "#f4f6f8")
        # Blue and orange are left for the arrows, where they mean something.
        self.lines = {
            "module": "#8fa3b5" if dark else "#5b7083",
            "parameter": "#c8b25a" if dark else "#a87b00",
            "input": theme.series[2],
        }
        self.alarm = "#ff6b6b" if dark else "#c00000"
        middle = "#8b9099" if dark else "#9a9da3"
        ends = (theme.split[-2], theme.split[1]) if not dark else (theme.series[0], theme.series[5])
        self.scale = ramp((ends[0], middle, ends[1]), 33)

    def gain(self, value: float) -> str:
        """The colour of a gain: blue where the gradient shrinks, grey at 1, orange where it grows."""
        exponent = -_DECADES if value <= 0 else max(-_DECADES, min(_DECADES, math.log10(value)))
        red, green, blue = self.scale[round((exponent / _DECADES + 1) / 2 * 32)]
        return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


class Writer:
    """Writes one view.

    Args:
        title, notes: text in the picture, above everything else.
        show: "forward", arrows along the data, with shapes; or "backward", arrows along the gradients, with their norms.
        values, grads, formulas: what boxes say besides their names.
    """

    def __init__(
        self, view: View, theme: Theme, *, title: str, notes: list[str], show: str, values: bool, grads: bool, formulas: bool
    ):
        self.view, self.nodes, self.paint, self.theme = view, view.record.nodes, Paint(theme), theme
        self.title, self.notes, self.backward = title, notes, show == "backward"
        self.values, self.grads, self.formulas = values, grads and view.gradients, formulas
        self.lines: list[str] = []
        self.edge_labels = len(view.boxes) <= 160
        reached = {box.key for a in view.arrows.values() if a.gradient for box in (a.source, a.target)}
        reached |= {box.key for box in view.boxes.values() if not view.roots.isdisjoint(box.members)}
        self.boxes = [box for box in view.boxes.values() if not self.backward or box.key in reached]

    def text(self) -> str:
        """The whole file."""
        t = self.theme
        self.lines = [
            "digraph minigrad {",
            f'  graph [bgcolor="{t.background}" fontname="{_FONT}" fontcolor="{t.ink}" fontsize=11 rankdir=TB pad=0.25'
            f" nodesep=0.22 ranksep=0.32 labelloc=t labeljust=l label={self._heading()}]",
            f'  node [fontname="{_FONT}" fontcolor="{t.ink}" fontsize=11 shape=box style="rounded,filled" margin="0.11,0.06"'
            f' penwidth=1 height=0.3 width=0.3 color="{t.faint}"]',
            f'  edge [fontname="{_FONT}" fontcolor="{t.faint}" fontsize=9 color="{t.faint}" arrowsize=0.6 penwidth=1.2]',
        ]
        if len(self.view.boxes) > 1000:
            self.lines.append("  graph [nslimit=2 nslimit1=2 mclimit=0.3 splines=line]")
        self._boxes()
        for arrow in self.view.arrows.values():
            self._arrow(arrow)
        self.lines.append("}")
        return "\n".join(self.lines) + "\n"

    # -- the heading ----------------------------------------------------------------------------------------------------

    def _heading(self) -> str:
        t, p = self.theme, self.paint
        rows = [f'<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="15"><B>{words(self.title, 90)}</B></FONT></TD></TR>']
        rows += [f'<TR><TD ALIGN="LEFT"><FONT COLOR="{t.faint}">{words(note, 140)}</FONT></TD></TR>' for note in self.notes]
        kinds = {box.kind for box in self.boxes}
        marks = []
        shown = [
            ("operation", t.faint),
            ("module", p.lines["module"]),
            ("parameter", p.lines["parameter"]),
            ("input", p.lines["input"]),
        ]
        for kind, color in shown:
            if kind in kinds:
                name = "module (closed)" if kind == "module" else kind
                marks.append(f'<FONT COLOR="{color}">■</FONT> {name}')
        dashed = any(not arrow.gradient for arrow in self.view.arrows.values()) and not self.backward
        marks += ["┄ no gradient"] if dashed and self.grads else []
        if self.backward or self.edge_labels:
            marks.append("on arrows: " + ("norm of the gradient sent back" if self.backward else "shape of the value"))
        rows.append(f'<TR><TD ALIGN="LEFT"><FONT POINT-SIZE="9">{"     ".join(marks)}</FONT></TD></TR>')
        if self.grads and any(arrow.gain is not None for arrow in self.view.arrows.values()):
            steps = [10 ** (_DECADES * (i / 8 - 1)) for i in range(17)]
            bar = "".join(f'<TD BGCOLOR="{p.gain(v)}" WIDTH="9" HEIGHT="9"></TD>' for v in steps)
            rows.append(
                '<TR><TD ALIGN="LEFT"><TABLE BORDER="0" CELLSPACING="0" CELLPADDING="0"><TR>'
                '<TD><FONT POINT-SIZE="9">arrows: gain = |gradient sent back| / |gradient received|   ≤ 0.01 </FONT></TD>'
                f'{bar}<TD><FONT POINT-SIZE="9"> ≥ 100</FONT></TD></TR></TABLE></TD></TR>'
            )
        return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="1">{"".join(rows)}</TABLE>>'

    # -- boxes and the frames around them ---------------------------------------------------------------------------------

    def _boxes(self) -> None:
        """Every box inside the frames of its opened calls; frames open in the order of their first box."""
        inside: dict[Any, list] = {None: []}
        frames: dict[Any, Any] = {}

        def frame(call: Call | None, repeat: Repeat | None):
            """The list of what is in a frame, which is put into the frame around it."""
            key = (id(call) if call is not None else None, id(repeat) if repeat is not None else None)
            if key == (None, None):
                return inside[None]
            if key not in frames:
                frames[key] = []
                if repeat is not None:
                    around = frame(call, None)
                else:
                    assert call is not None
                    parent = call.parent if call.parent is not None and call.parent.parent is not None else None
                    around = frame(parent, self._turns_of(call))
                around.append((call if repeat is None else None, repeat, frames[key]))
            return frames[key]

        for box in self.boxes:
            unit: Any = box.call if box.call is not None else box.members[0] if box.kind == "operation" else None
            if unit is None and (box.kind in ("parameter", "constant") or box.home is not None):
                target = next(a.target for a in self.view.arrows.values() if a.source is box)
                unit = target.call if target.call is not None else target.members[0]
            frame(box.home, self._turns_of(unit)).append(box)
        stack: list[Any] = [(item, 1) for item in reversed(inside[None])]
        while stack:
            item, depth = stack.pop()
            pad = "  " * depth
            if isinstance(item, Box):
                self.lines.append(pad + self._box(item))
            elif isinstance(item, str):
                self.lines.append(item)
            else:
                call, repeat, items = item
                self.lines.append(pad + self._opening(call, repeat, depth))
                stack.append((pad + "}", depth))
                stack.extend((inner, depth + 1) for inner in reversed(items))

    def _turns_of(self, unit) -> Repeat | None:
        """The repeat of several things at once that a call or an operation is part of."""
        if unit is None:
            return None
        repeat = self.view.tree.repeat_of.get(id(unit) if isinstance(unit, Call) else unit)
        return repeat if repeat is not None and len(repeat.shown) > 1 and len(repeat.seen) > 1 else None

    def _opening(self, call: Call | None, repeat: Repeat | None, depth: int) -> str:
        t, p = self.theme, self.paint
        if call is None:
            assert repeat is not None
            first = repeat.shown[0]
            key = f"r{first.index if isinstance(first, Call) else first}_{isinstance(first, Call):d}"
            label = f'<FONT COLOR="{t.faint}"><B>× {len(repeat.seen)}</B>  turns, one shown</FONT>'
            tip = quoted(f"{len(repeat.seen)} turns of the same operations, drawn as one")
            look = f'style="rounded,dashed" color="{t.faint}" bgcolor="transparent"'
            return f"subgraph cluster_{key} {{ graph [label=<{label}> {look} tooltip={tip}]"
        name = call.module or call.type
        entry = self.view.record.modules[call.module]
        shown = f"<B>{words(_last(name))}</B>{self._turns_text(call)}"
        label = shown if call.type == name else f'{shown}  <FONT COLOR="{t.faint}">{words(call.type)}</FONT>'
        tip = f"{name}: {call.type}({entry['options']})\n{entry['parameters']:,} parameters, {entry['calls']} calls"
        return (
            f'subgraph cluster_m{call.index} {{ graph [label=<{label}> style="rounded,filled" color="{p.lines["module"]}90"'
            f' fillcolor="{p.cluster[depth % 2]}" tooltip={quoted(tip)}]'
        )

    def _turns_text(self, unit) -> str:
        """How often what is drawn runs in a row, if the repeat is of it alone: " … layers.3  × 4"."""
        repeat = self.view.tree.repeat_of.get(id(unit) if isinstance(unit, Call) else unit)
        if repeat is None or len(repeat.shown) > 1 or len(repeat.seen) < 2:
            return ""
        last = ""
        if isinstance(unit, Call):
            names = list(dict.fromkeys(call.module for i, call in enumerate(repeat.calls[0]) if i in repeat.seen))
            last = f" … <B>{words(_last(names[-1]))}</B>" if len(names) > 1 else ""
        return f"{last} <B>× {len(repeat.seen)}</B>"

    def _box(self, box: Box) -> str:
        t, p = self.theme, self.paint
        rows, style, attributes = self._rows(box)
        label = "<BR/>".join(rows)
        extra = " penwidth=2" if set(box.members) & self.view.roots else ""
        fills = {"operation": p.operation, "module": p.module, "parameter": p.parameter, "input": p.input}
        fill = fills.get(box.kind, t.background)
        line = p.alarm if box.bad else p.lines.get(box.kind, t.faint)
        return (
            f'{box.key} [label=<{label}> fillcolor="{fill}" color="{line}"{style}{attributes}{extra}'
            f" tooltip={quoted(self._tooltip(box))}]"
        )

    def _rows(self, box: Box) -> tuple[list[str], str, str]:
        """The lines of a label, and what its box looks like besides."""
        node = self.nodes[box.members[0]]
        times = self._turns_text(box.call if box.call is not None else self.view.tree.shown.get(box.members[0]))
        small = '<FONT POINT-SIZE="9">{}</FONT>'
        if box.kind == "more":
            return [f"… {len(box.members):,} earlier nodes"], ' style="rounded,dashed"', ""
        if box.kind == "constant":
            text = f"{words(node['name'] or 'constant')} {dims(tuple(node['shape']))}"
            return (
                [f'<FONT POINT-SIZE="9" COLOR="{self.theme.faint}">{text}</FONT>'],
                "",
                " shape=plaintext margin=0 height=0.2",
            )
        if box.kind in ("parameter", "input"):
            name = node["name"] or ("parameter" if box.kind == "parameter" else "tensor")
            shown = words(_own_name(name, box.home) if box.kind == "parameter" else name, 28)
            size = dims(tuple(node["shape"]))
            rows = [small.format(f"<B>{shown}</B> {size}")]
            uses = self._uses(box)
            if uses:
                rows.append(small.format(f'<FONT COLOR="{self.theme.faint}">{uses}</FONT>'))
            rows += self._numbers(box)
            return rows, "", ' margin="0.07,0.03" height=0.2' + (" shape=ellipse" if box.kind == "input" else "")
        if box.kind == "module":
            assert box.call is not None
            name = box.call.module or box.call.type
            rows = [f"<B>{words(_last(name))}</B>{times}"]
            if box.call.type != name:
                rows.append(small.format(words(box.call.type)))
            count = f"{len(box.each):,} operation" + "s" * (len(box.each) > 1)
            if box.parameters:
                count += f", {box.parameters:,} parameters"
            count += " each" * (box.count > 1)
            rows.append(small.format(f'<FONT COLOR="{self.theme.faint}">{count}</FONT>'))
            return rows + self._numbers(box), "", " peripheries=2"
        names = f"<B>{words(node['op'])}</B>{times}"
        if box.call is not None:
            around = _last(box.call.module or box.call.type)
            names = f"<B>{words(around)}</B>{times}"
            if around.lower() != node["op"].replace("_", ""):
                names += f"  {small.format(words(node['op']))}"
        rows = [names]
        if self.formulas:
            formula = self.view.record.operations[node["op"]].get("formula") or ""
            line = plain(formula)
            hard = "_(" in line or "^(" in line  # there is no small form of every letter
            parts = [markup(formula)] if hard else [escape(part) for part in lines(line, 28)]
            rows += [f"<I>{part}</I>" for part in parts if part]
        if not self.edge_labels:
            rows.append(small.format(dims(box.shapes[0])))
        return rows + self._numbers(box), "", ""

    def _uses(self, box: Box) -> str:
        """That a parameter is shared: how many of its uses are here."""
        member = box.members[0]
        if box.kind != "parameter" or self.view.uses[member] < 2:
            return ""
        here = sum(use["source"] == member for a in self.view.arrows.values() if a.source is box for use in a.uses)
        return f"used {here}×" if here == self.view.uses[member] else f"{here} of {self.view.uses[member]} uses"

    def _numbers(self, box: Box) -> list[str]:
        rows = []
        if self.values:
            values = [self.nodes[m]["value"] for m in box.members[-1:] if self.nodes[m]["value"]]
            for value in values:
                if value["mean"] is not None:
                    text = f"{number(value['mean'])} ± {number(value['std'])}" if value["count"] > 1 else number(value["mean"])
                    rows.append(f'<FONT POINT-SIZE="9">{text}</FONT>')
        if self.grads and box.norms:
            rows.append(f'<FONT POINT-SIZE="9">|∇| {between(box.norms)}</FONT>')
        if self.grads and box.bad:
            rows.append(f'<FONT POINT-SIZE="9" COLOR="{self.paint.alarm}"><B>{box.bad:,} NaN or infinite in ∇</B></FONT>')
        return rows

    # -- arrows ---------------------------------------------------------------------------------------------------------

    def _arrow(self, arrow: Arrow) -> None:
        t, p = self.theme, self.paint
        if self.backward and not arrow.gradient:
            return
        attributes = []
        gain = arrow.gain if self.grads else None
        if arrow.bad and self.grads:
            attributes.append(f'color="{p.alarm}" penwidth=2')
        elif gain is not None:
            attributes.append(
                f'color="{p.gain(gain)}" penwidth={1.2 + 0.6 * min(_DECADES, abs(math.log10(max(gain, 1e-9)))):.2f}'
            )
        if not arrow.gradient:
            attributes.append(f'style=dashed color="{t.faint}80"')
        label = ""
        if arrow.carried:
            label = "next turn"
            attributes.append("style=bold constraint=false")
        elif self.backward and arrow.norms:
            label = between(arrow.norms)
        elif self.edge_labels and arrow.source.kind in ("operation", "module") and arrow.source.shapes:
            shapes = list(dict.fromkeys(tuple(self.nodes[use["source"]]["shape"]) for use in arrow.uses))
            label = dims(shapes[0]) + (" …" if len(shapes) > 1 else "")
        if label:
            attributes.append(f"label=<&#160;{words(label)}>")
        if self.backward:
            attributes.append("dir=back")
        attributes.append(f"tooltip={quoted(self._arrow_tip(arrow))}")
        attributes.append(f"labeltooltip={quoted(self._arrow_tip(arrow))}")
        source, target = arrow.source.key, arrow.target.key
        if source == target:
            attributes = [a.replace(" constraint=false", "") for a in attributes]
        self.lines.append(f"  {source} -> {target} [{' '.join(attributes)}]")

    def _arrow_tip(self, arrow: Arrow) -> str:
        arguments = ", ".join(dict.fromkeys(use["argument"] for use in arrow.uses))
        lines = [f"argument {arguments}" + (f", {len(arrow.uses):,} uses" if len(arrow.uses) > 1 else "")]
        if not arrow.gradient:
            lines.append("no gradient flows here")
        if arrow.norms:
            lines.append(f"sent back: norm {between(arrow.norms)}")
        if arrow.gains:
            lines.append(f"gain {between(arrow.gains)}")
        cosines = [use["contribution"]["cosine"] for use in arrow.uses if use["contribution"]]
        known = [c for c in cosines if c is not None]
        if known:
            lines.append(f"cosine to the whole gradient {between(known)}")
        if arrow.bad:
            lines.append(f"{arrow.bad:,} elements NaN or infinite")
        return "\n".join(lines)

    def _tooltip(self, box: Box) -> str:
        node = self.nodes[box.members[0]]
        lines = []
        if box.kind == "more":
            return "They came before what is drawn. Raise max_nodes to see more."
        if box.kind == "module":
            assert box.call is not None
            entry = self.view.record.modules[box.call.module]
            lines.append(f"{box.call.module or box.call.type}: {box.call.type}({entry['options']})")
        elif node["name"]:
            lines.append(str(node["name"]))
            if node.get("aliases"):
                lines.append("tied to " + ", ".join(node["aliases"]))
            if len(box.members) > 1:
                lines.append("and " + ", ".join(str(self.nodes[m]["name"]) for m in box.members[1:20]))
        else:
            where = f" in {node['module']}" if node["module"] else ""
            lines.append(f"{node['op'] or node['kind']}{where}")
        if box.kind == "operation":
            known = self.view.record.operations[node["op"]]
            formula = known.get("formula")
            lines.append(plain(formula) if formula else "")
            lines += [f"∇{name}: {rule['formula']}" for name, rule in known.get("rules", {}).items()]
            if known.get("fused"):
                lines.append("one kernel: its inside is not on the tape")
            lines += [f"{name} = {text}" for name, text in node.get("attributes", {}).items()]
        lines.append(f"{', '.join(dims(shape) for shape in box.shapes[:4])} {node['dtype']}")
        value, grad = node["value"], node["grad"]
        for name, numbers in (("value", value), ("gradient", grad)):
            if numbers and box.kind != "module" and numbers["mean"] is not None:
                lines.append(
                    f"{name}: mean {number(numbers['mean'])}, std {number(numbers['std'])}, from {number(numbers['min'])} to "
                    f"{number(numbers['max'])}, norm {number(numbers['norm'])}, {numbers['zero']:,} zeros"
                )
        if node["line"] and box.kind != "module":
            line = node["line"]
            lines.append(f"{line['file']}:{line['number']} {line['code'] or ''}")
        return "\n".join(filter(None, lines))


def _last(path: str) -> str:
    """The last part of a module's path, with the one before where it is a number: layers.0."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() and len(parts) > 1 else parts[-1]


def _own_name(name: str, home: Call | None) -> str:
    """A parameter's name as seen from the frame that it is drawn in."""
    prefix = f"{home.module}." if home is not None and home.module else ""
    return name[len(prefix) :] if prefix and name.startswith(prefix) else name
