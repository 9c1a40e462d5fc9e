"""The endpoint "Set Copy Trade Settings": its path and its body. No I/O.

Source: Bitget API documentation, "Set Copy Trade Settings" (copy trading, futures, follower), read December 2025; the
older version of that page has neither `autoCopy` nor `mode`.
"""

import msgspec

from producers.contract.messages import AutoCopy, CopySetting, Mode, SettingsChange

METHOD = "POST"
SETTINGS_PATH = "/api/v2/copy/mix-follower/settings"
TIME_PATH = "/api/v2/public/time"
"""GET, without credentials, 20 per second and IP ("Get Server Time", ibid.). Its reply has `requestTime`, as all do."""


class _Body(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The body, in the order of the documentation's example."""

    trader_id: str
    auto_copy: AutoCopy | None = None
    mode: Mode | None = None
    settings: list[CopySetting]


_encoder = msgspec.json.Encoder()


def encode_body(change: SettingsChange) -> bytes:
    """Return the request body of a change, to be signed and sent: compact JSON, fields without a value left out.

    Args:
        change: a valid change. The body does not name its user: the API key identifies it.
    """
    return _encoder.encode(
        _Body(
            trader_id=change.trader_id,
            auto_copy=change.auto_copy,
            mode=change.mode,
            settings=change.settings,
        )
    )
