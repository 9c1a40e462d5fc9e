"""What spreadsheets and data tools make of IDs and numbers: text forms are undone, damaged values are named."""

from __future__ import annotations

import re

FORMULA_STARTS = ("=", "+", "-", "@")
TEXT_MARK = "'"
"""Before a cell, it makes a spreadsheet take it as text."""

_NO_VALUE = ("-", "--", "?", "n/a", "na", "nan", "nat", "null", "\\n", "nil", "none", "undefined", "unknown", "blank")
_VALUES = ("true", "false", "inf", "infinity")
_LABELS = ("total", "totals", "subtotal", "sum", "count", "average", "summe", "gesamt", "user_id", "userid", "user id")
_PLACEHOLDERS = frozenset((*_NO_VALUE, *_VALUES, *_LABELS))

_text_formula = re.compile(r'="([^"]*)"').fullmatch
_spreadsheet_error = re.compile(r"#.*|ERR:[0-9]+|LOADING\.\.\.", re.DOTALL).fullmatch
_altered_number = re.compile(r"[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+|[0-9]+\.[0-9]*").fullmatch
_grouped_number = re.compile(r"[0-9]{1,3}(?:[,.'\u2019_][0-9]{3})+(?:[.,][0-9]+)?").fullmatch
_scientific = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+").fullmatch
_decimal_comma = re.compile(r"[0-9]*,[0-9]+").fullmatch
_signed_number = re.compile(r"[+-][0-9]+(?:[.,][0-9]+)*").fullmatch
_separators = re.compile(r'[,;|"]').search


def unwrap_text(cell: str) -> str:
    """Return the text of a cell in a spreadsheet's text forms: `="123"` and `'123` are both 123."""
    formula = _text_formula(cell)
    return formula[1] if formula else cell.removeprefix(TEXT_MARK)


def as_text(cell: str) -> str:
    """Return the cell such that no spreadsheet runs it as a formula; `unwrap_text` undoes it."""
    return f"{TEXT_MARK}{cell}" if cell.startswith((*FORMULA_STARTS, TEXT_MARK)) else cell


def placeholder_rule(text: str) -> str | None:
    """Return the rule that nan, #N/A, Total and other texts break that stand for no value; else None."""
    if _spreadsheet_error(text.upper()):
        return "must be an ID; this is an error value of a spreadsheet"
    word = text.casefold().removesuffix(":").strip("<>()[]")
    return "must be an ID; this stands for no value, or is a label" if word in _PLACEHOLDERS else None


def id_rule(text: str) -> str | None:
    """Return the rule that a user's or a trader's ID breaks if it was damaged on its way; else None."""
    placeholder = placeholder_rule(text)
    if placeholder is not None:
        return placeholder
    if _signed_number(text):
        return "must be an ID; this is a number with a sign"
    if _grouped_number(text):
        return "must be an ID without thousands separators; format the column as text and save again"
    if _altered_number(text):
        return "must be the whole ID as text; a spreadsheet has turned it into a rounded number"
    found = _separators(text)
    return f"must be one ID; this contains {found[0]!r}: check delimiters and quotes" if found else None


def number_rule(text: str) -> str | None:
    """Return the rule that a number breaks by its form, such as a decimal comma; else None."""
    if _scientific(text):
        return "must have no exponent, as in 1E+5, which a spreadsheet writes unless the column is text"
    if _decimal_comma(text) and not _grouped_number(text):
        return "must have a decimal point, not a comma, as in 0.5"
    if _grouped_number(text) and not text.replace(".", "", 1).isdigit():
        return "must have no thousands separators"
    if text.endswith("%") and text[:-1].strip():
        return "must have no percent sign"
    return None
