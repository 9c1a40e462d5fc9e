"""Tests of a queue without shards that hold for one with four, word for word."""

from __future__ import annotations

from tests.integration.producers.queue.test_cancel import (
    test_a_change_behind_one_that_waits_for_a_retry_does_not_get_its_attempts,
    test_a_change_in_flight_cannot_be_cancelled,
    test_a_change_is_cancelled_or_claimed_never_both,
    test_cancelling_a_change_keeps_the_order_of_the_others,
    test_the_result_of_a_cancelled_change_of_a_template_names_the_batch,
)
from tests.integration.producers.queue.test_fan_out import (
    test_a_fan_out_of_changes_keeps_their_order_and_numbers_them,
    test_a_fan_out_takes_any_iterable,
    test_a_user_who_is_given_twice_gets_one_change,
    test_a_user_with_any_id_gets_a_change_that_ends_in_its_batch,
    test_batches_without_an_id_get_one_each,
    test_invalid_items_are_reported_by_index_and_do_not_stop_the_others,
    test_no_change_is_lost_or_doubled_at_the_edge_of_a_chunk,
)
from tests.integration.producers.queue.test_fan_out_refusals import (
    test_a_dry_run_checks_all_arguments,
    test_all_or_nothing_submits_all_if_all_are_valid,
)
from tests.integration.producers.queue.test_job_details import (
    test_a_change_of_a_template_has_the_deadline_of_its_run,
    test_a_change_that_was_sent_with_the_one_before_it_has_that_attempt,
    test_a_queued_change_has_what_it_sets_and_its_deadline,
    test_an_ended_change_has_what_is_left_of_it,
)
from tests.integration.producers.queue.test_jobs import (
    test_a_claimed_change_is_in_flight_and_the_next_one_queued,
    test_a_queued_change_has_its_position_in_the_lane,
    test_an_ended_change_is_done_with_its_result,
    test_an_unknown_job_is_not_found_at_once,
)
from tests.integration.producers.queue.test_pages import (
    test_a_cursor_that_is_not_of_this_batch_is_rejected,
    test_a_page_does_not_wait,
    test_batches_are_listed_after_the_newest_ones,
    test_reading_after_the_last_page_of_a_complete_batch_returns_nothing,
    test_the_change_of_a_user_is_known_in_a_batch_of_a_template_only,
)
from tests.integration.producers.queue.test_pauses import (
    test_a_change_waits_until_none_of_its_pauses_is_in_force,
    test_a_malformed_id_cannot_be_paused,
    test_changes_enqueued_during_a_pause_wait_too,
    test_only_the_paused_user_or_trader_waits_and_is_due_when_resumed,
    test_pausing_or_resuming_twice_reports_that_nothing_changed,
)
from tests.integration.producers.queue.test_replays import (
    test_a_change_that_dies_again_can_be_replayed_again,
    test_a_change_with_a_long_id_can_be_replayed,
    test_letters_with_similar_ids_are_both_replayed,
    test_replayed_changes_are_queued_in_the_order_of_their_lane,
)
from tests.integration.producers.queue.test_results_stream import (
    test_a_stream_waits_for_the_next_settlement,
    test_concurrent_readers_get_each_result_once,
)
from tests.integration.producers.queue.test_retries import (
    test_a_failed_retry_can_be_retried,
    test_a_retry_and_a_replay_at_once_submit_each_letter_once,
    test_failed_changes_of_a_batch_are_retried_as_a_batch,
)
from tests.integration.producers.queue.test_user_status import (
    test_all_of_a_thousand_lanes_of_a_user_are_shown,
    test_each_lane_is_shown_with_its_head_and_its_state,
    test_pause_hold_and_rate_of_a_user_are_shown,
    test_the_changes_of_lanes_are_listed_as_far_as_asked_for,
)

__all__ = [
    "test_a_change_behind_one_that_waits_for_a_retry_does_not_get_its_attempts",
    "test_a_change_in_flight_cannot_be_cancelled",
    "test_a_change_is_cancelled_or_claimed_never_both",
    "test_a_change_of_a_template_has_the_deadline_of_its_run",
    "test_a_change_that_dies_again_can_be_replayed_again",
    "test_a_change_that_was_sent_with_the_one_before_it_has_that_attempt",
    "test_a_change_waits_until_none_of_its_pauses_is_in_force",
    "test_a_change_with_a_long_id_can_be_replayed",
    "test_a_claimed_change_is_in_flight_and_the_next_one_queued",
    "test_a_cursor_that_is_not_of_this_batch_is_rejected",
    "test_a_dry_run_checks_all_arguments",
    "test_a_failed_retry_can_be_retried",
    "test_a_fan_out_of_changes_keeps_their_order_and_numbers_them",
    "test_a_fan_out_takes_any_iterable",
    "test_a_malformed_id_cannot_be_paused",
    "test_a_page_does_not_wait",
    "test_a_queued_change_has_its_position_in_the_lane",
    "test_a_queued_change_has_what_it_sets_and_its_deadline",
    "test_a_retry_and_a_replay_at_once_submit_each_letter_once",
    "test_a_stream_waits_for_the_next_settlement",
    "test_a_user_who_is_given_twice_gets_one_change",
    "test_a_user_with_any_id_gets_a_change_that_ends_in_its_batch",
    "test_all_of_a_thousand_lanes_of_a_user_are_shown",
    "test_all_or_nothing_submits_all_if_all_are_valid",
    "test_an_ended_change_has_what_is_left_of_it",
    "test_an_ended_change_is_done_with_its_result",
    "test_an_unknown_job_is_not_found_at_once",
    "test_batches_are_listed_after_the_newest_ones",
    "test_batches_without_an_id_get_one_each",
    "test_cancelling_a_change_keeps_the_order_of_the_others",
    "test_changes_enqueued_during_a_pause_wait_too",
    "test_concurrent_readers_get_each_result_once",
    "test_each_lane_is_shown_with_its_head_and_its_state",
    "test_failed_changes_of_a_batch_are_retried_as_a_batch",
    "test_invalid_items_are_reported_by_index_and_do_not_stop_the_others",
    "test_letters_with_similar_ids_are_both_replayed",
    "test_no_change_is_lost_or_doubled_at_the_edge_of_a_chunk",
    "test_only_the_paused_user_or_trader_waits_and_is_due_when_resumed",
    "test_pause_hold_and_rate_of_a_user_are_shown",
    "test_pausing_or_resuming_twice_reports_that_nothing_changed",
    "test_reading_after_the_last_page_of_a_complete_batch_returns_nothing",
    "test_replayed_changes_are_queued_in_the_order_of_their_lane",
    "test_the_change_of_a_user_is_known_in_a_batch_of_a_template_only",
    "test_the_changes_of_lanes_are_listed_as_far_as_asked_for",
    "test_the_result_of_a_cancelled_change_of_a_template_names_the_batch",
]
