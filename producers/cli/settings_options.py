"""Settings as flags and from a JSON file: what `enqueue` and `fan-out` have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeVar

import click

from producers.cli.input import json_text
from producers.cli.input.row_errors import BadInput
from producers.cli.input.template import Template
from producers.contract.messages import AUTO_COPY, LEVER_TYPES, MARGIN_TYPES, MODES, PRODUCT_TYPES, TRACE_TYPES

Command = TypeVar("Command", bound=Callable[..., Any])

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "product_type": PRODUCT_TYPES,
    "margin_type": MARGIN_TYPES,
    "lever_type": LEVER_TYPES,
    "trace_type": TRACE_TYPES,
    "auto_copy": AUTO_COPY,
    "mode": MODES,
}
_HELP: dict[str, str] = {
    "trader_id": "The elite trader whose copying is changed.",
    "auto_copy": "Effective in mode basic only.",
    "mode": "The exchange's default is advanced.",
    "symbol": "Trading pair, such as BTCUSDT.",
    "product_type": "Which futures the symbol is of.",
    "margin_type": "As the trader, or as specified.",
    "margin_coin": "Margin currency, such as USDT.",
    "lever_type": "With specify, give a long or a short leverage.",
    "long_leverage": "Whole number.",
    "short_leverage": "Whole number.",
    "trace_type": "What the trace value means: a ratio, an amount or a count.",
    "trace_value": "Decimal number.",
    "max_hold_size": "Decimal number.",
    "stop_surplus_ratio": "Take-profit ratio, whole number from 1 to 400.",
    "stop_loss_ratio": "Stop-loss ratio, whole number from 1 to 400.",
}
_FLAGS = {"trader_id": "--trader"}


def settings_options(command: Command) -> Command:
    """Adds `--settings` and a flag for each field; the command gets them as keywords for `given_template`."""
    for field in reversed(_HELP):
        option = click.option(
            _FLAGS.get(field, f"--{field.replace('_', '-')}"),
            field,
            type=click.Choice(_CHOICES[field]) if field in _CHOICES else click.STRING,
            metavar=None if field in _CHOICES else ("ID" if field == "trader_id" else "VALUE"),
            help=_HELP[field],
        )
        command = option(command)
    return click.option(
        "--settings",
        "settings_file",
        type=click.File("rb"),
        help="JSON: a list of settings, one setting, or a change without its user; - is standard input."
        " Flags replace what it says.",
    )(command)


def given_template(settings_file: BinaryIO | None, flags: Mapping[str, str | None]) -> Template:
    """What the file and the flags say of a change.

    Raises:
        BadInput: the file is no settings, or a flag could mean several of them.
    """
    template = Template({}, ()) if settings_file is None else Template.of(read_json(settings_file))
    return template.with_fields({name: value for name, value in flags.items() if value is not None})


def read_json(file: BinaryIO) -> Any:
    """The JSON value of a whole file.

    Raises:
        BadInput: it holds none.
    """
    name = getattr(file, "name", "the file")
    try:
        return json_text.decode(file.read().decode("utf-8-sig"))
    except ValueError as exc:
        raise BadInput(f"{name} is not a JSON file in UTF-8: {exc}; correct it, or give flags instead") from exc
