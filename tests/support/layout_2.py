"""The rules by which the first programs of layout 2 read what is stored: keys, types, grammar of values.

They were written down when that version came (commit bf34b7b) and stay as they are: a program of today must write by
them as long as the layout is 2, since both may run side by side. Fields that those programs do not know are free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

Parts = Iterable[tuple[str, str]]
"""What a key holds, as pairs of text: field and value of a hash or a stream; of others "" and the value or member."""

ID, NUMBER, FLOAT, ENTRY = r"[!-~]+", r"-?\d+", r"\d+(\.\d+)?", r"[ib]c?t?\d* [!-~]+"
BATCH_NUMBERS = [
    "total",
    "finished",
    "in_flight",
    "created_at",
    "started_at",
    "sealed_at",
    "cancelled_at",
    "completed_at",
    "lane_full_count",
    "deepest",
    "outcome_applied",
    "outcome_rejected",
    "outcome_unauthorized",
    "outcome_exhausted",
    "outcome_expired",
    "outcome_cancelled",
    "outcome_superseded",
]
EGRESS_NUMBERS = [
    "tat",
    "pace",
    "user_pace",
    "since_bulk",
    "min_rtt",
    "rtt_count",
    "rtt_total",
    "rtt_since",
    "openings",
    "pause",
    "probe_at",
]
OUTCOMES = ["applied", "rejected", "unauthorized", "exhausted", "expired", "cancelled", "superseded"]
BUCKET_NUMBERS = 15
"""The numbers of a bucket, before its two lists."""


def _any(pattern: str) -> Callable[[str, str], bool]:
    return lambda _, value: re.fullmatch(pattern, value) is not None


def _fields(known: Mapping[str, str]) -> Callable[[str, str], bool]:
    return lambda field, value: field not in known or re.fullmatch(known[field], value) is not None


def _session(field: str, value: str) -> bool:
    return re.fullmatch(r"\d+ \d+" if field == "clock" else r"\d+ \d+ \d+ \d+ \d+ [01]", value) is not None


def _decoded(check: Callable[[Any], bool]) -> Callable[[str, str], bool]:
    return lambda _, value: check(msgspec.msgpack.decode(value.encode("latin-1")))


def _is_change(stored: Any) -> bool:
    (change,) = stored["a"]
    setting = change["settings"][0]
    named = all(isinstance(each, str) for each in (change["userId"], change["traderId"], setting["symbol"]))
    return named and stored["f"] == "apply_settings" and stored["k"]["v"] == 1 and stored["k"]["ttlMs"] > 0


def _is_result(stored: Any) -> bool:
    result = stored["r"]
    numbers = [stored["et"], stored["ft"], result.get("tries", 0), result.get("finishedAtMs", 0)]
    texts = [result["jobId"], result["userId"], result["traderId"], result.get("message", "")]
    return (
        all(isinstance(number, int) for number in numbers)
        and all(isinstance(text, str) for text in texts)
        and result["outcome"] in OUTCOMES
        and all({"atMs", "tookMs", "verdict"} <= attempt.keys() for attempt in result.get("attempts", []))
    )


def _is_bucket(stored: Any) -> bool:
    numbers, lists = stored[:BUCKET_NUMBERS], stored[BUCKET_NUMBERS : BUCKET_NUMBERS + 2]
    return all(isinstance(value, int) for value in numbers) and [type(value) for value in lists] == [list, list]


RULES: list[tuple[str, str, Callable[[str, str], bool]]] = [
    (r"copytrade:layout", "string", _any("2")),
    (r"copytrade:users:(interactive|bulk)(:.+)?", "zset", _any(r"[^: ]+")),
    (r"copytrade:(lanes|bulk):[^: ]+", "zset", _any(r"[^: ]+")),
    (r"copytrade:heads:[^: ]+", "hash", _any(rf"\d+ \d+ \d+ [01] {ENTRY}")),
    (r"copytrade:rest:[^: ]+:[^: ]+", "list", _any(ENTRY)),
    (
        r"copytrade:attempts:[^: ]+:[^: ]+",
        "hash",
        _fields({"lost_deliveries": NUMBER, "alone_until": ID, "sent_until": ID}),
    ),
    (r"copytrade:sessions", "hash", _session),
    (r"copytrade:held:\w+", "hash", _any(r"\d+\.\d+ \d+ \d+")),
    (r"copytrade:taken:\w+", "hash", _any(r"\d+\.\d+")),
    (r"copytrade:parked:[^: ]+", "set", _any(r"[^: ]+")),
    (r"copytrade:wakeups(:.+)?", "list", _any("1")),
    (r"copytrade:slots:[^: ]+:settings", "string", _decoded(_is_bucket)),
    (r"copytrade:egress:.+", "hash", _fields(dict.fromkeys(EGRESS_NUMBERS, NUMBER))),
    (r"copytrade:failures:.+", "hash", _any(NUMBER)),
    (r"copytrade:egresses", "set", _any(ID)),
    (r"copytrade:paused", "hash", _any(NUMBER)),
    (r"copytrade:rates", "hash", _any(FLOAT)),
    (r"copytrade:rejected_keys", "hash", _any(r"\S* \S+ \d+")),
    (r"copytrade:counts", "hash", _any(NUMBER)),
    (r"copytrade:batch:[^/]+", "hash", _fields(dict.fromkeys(BATCH_NUMBERS, NUMBER) | {"runs": r"\d+,\d+( \d+,\d+)*"})),
    (r"copytrade:batches", "zset", _any(ID)),
    (r"copytrade:members:[^/]+", "set", _any(ID)),
    (r"copytrade:results:[^/]+", "stream", _fields({"job": ID, "outcome": "|".join(OUTCOMES), "end": "1"})),
    (r"copytrade:dead:(rejected|unauthorized|exhausted)", "zset", _any(rf"[^: ]+:[^: ]+ {ID}")),
    (r"copytrade:letter:.+", "string", _decoded(_is_change)),
    (r"arq:job:.+", "string", _decoded(_is_change)),
    (r"arq:result:.+", "string", _decoded(_is_result)),
]


def violations(keys: Iterable[tuple[str, str, Parts]]) -> list[tuple[str, object]]:
    """Return what those programs could not read: the key, and the part of it.

    Args:
        keys: name, Redis type and parts of each key.
    """
    found: list[tuple[str, object]] = []
    for name, kind, parts in keys:
        rules = [
            check for pattern, kind_of_rule, check in RULES if kind == kind_of_rule and re.fullmatch(pattern, name)
        ]
        if not rules:
            found.append((name, f"a {kind} that they do not know"))
        found += [(name, part) for part in parts for check in rules if not check(*part)]
    return found
