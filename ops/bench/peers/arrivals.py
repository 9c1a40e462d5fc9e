"""Whether all jobs of a load were done, by what the exchange double saw and what is stored. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def shortfalls(users: Iterable[str], arrivals_ns: Mapping[str, Sequence[int]], applied: int) -> list[str]:
    """Return what is wrong, in words, where each user has one job; nothing if all is as it should be.

    Args:
        users: each with one job.
        arrivals_ns: the times of arrival at the double of each user's requests.
        applied: how many stored results say that the change was applied.
    """
    expected = set(users)
    lost = expected - arrivals_ns.keys()
    doubled = [user for user in expected if len(arrivals_ns.get(user, ())) > 1]
    foreign = arrivals_ns.keys() - expected
    found = {
        f"{len(lost)} of {len(expected)} jobs never arrived": lost,
        f"{len(doubled)} of {len(expected)} jobs arrived more than once": doubled,
        f"requests of {len(foreign)} other users arrived": foreign,
        f"{applied} results say that a change was applied, of {len(expected)}": applied != len(expected),
    }
    return [text for text, wrong in found.items() if wrong]
