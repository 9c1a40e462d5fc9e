"""What the dashboard shows. Every gateway process serves the same values of the queue: hence the maxima."""

from __future__ import annotations

from ops.dashboard.model import Panel, Query, Unit

RATE = "[$__rate_interval]"
"""Grafana puts in four scrape intervals or more."""


OURS = "and on (job, instance) (copytrade_worker_info or copytrade_queue_up)"
"""Of what every process has, that of ours."""


def _quantile(share: float, histogram: str, *labels: str) -> str:
    by = ", ".join(("le", *labels))
    return f"histogram_quantile({share}, sum by ({by}) (rate({histogram}_bucket{RATE})))"


GROUPS: dict[str, tuple[Panel, ...]] = {
    "What users see": (
        Panel(
            "The oldest due change",
            Unit.SECONDS,
            "Interactive changes are claimed within milliseconds. Bulk ones wait for their turn at the egress's limit.",
            (Query("max by (priority) (copytrade_queue_oldest_due_seconds)", "{{priority}}"),),
        ),
        Panel(
            "From enqueuing to the outcome",
            Unit.SECONDS,
            "The median, and what 95 of 100 changes take.",
            (
                Query(_quantile(0.5, "copytrade_change_duration_seconds", "priority"), "{{priority}}, median"),
                Query(_quantile(0.95, "copytrade_change_duration_seconds", "priority"), "{{priority}}, 95 %"),
            ),
        ),
        Panel(
            "Changes that end",
            Unit.PER_SECOND,
            "By their outcome.",
            (Query(f"max by (outcome) (rate(copytrade_queue_changes_total{RATE}))", "{{outcome}}"),),
        ),
        Panel(
            "Scheduled users",
            Unit.COUNT,
            "Due: a worker may send now. Later: they wait for their own rate, a back-off or a hold.",
            (Query("max by (priority, state) (copytrade_queue_users)", "{{priority}}, {{state}}"),),
        ),
        Panel(
            "How long the due users take",
            Unit.SECONDS,
            "At the limit of the egresses, one request each.",
            (
                Query(
                    'sum(max by (priority) (copytrade_queue_users{state="due"}))'
                    " / sum(max by (egress) (copytrade_egress_limit_per_second))",
                    "all due users",
                ),
                Query(
                    "max by (egress) (copytrade_egress_pinned_due_users)"
                    " / max by (egress) (copytrade_egress_limit_per_second)",
                    "pinned to {{egress}}",
                ),
            ),
        ),
        Panel(
            "Held back and set aside",
            Unit.COUNT,
            "Pauses are people's. Users whose API keys were rejected wait for new keys; dead letters, for a replay.",
            (
                Query("max(copytrade_queue_pauses)", "pauses"),
                Query("max(copytrade_queue_paused_lanes)", "paused lanes"),
                Query("max(copytrade_queue_rejected_key_users)", "users with rejected keys"),
                Query("sum(max by (outcome) (copytrade_queue_dead_letters))", "dead letters"),
            ),
        ),
    ),
    "The exchange": (
        Panel(
            "Requests by what became of them",
            Unit.PER_SECOND,
            "Nothing should be throttled: the pace keeps the limits.",
            (Query(f"sum by (verdict) (rate(copytrade_requests_total{RATE}))", "{{verdict}}"),),
        ),
        Panel(
            "Requests and limit of each egress",
            Unit.PER_SECOND,
            "At its limit, bulk changes wait.",
            (
                Query(f"sum by (egress) (rate(copytrade_requests_total{RATE}))", "{{egress}}"),
                Query("max by (egress) (copytrade_egress_limit_per_second)", "{{egress}}, limit"),
            ),
        ),
        Panel(
            "Round trip",
            Unit.SECONDS,
            "From sending a request to its reply.",
            (
                Query(_quantile(0.5, "copytrade_request_duration_seconds", "egress"), "{{egress}}, median"),
                Query(_quantile(0.99, "copytrade_request_duration_seconds", "egress"), "{{egress}}, 99 %"),
            ),
        ),
        Panel(
            "Breakers that are open",
            Unit.YES_OR_NO,
            "Then only probes are sent.",
            (Query("max by (egress, trouble) (copytrade_egress_breaker_open)", "{{egress}}, {{trouble}}"),),
        ),
        Panel(
            "Holds of the egresses",
            Unit.SECONDS,
            "How long until the next probe, after many users were throttled.",
            (Query("max by (egress) (copytrade_egress_hold_seconds)", "{{egress}}"),),
        ),
        Panel(
            "Replies that are no success",
            Unit.PER_SECOND,
            "By the exchange's code.",
            (Query(f'sum by (code) (rate(copytrade_replies_total{{code!="00000"}}{RATE}))', "{{code}}"),),
        ),
    ),
    "Workers": (
        Panel(
            "Workers that are alive",
            Unit.COUNT,
            "By their egress.",
            (Query("max by (egress) (copytrade_queue_workers)", "{{egress}}"),),
        ),
        Panel(
            "Attempts in hand",
            Unit.COUNT,
            "At the bound, due changes wait for a free place.",
            (
                Query("sum(copytrade_in_flight)", "in hand"),
                Query("sum(copytrade_in_flight_limit)", "bound"),
            ),
        ),
        Panel(
            "From due to claimed",
            Unit.SECONDS,
            "What 95 of 100 changes wait, by what they were claimed as.",
            (Query(_quantile(0.95, "copytrade_claim_delay_seconds", "priority"), "{{priority}}"),),
        ),
        Panel(
            "Sessions and settlements",
            Unit.PER_SECOND,
            "All are 0 as long as no worker stands still or dies.",
            (
                Query(f"sum(rate(copytrade_sessions_lapsed_total{RATE}))", "sessions lost"),
                Query(f"sum(rate(copytrade_settlements_refused_total{RATE}))", "settlements refused"),
                Query(f"sum(rate(copytrade_poisoned_total{RATE}))", "poisoned changes"),
            ),
        ),
        Panel(
            "Event loops",
            Unit.SECONDS,
            "How late a timer fires, in one case of 100.",
            (Query(_quantile(0.99, "copytrade_event_loop_lag_seconds", "instance"), "{{instance}}"),),
        ),
        Panel(
            "API keys that cannot be had",
            Unit.PER_SECOND,
            "Away: their source does not answer. Invalid and missing: of single users.",
            (Query(f"sum by (kind) (rate(copytrade_credentials_errors_total{RATE}))", "{{kind}}"),),
        ),
        Panel(
            "The source of API keys",
            Unit.YES_OR_NO,
            "No, while it cannot be read as a whole: a file that cannot be used, a Redis or a vault that is away.",
            (Query("copytrade_credentials_source_ok", "{{instance}}"),),
        ),
        Panel(
            "The exchange's clock",
            Unit.SECONDS,
            "Less that of the worker's machine. Workers sign with the exchange's time; 30 s would be rejected.",
            (Query("copytrade_exchange_clock_offset_seconds", "{{instance}}"),),
        ),
        Panel(
            "CPU",
            Unit.CORES,
            "Of each process, the gateways among them. A process uses one core at most.",
            (Query(f"rate(process_cpu_seconds_total{RATE}) {OURS}", "{{job}} {{instance}}"),),
        ),
        Panel(
            "Memory of the processes",
            Unit.BYTES,
            "That is resident.",
            (Query(f"process_resident_memory_bytes {OURS}", "{{job}} {{instance}}"),),
        ),
    ),
    "Redis": (
        Panel(
            "Calls of scripts",
            Unit.SECONDS,
            "What 99 of 100 calls of workers take, with the way there and back.",
            (Query(_quantile(0.99, "copytrade_redis_call_duration_seconds", "script"), "{{script}}"),),
        ),
        Panel(
            "Calls that fail",
            Unit.PER_SECOND,
            "Of workers, by kind.",
            (Query(f"sum by (kind) (rate(copytrade_redis_errors_total{RATE}))", "{{kind}}"),),
        ),
        Panel(
            "Shards that workers do not reach",
            Unit.COUNT,
            "They claim nothing there. The home of several shards counts, too. Without shards: 1 while Redis is away.",
            (
                Query("max(copytrade_shards_unserved)", "the worst worker"),
                Query("min(copytrade_shards_unserved)", "every worker"),
            ),
        ),
        Panel(
            "Memory",
            Unit.BYTES,
            "From 85 % of the limit on, changes are refused.",
            (
                Query("max(copytrade_redis_memory_used_bytes)", "used"),
                Query("max(copytrade_redis_memory_limit_bytes > 0)", "limit"),
            ),
        ),
    ),
    "Gateway": (
        Panel(
            "Calls by status",
            Unit.PER_SECOND,
            "4xx are the callers' errors, 5xx the queue's or the gateway's.",
            (Query(f"sum by (status) (rate(copytrade_gateway_request_duration_seconds_count{RATE}))", "{{status}}"),),
        ),
        Panel(
            "Calls by route",
            Unit.SECONDS,
            "What 95 of 100 calls take until their answer begins.",
            (Query(_quantile(0.95, "copytrade_gateway_request_duration_seconds", "route"), "{{route}}"),),
        ),
        Panel(
            "Event streams",
            Unit.COUNT,
            "Open ones, and whether the gateways reach Redis.",
            (
                Query("sum(copytrade_gateway_streams)", "streams"),
                Query("max(copytrade_queue_up)", "the queue can be read"),
            ),
        ),
    ),
}
"""The panels, by the title of their row."""
