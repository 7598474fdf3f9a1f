"""Formulas as CIF files write them, plain (`Sr1 Ti1 O3`) or with groups, charges and hydrates (`Na1 +, 2(H2 O)`)."""

from __future__ import annotations

import re

from dao_core.readers.species import element_number

LARGEST = 1e6  # of one element
_NUMBER = r"\d+\.?\d*|\.\d+"
_PART = re.compile(rf"([A-Z][a-z]?)({_NUMBER})?")
_WHOLE = re.compile(rf"(?:[A-Z][a-z]?(?:{_NUMBER})?\s*)+")
_BY_GROUPS = {"Ac", "Pr"}  # acetyl and propyl, wherever the structure holds no actinium or praseodymium
_OPEN, _CLOSE = "([{", ")]}"
_TOKEN = re.compile(
    rf"""\s*(?:(?P<symbol>[A-Z][a-z]?)(?P<times>{_NUMBER})?
    |(?P<open>[(\[{{])
    |(?P<close>[)\]}}])(?P<group>{_NUMBER}|n)?
    |(?P<charge>(?:(?<=\s)\d*|(?<=[A-Za-z1)\]}}]))[+-]\d*(?=[\s)\]}}]|$)))""",
    re.X,
)
_LEADING = re.compile(rf"\s*({_NUMBER})?\s*n?\s*(?=[A-Z(\[{{])")


def formula_counts(text: str) -> dict[str, float] | None:
    """Element -> number in a formula such as `Sr1 Ti1 O3`, D counted as H; None where it isn't one."""
    if _WHOLE.fullmatch(text) is None:
        return None
    counts: dict[str, float] = {}
    for symbol, number in _PART.findall(text):
        if not _add(counts, symbol, float(number or 1)):
            return None
    return {s: n for s, n in counts.items() if n > 0}


def grouped_counts(text: str) -> dict[str, float] | None:
    """Element -> number in a formula with groups, charges and several parts, D counted as H.

    Args:
        text: Such as `Ca (C O3)`, `2(H2 O), C6 H12 O6` or `Na1 +, Cl1 -`.

    Returns:
        The sum over all parts; None where any of it could mean something else (`Ca2+`, `CaSO4.2H2O`, `OMe`).
    """
    total: dict[str, float] = {}
    for part in re.split(r"[,;·*]", text):
        leading = _LEADING.match(part)
        counts = None if leading is None else _group(part[leading.end() :])
        if leading is None or counts is None:
            return None
        for symbol, number in counts.items():
            total[symbol] = total.get(symbol, 0.0) + float(leading[1] or 1) * number
    return total if total and max(total.values()) <= LARGEST else None


def without_group_names(counts: dict[str, float], present: set[str]) -> bool:
    """Whether no symbol of a formula is rather the short name of an organic group (Ac, Pr) that is not `present`."""
    return not (counts.keys() & _BY_GROUPS) - present


def _group(text: str) -> dict[str, float] | None:
    stack: list[tuple[str, dict[str, float]]] = [("", {})]
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        number = match["times"] or match["group"]
        follows = text[match.end() : match.end() + 1]
        if number and number not in ("1", "n") and (follows in ("+", "-") and follows):
            return None  # Ca2+: a number or a charge
        if number and "." in number and follows.isalpha():
            return None  # O4.2H2O: a decimal or the dot of a hydrate
        if match["symbol"] and not _add(stack[-1][1], match["symbol"], float(match["times"] or 1)):
            return None
        if match["open"]:
            stack.append((_CLOSE[_OPEN.index(match["open"])], {}))
        elif match["close"]:
            close, inner = stack.pop()
            if close != match["close"] or not stack:
                return None
            times = 1.0 if match["group"] in (None, "n") else float(match["group"])
            for symbol, n in inner.items():
                stack[-1][1][symbol] = stack[-1][1].get(symbol, 0.0) + times * n
        at = match.end()
    return stack[0][1] if len(stack) == 1 and stack[0][1] else None


def _add(counts: dict[str, float], symbol: str, number: float) -> bool:
    """Add to the counts; False where the symbol is no element or the number none of a formula."""
    if element_number(symbol) is None or number > LARGEST:
        return False
    name = "H" if symbol == "D" else symbol
    counts[name] = counts.get(name, 0.0) + number
    return True
