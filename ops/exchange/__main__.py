"""Command line of the exchange double: `python -m ops.exchange --credentials file:PATH`."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from ops.exchange import faults as fault_kinds
from ops.exchange.accounts import Accounts, AccountsError, load
from ops.exchange.app import ExchangeDouble
from ops.exchange.faults import LATENCY, Fault
from ops.exchange.report_table import format_report


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parse_fault(text: str) -> Fault:
    """Parse NAME=PROBABILITY[,ATTRIBUTE=VALUE...]."""
    head, *rest = text.split(",")
    pairs = [pair.partition("=") for pair in (head, *rest)]
    if not all(separator for _, separator, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PROBABILITY[,ATTRIBUTE=VALUE...]")
    (kind, _, probability), *others = pairs
    values = {"kind": kind, "probability": probability} | {name: value for name, _, value in others}
    try:
        return msgspec.convert(values, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _parse_credentials(text: str) -> Accounts:
    scheme, separator, path = text.partition(":")
    if scheme != "file" or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not file:PATH")
    try:
        return load(Path(path))
    except AccountsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _parse_duration(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return float(text)


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ops.exchange",
        description="A strict double of the exchange, on loopback.",
        epilog=f"faults:\n\n{(fault_kinds.__doc__ or '').partition('No I/O.')[2].strip(chr(10))}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, fault_help = parser.add_argument, "such as http_500=0.01, code:45001=1,first=3 or hang=0.1,ms=2000,user=1001"
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 (the default) picks a free port")
    add("--credentials", type=_parse_credentials, required=True, metavar="file:PATH", help="TOML [users.<id>]")
    add("--user-rate-per-s", type=_parse_count, default=10, metavar="N", help="limit of a user at an endpoint")
    add("--egress-per-min", type=_parse_count, default=6000, metavar="N", help="limit of a remote IP")
    add("--egress-recovery-s", type=_parse_duration, default=300, metavar="S", help="block of an IP after a breach")
    add("--latency-ms", type=_parse_duration, default=0, metavar="MS", help="delay of every reply")
    add("--jitter-ms", type=_parse_duration, default=0, metavar="MS", help="random addition to it")
    add("--skew-ms", type=int, default=0, metavar="MS", help="lead of the double's clock")
    add("--fault", type=_parse_fault, action="append", default=[], metavar="NAME=P", help=f"{fault_help}; repeatable")
    add("--seed", type=int, default=1, help="seed of the faults' random numbers")
    return parser


async def _serve(double: ExchangeDouble, parser: argparse.ArgumentParser) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        await double.start()
    except (OSError, OverflowError) as error:  # OverflowError: not a port number
        parser.error(f"cannot listen, choose another --host or --port: {error}")
    print(f"exchange double listening on {double.url}", flush=True)
    await stop.wait()
    await double.close()
    print(format_report(double.ledger.report()), file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then print the report on stderr.

    Args:
        arguments: the command-line arguments; by default those of the process.

    Raises:
        SystemExit: an argument is invalid. The status is 2; stderr has one line.
    """
    parser = _build_parser()
    args = parser.parse_args(arguments)
    faults: list[Fault] = args.fault
    if args.latency_ms or args.jitter_ms:
        faults = [Fault(LATENCY, ms=args.latency_ms, jitter_ms=args.jitter_ms), *faults]
    double = ExchangeDouble(
        args.credentials,
        user_rate_per_s=args.user_rate_per_s,
        egress_per_min=args.egress_per_min,
        egress_recovery_s=args.egress_recovery_s,
        faults=faults,
        seed=args.seed,
        listen=(args.host, args.port),
    )
    double.clock.skew_ms = args.skew_ms
    asyncio.run(_serve(double, parser))


if __name__ == "__main__":
    main()
