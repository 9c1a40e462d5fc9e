"""Fan-outs: arguments in, changes and IDs out."""

from __future__ import annotations

from typing import Any

import pytest

from producers import InvalidArgument, InvalidChange, SettingsChange
from producers.contract.ids import batch_id_of
from producers.contract.validation import MAX_BATCH_ID_CHARS, MAX_ID_CHARS, check_id
from producers.queue.fan_out import FanOut, indexed_change_parser, member_job_id, preview, template_parser
from tests.support.changes import change, setting

NOTHING: dict[str, Any] = dict.fromkeys(("trader_id", "settings", "user_ids", "auto_copy", "mode"))
TEMPLATE: dict[str, Any] = NOTHING | {"trader_id": "t1", "settings": [setting()], "user_ids": ["1"]}


def test_a_fan_out_of_changes_has_no_template() -> None:
    """Each change has a trader and settings of its own."""
    asked = FanOut.from_arguments([change()], **NOTHING)

    assert (asked.items, asked.template) == ([change()], None)


def test_a_template_makes_a_change_for_each_user() -> None:
    """Trader, settings, `autoCopy` and `mode` are shared; the job ID has batch and user."""
    asked = FanOut.from_arguments(None, **TEMPLATE | {"auto_copy": "on", "mode": "basic"})

    found = asked.parser("b")(0, "1002")

    assert asked.items == ["1"]
    expected = SettingsChange(user_id="1002", trader_id="t1", auto_copy="on", mode="basic", settings=[setting()])
    assert (found.job_id, found.user_id, found.change) == ("b..1002", "1002", None), "it is not stored by itself"
    assert asked.change_of(found) == expected


@pytest.mark.parametrize("user", ["a/b", "u" * MAX_ID_CHARS])
def test_a_change_whose_job_id_does_not_tell_its_user_has_the_settings(user: str) -> None:
    """It cannot be made of the template."""
    found = template_parser("b", change())(0, user)

    assert found.change == change(user)


@pytest.mark.parametrize(
    ("changes", "given"),
    [
        (None, NOTHING),
        ([change()], TEMPLATE),
        ([change()], NOTHING | {"mode": "basic"}),
        (None, TEMPLATE | {"trader_id": None}),
        (None, TEMPLATE | {"settings": None}),
        (None, TEMPLATE | {"user_ids": None}),
    ],
    ids=["nothing", "both", "changes with a mode", "no trader", "no settings", "no users"],
)
def test_arguments_that_are_neither_changes_nor_a_template_are_rejected(changes: Any, given: dict[str, Any]) -> None:
    """Also a mixture of both, and a template with a part missing."""
    with pytest.raises(TypeError, match="either changes=, or trader_id=, settings= and user_ids="):
        FanOut.from_arguments(changes, **given)


@pytest.mark.parametrize("user_ids", ["1001", b"1001"])
def test_a_string_instead_of_an_iterable_of_users_is_rejected(user_ids: object) -> None:
    """Its characters would be taken for users."""
    with pytest.raises(InvalidArgument, match=r"^user_ids: must be an iterable"):
        FanOut.from_arguments(None, **TEMPLATE | {"user_ids": user_ids})


@pytest.mark.parametrize(
    ("changed", "field"), [({"settings": []}, "settings"), ({"trader_id": "a b"}, "traderId"), ({"mode": "x"}, "mode")]
)
def test_an_invalid_template_is_rejected_once_before_any_user(changed: dict[str, Any], field: str) -> None:
    """Otherwise every user would be refused for the same reason."""
    with pytest.raises(InvalidChange, match=f"^{field}: "):
        FanOut.from_arguments(None, **TEMPLATE | changed)


def test_the_content_digest_depends_on_the_template_and_not_on_its_users() -> None:
    """A list and a tuple of settings are the same content; a fan-out of changes has another."""

    def content(**changed: Any) -> str:
        return FanOut.from_arguments(None, **TEMPLATE | changed).content

    contents = [content(), content(trader_id="t2"), content(settings=[setting(trace_value="9")]), content(mode="basic")]
    assert content() == content(user_ids=["2", "3"]) == content(settings=(setting(),))
    assert len({*contents, FanOut.from_arguments([], **NOTHING).content}) == 5


def test_a_user_s_change_has_the_same_id_wherever_the_user_comes() -> None:
    """The index is in the ID only if whole changes are given."""
    parse = template_parser("b", change())
    assert parse(3, "7").job_id == parse(9, "7").job_id == "b..7"
    assert indexed_change_parser("b")(3, change("7")).job_id == "b..3"


@pytest.mark.parametrize("batch_chars", [1, MAX_BATCH_ID_CHARS - 1, MAX_BATCH_ID_CHARS])
@pytest.mark.parametrize("user_chars", [1, 62, 63, 64, MAX_ID_CHARS])
def test_every_user_of_every_batch_has_a_valid_job_id(batch_chars: int, user_chars: int) -> None:
    """However long both IDs are; the batch is a part of it, and two users stay two."""
    batch_id = "b" * batch_chars
    ids = {member_job_id(batch_id, "u" * (user_chars - 1) + last) for last in "xy"}

    assert len(ids) == 2
    for job_id in ids:
        assert check_id("job_id", job_id) == job_id
        assert batch_id_of(job_id) == batch_id


@pytest.mark.parametrize("user", ["/", "//", "/x", "x/", "x//y", "..", ".x", "x..y", "%", ":", "~2"])
def test_a_user_with_separators_in_its_id_stays_with_its_batch(user: str) -> None:
    """The job ID has no slash, so that URL paths can carry it."""
    job_id = member_job_id("b", user)

    assert batch_id_of(job_id) == "b"
    assert "/" not in job_id


def test_a_preview_has_valid_and_refused_items_in_order() -> None:
    """A refused item has its index and, where there is one, its user."""
    found = preview(FanOut.from_arguments(None, **TEMPLATE), ["1", "a b", "2", 3])

    assert [each.user_id for each in found.changes] == ["1", "2"]
    assert [(refusal.index, refusal.user_id) for refusal in found.refused] == [(1, "a b"), (3, None)]
    invalid = SettingsChange(user_id="9", trader_id="t1", settings=[])
    both = preview(FanOut.from_arguments([], **NOTHING), [invalid, change("8")])
    assert [each.user_id for each in both.changes] == ["8"]
    assert [(refusal.index, refusal.user_id) for refusal in both.refused] == [(0, "9")]
