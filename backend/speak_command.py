"""``wanstage speak``: text to a WAV file that can drive a shot, with whatever can speak on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ENGINES = ("auto", "espeak", "piper", "cosyvoice")  # wan_models.speech.ENGINES: a parser needs no numpy


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``speak`` to the command line."""
    speak = commands.add_parser("speak", help="speak a text to a WAV file, for a shot that sound drives")
    speak.add_argument("text", help="what is said; - = read it from standard input")
    speak.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.wav")
    speak.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="default: auto = cosyvoice for a prompt, else piper where it has the voice here, else espeak",
    )
    speak.add_argument("--voice", default="", metavar="NAME", help="en_US-ljspeech-medium (piper), en-us (espeak), ...")
    speak.add_argument("--prompt", type=Path, metavar="FILE", help="5 to 15 s of a voice to imitate (cosyvoice)")
    speak.add_argument("--prompt-text", default="", metavar="TEXT", help="what is said in the prompt, word for word")
    speak.add_argument(
        "--models", type=Path, action="append", default=[], metavar="DIR", help="a folder with piper's voices"
    )
    speak.add_argument("--offline", action="store_true", help="never fetch a voice")
    speak.add_argument("--json", action="store_true", help="one JSON object instead of a line for people")
    speak.set_defaults(run=run)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def run(told: argparse.Namespace) -> int:
    """Write the file and say how long it is. Raises RequestRefused."""
    from wan_models.engine import RequestRefused
    from wan_models.options import Options
    from wan_models.requests import Sound
    from wan_models.speech import Prompt, speak, write_wav

    if told.prompt_text and told.prompt is None:
        problem = "--prompt-text is what is said in the prompt: give its recording with --prompt too"
        raise RequestRefused(problem)
    prompt = Prompt(Sound(told.prompt, name=told.prompt.name), told.prompt_text) if told.prompt else None
    speech = speak(
        sys.stdin.read() if told.text == "-" else told.text,
        engine=told.engine,
        voice=told.voice,
        prompt=prompt,
        options=Options(folders=tuple(folder.absolute() for folder in told.models), offline=told.offline),
        say=_say,
    )
    write_wav(told.out, speech)
    seconds = round(speech.seconds, 3)
    if told.json:
        sys.stdout.write(json.dumps({"file": str(told.out), "seconds": seconds, "voice": speech.voice}) + "\n")
    else:
        sys.stdout.write(f"{told.out}: {seconds:g} s, {speech.voice}\n")
    return 0
