"""Formulas in symbols, as `Explanation.formula` writes them, set as MathML, which browsers draw by themselves."""

import html
import re

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:e[-+]?\d+)?)|(?P<name>[A-Za-z]\w*?'?)(?P<below>_(?:\([^)]*\)|\w))?(?![\w'])"
    r"|(?P<dots>\.\.\.)|(?P<sign>[-+*/^=<>(),|;]))"
)
#: Words between expressions.
_WORDS = frozenset({"if", "else", "before", "step", "a", "table"})
#: Names of several letters that are one symbol.
_SYMBOLS = {"dx": "<mi>Δ</mi><mi>x</mi>"}
_BIG = {"sum": "∑"}


def mathml(formula: str) -> list[str]:
    """Set a formula, one MathML element for each statement; a statement that cannot be read stays as text.

    >>> mathml("dx = -0.1 y")
    ['<math display="block"><mrow><mi>Δ</mi><mi>x</mi></mrow><mo>=</mo><mo>-</mo><mn>0.1</mn><mi>y</mi></math>']
    """
    found = []
    for statement in (one.strip() for line in formula.splitlines() for one in line.split(";")):
        try:
            inner = _Reader(statement).everything()
        except ValueError:
            inner = f"<mtext>{html.escape(statement)}</mtext>"
        found.append(f'<math display="block">{inner}</math>')
    return found


class _Reader:
    """Reads a statement from the left: lists of relations of sums of products of powers of atoms."""

    def __init__(self, text: str):
        self.tokens: list[tuple[str, str, str, bool]] = []  # kind, text, what stands below it, whether "(" follows
        self.place, self.bars = 0, 0
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"cannot be read from {text[at:]!r} on")
            at = match.end()
            kind = next(name for name in ("number", "name", "dots", "sign") if match[name])
            self.tokens.append((kind, match[kind], match["below"] or "", text[at : at + 1] == "("))

    @property
    def next(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        if self.next not in expected:
            raise ValueError(f"expected {' or '.join(expected)}, got {self.next!r}")
        self.place += 1
        return self.tokens[self.place - 1][1]

    def everything(self) -> str:
        found = self.listing()
        if self.next:
            raise ValueError(f"did not expect {self.next!r}")
        return found

    def listing(self) -> str:
        parts = [self.relation()]
        while self.next == "," or self.next in _WORDS:
            if self.next == ",":
                parts.append(f"<mo>{self.take(',')}</mo>")
            while self.next in _WORDS:
                parts.append(f"<mtext>&nbsp;{self.take(*_WORDS)}&nbsp;</mtext>")
            if self.next and self.next not in ",)":
                parts.append(self.relation())
        return "".join(parts)

    def relation(self) -> str:
        return self.chain(self.sum, "=", "<", ">")

    def sum(self) -> str:
        return self.chain(self.product, "+", "-")

    def chain(self, part, *signs: str) -> str:
        found = part()
        while self.next in signs and self.next:
            found += f"<mo>{html.escape(self.take(*signs))}</mo>" + part()
        return found

    def product(self) -> str:
        if self.next == "-":
            return f"<mo>{self.take('-')}</mo>" + self.product()
        factors = [self.power()]
        while True:
            if self.next == "/":
                self.take("/")
                below = self.power()
                factors[-1] = f"<mfrac>{_row(_bare(factors[-1]))}{_row(_bare(below))}</mfrac>"
            elif self.next and self.next not in _WORDS and (self.next not in "+-=<>),|;^*/" or self.opens_bars()):
                factors.append(self.power())
            else:
                return "".join(factors)

    def opens_bars(self) -> bool:
        return self.next == "|" and not self.bars

    def power(self) -> str:
        base = self.atom()
        if self.next != "^":
            return base
        self.take("^")
        if self.next == "0.5":
            self.take("0.5")
            return f"<msqrt>{_bare(base)}</msqrt>"
        return f"<msup>{_row(base)}{_row(_bare(self.atom()))}</msup>"

    def atom(self) -> str:
        if self.place >= len(self.tokens):
            raise ValueError("it ends too early")
        kind, text, below, calls = self.tokens[self.place]
        if text == "|":
            self.take("|")
            self.bars += 1
            inner = self.sum()
            self.bars -= 1
            self.take("|")
            return f"<mrow><mo>|</mo>{inner}<mo>|</mo></mrow>"
        if text == "(":
            return self.bracket()
        self.place += 1
        if kind == "number":
            return _number(text)
        if kind == "dots":
            return "<mo>…</mo>"
        if kind != "name":
            raise ValueError(f"did not expect {text!r}")
        symbol = _SYMBOLS.get(text) or _name(text)
        if below:
            under = _Reader(below.removeprefix("_").strip("()")).everything()
            if text in _BIG:
                return f"<munder><mo>{_BIG[text]}</mo>{_row(under)}</munder>"
            symbol = f"<msub>{_row(symbol)}{_row(under)}</msub>"
        if not (calls and self.next == "("):
            return _row(symbol)
        if text == "sqrt":
            return f"<msqrt>{_bare(self.bracket())}</msqrt>"
        return f"<mrow>{symbol}<mo>&#8289;</mo>{self.bracket()}</mrow>"

    def bracket(self) -> str:
        bars, self.bars = self.bars, 0
        self.take("(")
        inner = self.listing()
        self.take(")")
        self.bars = bars
        return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"


def _name(text: str) -> str:
    symbol = f"<mi>{text.rstrip(chr(39))}</mi>"
    return f"<msup>{symbol}<mo>′</mo></msup>" if text.endswith("'") else symbol


def _number(text: str) -> str:
    mantissa, _, power = text.partition("e")
    if not power:
        return f"<mn>{text}</mn>"
    ten = f"<msup><mn>10</mn><mn>{str(int(power)).replace('-', '−')}</mn></msup>"
    return ten if float(mantissa) == 1 else f"<mrow><mn>{mantissa}</mn><mo>·</mo>{ten}</mrow>"


def _row(inner: str) -> str:
    """Inner elements as one."""
    return inner if _is_one(inner) else f"<mrow>{inner}</mrow>"


def _is_one(inner: str) -> bool:
    """Whether a text is one element."""
    depth = 0
    for match in re.finditer(r"<(/?)\w+>", inner):
        depth += -1 if match[1] else 1
        if depth == 0:
            return match.end() == len(inner)
    return False


def _bare(inner: str) -> str:
    """Without the brackets around it, where a fraction or a root does their work."""
    match = re.fullmatch(r"<mrow><mo>\(</mo>(.*)<mo>\)</mo></mrow>", inner)
    return match[1] if match and _is_one(inner) else inner
