"""The command line: ``wanstage serve``, jobs (``submit``, ``jobs``, ``watch``, ``cancel``, ``remove``, ``fetch``),
``models``, ``plan``, ``bench``, ``speak``, ``pose``, ``doctor``, and for backends on other machines ``pair``,
``clients``, ``unpair`` there and ``connect`` here.

With ``--json`` every command writes one JSON object a line and nothing else to standard output.
Exit status: 0 done, 1 the job failed or was cancelled, 2 wrong use, 3 no connection, 4 refused, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from protocol.errors import ConnectionProblem, WanstageError
from protocol.specs import PlanName
from wan_models.engine import RequestRefused

from . import bench_command, models_command, pair_command, plan_command, pose_command, speak_command
from .settings import MIB, Settings, default_connection, default_data

EXIT_JOB, EXIT_USE, EXIT_CONNECTION, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 3, 4, 130


def _serve(told: argparse.Namespace) -> int:
    from wan_models.options import Options

    from .devices import parse_workers
    from .serve import serve

    data = told.data or default_data()
    beside = data / "connection.json" if told.data else default_connection()
    settings = Settings(
        data=data,
        connection_file=told.connection_file or beside,
        bind=told.bind,
        insecure_loopback=told.insecure_loopback,
        idle_exit_s=told.idle_exit,
        workers=parse_workers(told.workers),
        models=Options(
            folders=tuple(folder.absolute() for folder in told.models),
            plan=told.plan,
            card_gib=told.card_memory,
            host_gib=told.host_memory,
            offline=told.offline,
            random_weights=told.random_weights,
        ),
        test_engine=told.test_engine,
        min_free_bytes=told.min_free * MIB,
        max_disk_bytes=told.max_disk * MIB,
        cancel_grace_s=told.cancel_grace,
        client_expiry_s=told.client_expiry,
        new_clients=tuple(told.new_client),
    )
    return serve(settings)


def _client_command(told: argparse.Namespace) -> int:
    from .commands import COMMANDS

    return COMMANDS[told.command](told)


def _doctor(told: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor(told.json, told.data or default_data())


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser("serve", help="run the backend; prints one JSON line when it is ready")
    serve.add_argument(
        "--data", type=Path, metavar="DIR", help="jobs, frames, assets, keys (default: user data folder)"
    )
    serve.add_argument(
        "--connection-file", type=Path, metavar="PATH", help="default: connection.json in the data folder"
    )
    serve.add_argument("--bind", default="tcp://127.0.0.1:*", help="address and port, * = any free port")
    serve.add_argument("--idle-exit", type=float, metavar="SECONDS", help="end when there are no clients and no jobs")
    serve.add_argument(
        "--workers",
        default="auto",
        metavar="DEVICES",
        help="worker processes: a list of cuda:I (one on card I, for video models) and cpu:N (N of them), for example "
        "cuda:0,cpu:1; default: auto = every card, and cpu:1",
    )
    serve.add_argument("--insecure-loopback", action="store_true", help="no keys: for benchmarks on this machine only")
    serve.add_argument(
        "--new-client",
        action="append",
        default=[],
        metavar="NAME",
        type=pair_command.client_name,
        help="write connection-NAME.json with a key of its own",
    )
    serve.add_argument("--min-free", type=int, default=512, metavar="MIB", help="leave so much of the disk free")
    serve.add_argument("--max-disk", type=int, default=0, metavar="MIB", help="all frames together (0 = no bound)")
    serve.add_argument(
        "--cancel-grace",
        type=float,
        metavar="SECONDS",
        help="how long a worker may take to heed a cancel before it is killed (default: 5, and 60 for video models, "
        "one step of which may take 12 and more)",
    )
    _add_models(serve)
    serve.add_argument("--client-expiry", type=float, default=30.0, metavar="SECONDS", help=argparse.SUPPRESS)
    serve.add_argument("--test-engine", action="store_true", help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)


def _add_models(serve: argparse.ArgumentParser) -> None:
    serve.add_argument(
        "--models",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with models, searched before $WANSTAGE_MODELS and the caches; may be given again",
    )
    serve.add_argument(
        "--plan",
        choices=get_args(PlanName),
        default="auto",
        help="where the networks are kept, for jobs that do not say (default: auto = what fits best)",
    )
    serve.add_argument("--offline", action="store_true", help="never ask a hub for models")
    serve.add_argument("--card-memory", type=float, metavar="GIB", help="use no more of a card's memory than this")
    serve.add_argument("--host-memory", type=float, metavar="GIB", help="use no more of the machine's memory than this")
    serve.add_argument("--random-weights", action="store_true", help=argparse.SUPPRESS)


def _add_client(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.add_argument(
        "--connection",
        type=Path,
        metavar="FILE|NAME",
        help="a connection file, or a backend that 'connect' paired with; default: $WANSTAGE_CONNECTION or the local "
        "backend",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of pictures for people")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="how long to wait for the backend"
    )
    parser.set_defaults(run=_client_command)
    return parser


def _add_submit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .jobfile import EXAMPLE

    submit = _add_client(commands, "submit", "run a bundle (zip) or a job spec (json)")
    submit.formatter_class, submit.epilog = argparse.RawDescriptionHelpFormatter, EXAMPLE
    submit.add_argument("what", type=Path, metavar="BUNDLE.zip|SPEC.json")
    submit.add_argument("--out", type=Path, metavar="DIR", help="follow the job and write its frames there")
    _add_movie(submit)
    submit.add_argument("--assets", type=Path, metavar="DIR", help="asset folder of a spec.json")
    submit.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field of the job, for example seed=7 or sampler.steps=20; may be given again",
    )
    submit.add_argument(
        "--image", type=Path, metavar="FILE", help="the first picture (i2v, flf2v, ti2v), the person (s2v)"
    )
    submit.add_argument("--last-image", type=Path, metavar="FILE", help="the last picture (flf2v)")
    _add_sound(submit)
    submit.add_argument(
        "--start-from-reference", action="store_true", help="the first frame is the picture of the person (s2v)"
    )


def _add_movie(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--movie",
        type=_movie,
        nargs="?",
        const=True,
        metavar="FILE.mp4",
        help="write a movie of the frames, with the job's sound: take.mp4 beside them, or this file",
    )


def _add_sound(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sound",
        type=Path,
        metavar="FILE",
        help="what is heard (s2v), from any sound file or film; a job without frames gets as many as it takes",
    )
    parser.add_argument(
        "--sound-start", type=float, metavar="SECONDS", help="where in the sound the first frame is (default: 0)"
    )


def _movie(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".mp4":
        problem = f"{text!r} is no name of a movie: give a FILE.mp4, or put --movie behind the other arguments"
        raise argparse.ArgumentTypeError(problem)
    return path


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="wanstage", description="Turns rigged previz into finished shots.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_submit(commands)
    jobs = _add_client(commands, "jobs", "list the jobs of this key, newest first")
    jobs.add_argument("--limit", type=int, default=20)
    for name, text in (
        ("watch", "follow a job until it ends"),
        ("cancel", "stop a job"),
        ("remove", "forget an ended job and delete its frames at the backend"),
        ("fetch", "write the frames of a job, following it until it ends"),
    ):
        each = _add_client(commands, name, text)
        each.add_argument("job", help="job id, or the beginning of one")
        if name == "fetch":
            each.add_argument("--out", type=Path, required=True, metavar="DIR")
            _add_movie(each)
            _add_sound(each)
    models_command.add_parser(commands)
    plan_command.add_parser(commands)
    bench_command.add_parser(commands)
    speak_command.add_parser(commands)
    pair_command.add_parsers(commands)
    pose_command.add_parser(commands)
    doctor = commands.add_parser("doctor", help="say what works here, with a round trip through a private backend")
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument("--data", type=Path, metavar="DIR")
    doctor.set_defaults(run=_doctor)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``wanstage``; returns the exit status."""
    told = parser().parse_args(arguments)
    try:
        status: int = told.run(told)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except (WanstageError, RequestRefused) as error:
        sys.stderr.write(f"wanstage: {error}\n")
        return EXIT_CONNECTION if isinstance(error, ConnectionProblem) else EXIT_REFUSED
    return status


if __name__ == "__main__":
    sys.exit(main())
