"""What the command lines of several tools accept."""

import argparse


def count(text: str) -> int:
    """An option's value: a number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1: got {text!r}")
    return int(text)
