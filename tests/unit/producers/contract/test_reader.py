"""Changes in JSON and msgpack: whatever is wrong with a body is an InvalidChange that names field, rule and value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers import InvalidArgument, InvalidChange, read_change, read_changes
from producers.contract.reader import Encoding
from tests.support.changes import change, numbered

ENCODERS: dict[Encoding, Any] = {"json": msgspec.json.encode, "msgpack": msgspec.msgpack.encode}
WIRE = msgspec.to_builtins(change())
SETTING = WIRE["settings"][0]


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_change_and_a_list_of_changes_come_back_as_they_were_written(encoding: Encoding) -> None:
    """In both encodings, by wire names."""
    encode = ENCODERS[encoding]

    assert read_change(encode(change()), encoding=encoding) == change()
    assert read_changes(encode(numbered(3)), encoding=encoding) == numbered(3)
    assert read_change(msgspec.json.encode(change()).decode()) == change()


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize(
    ("wire", "field", "rule", "value"),
    [
        (WIRE | {"traderID": "t2"}, "traderID", "is not a field; did you mean traderId?", "t2"),
        (WIRE | {"zzz": 1}, "zzz", "is not a field; there are userId, traderId, autoCopy, mode, settings", 1),
        (
            WIRE | {"settings": [SETTING | {"symbl": "X"}]},
            "settings[0].symbl",
            "is not a field; did you mean symbol?",
            "X",
        ),
        (WIRE | {"userId": 1001}, "userId", "must be 1 to 128 printable ASCII characters without spaces", 1001),
        (WIRE | {"userId": None}, "userId", "must be 1 to 128 printable ASCII characters without spaces", None),
        ({}, "userId", "is missing", None),
        ({name: WIRE[name] for name in ("userId", "traderId")}, "settings", "is missing", None),
        (WIRE | {"settings": [{"symbol": "X"}]}, "settings[0].productType", "is missing", None),
        (WIRE | {"settings": {}}, "settings", "must be a list of 1 to 10 settings", {}),
        (WIRE | {"settings": [7]}, "settings[0]", "must be an object with the fields symbol, ", 7),
        (WIRE | {"settings": [SETTING, SETTING]}, "settings[1].symbol", "must not repeat", ("BTCUSDT", "USDT-FUTURES")),
        ([WIRE], "change", "must be an object with the fields userId, ", [WIRE]),
        (None, "change", "must be an object with the fields userId, ", None),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_change_that_breaks_a_rule_is_rejected_by_its_field(
    encoding: Encoding, wire: Any, field: str, rule: str, value: object
) -> None:
    """The same error as by `enqueue`; in a list, with the place in front of the field."""
    with pytest.raises(InvalidChange) as found:
        read_change(ENCODERS[encoding](wire), encoding=encoding)
    assert (found.value.field, found.value.rule[: len(rule)], found.value.value) == (field, rule, value)

    with pytest.raises(InvalidChange) as found:
        read_changes(ENCODERS[encoding]([WIRE, wire]), encoding=encoding)
    assert found.value.field == ("[1]" if field == "change" else f"[1].{field}")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *(("json", body) for body in (b"", b"{", b'"\xff"', b"[" * 100_000, b"9" * 5000, "\ud800")),
        *(("msgpack", body) for body in (b"", b"\xc1", b"\x81\x80\x01", b"\x91" * 100_000)),
    ],
    ids=lambda part: repr(part)[:12],
)
def test_a_body_that_cannot_be_decoded_is_rejected(encoding: Encoding, body: bytes | str) -> None:
    """Never with an error of msgspec or of Python."""
    with pytest.raises(InvalidChange, match=r"^body: must be (JSON|MessagePack) "):
        read_change(body, encoding=encoding)


@pytest.mark.parametrize("body", [msgspec.json.encode(change()).decode().encode("utf-8-sig"), "\ufeff{}"])
def test_a_byte_order_mark_before_json_is_named(body: bytes | str) -> None:
    """It stays invisible in an editor. A list of changes is refused as well."""
    for read in (read_change, read_changes):
        with pytest.raises(InvalidChange, match=r"^body: must be JSON without a byte order mark \(BOM\); "):
            read(body)


def test_a_list_of_changes_must_be_a_list() -> None:
    """One change is not taken for a list of one."""
    with pytest.raises(InvalidChange, match=r"^changes: must be a list of changes"):
        read_changes(msgspec.json.encode(change()))


def test_a_missing_field_is_not_shown_as_a_value() -> None:
    """None would look like what was sent."""
    with pytest.raises(InvalidChange, match=r"^traderId: is missing$"):
        read_change(b'{"userId": "1001"}')


@pytest.mark.parametrize(("body", "encoding"), [(b"{}", "yaml"), (None, "json"), (5, "msgpack")])
def test_what_is_no_body_or_no_encoding_is_refused(body: Any, encoding: Any) -> None:
    """With an error of the producer, as everything else."""
    with pytest.raises(InvalidArgument, match=r"^(encoding|body): must be "):
        read_change(body, encoding=encoding)
