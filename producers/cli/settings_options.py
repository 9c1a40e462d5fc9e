"""Settings from flags and from a JSON file, for `enqueue` and `fan-out`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import click

from producers.cli.input import json_text
from producers.cli.input.file_kinds import AS_JSON, START_BYTES, bom_length
from producers.cli.input.row_errors import BadInput
from producers.cli.input.template import Template
from producers.cli.shared_options import Command
from producers.contract.messages import AUTO_COPY, LEVER_TYPES, MARGIN_TYPES, MODES, PRODUCT_TYPES, TRACE_TYPES

MAX_JSON_BYTES = 1_048_576
"""A change with ten settings takes 3,000 bytes. The limit keeps a wrong file, or /dev/zero, from filling the memory."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "product_type": PRODUCT_TYPES,
    "margin_type": MARGIN_TYPES,
    "lever_type": LEVER_TYPES,
    "trace_type": TRACE_TYPES,
    "auto_copy": AUTO_COPY,
    "mode": MODES,
}
_HELP: dict[str, str] = {
    "trader_id": "The elite trader whose copying is set.",
    "auto_copy": "Turns copying on or off; has an effect in mode basic only.",
    "mode": "The mode of copying; the exchange's default is advanced.",
    "symbol": "The trading pair, such as BTCUSDT.",
    "product_type": "The kind of futures that the symbol is.",
    "margin_type": "The margin type: the trader's, or a specified one.",
    "margin_coin": "The margin currency, such as USDT.",
    "lever_type": "Which leverage is used; specify needs a long or a short leverage.",
    "long_leverage": "The leverage of long positions, a whole number.",
    "short_leverage": "The leverage of short positions, a whole number.",
    "trace_type": "What the trace value means: a ratio to the trader's amount, an amount, or a count.",
    "trace_value": "The size of a copied position, a decimal number.",
    "max_hold_size": "The maximum number of orders, a decimal number.",
    "stop_surplus_ratio": "The take-profit ratio, a whole number from 1 to 400.",
    "stop_loss_ratio": "The stop-loss ratio, a whole number from 1 to 400.",
}
_FLAGS = {"trader_id": "--trader"}


def settings_options(command: Command) -> Command:
    """Add `--settings` and a flag for each field; the command passes them to `read_template`."""
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
        metavar="FILE",
        type=click.File("rb"),
        help="A JSON file with a list of settings, one setting, or a change without its user; - is standard input."
        " Flags replace values of the file.",
    )(command)


def read_template(settings_file: BinaryIO | None, flags: Mapping[str, str | None]) -> Template:
    """Return the template that the file and the flags describe.

    Raises:
        BadInput: the file has no valid settings, or several settings to which a flag could apply.
    """
    template = Template({}, ()) if settings_file is None else Template.from_json(read_json(settings_file))
    return template.with_fields({name: value for name, value in flags.items() if value is not None})


def read_json(file: BinaryIO) -> Any:
    """Return the JSON value of a whole file.

    Raises:
        BadInput: the file is not valid JSON.
    """
    name = getattr(file, "name", "the file")
    try:
        return json_text.decode(_text(file.read(MAX_JSON_BYTES + 1)))
    except BadInput as exc:
        raise BadInput(f"{name}: {exc}") from exc
    except ValueError as exc:
        raise BadInput(f"{name} is not a JSON file in UTF-8: {exc}; correct it, or use flags instead") from exc


def _text(content: bytes) -> str:
    start = bom_length(content[:START_BYTES], AS_JSON)
    if len(content) > MAX_JSON_BYTES:
        raise BadInput(f"the file is longer than {MAX_JSON_BYTES:,} bytes, and no change is")
    return content[start:].decode()
