"""The parser that command lines share."""

from types import MappingProxyType

import pytest

from minigrad.training.arguments import Parser, flag, listed, whole


class Small(Parser):
    defaults = MappingProxyType({"size": 3, "pair": (1, 2)})


def test_help_says_what_holds_where_an_option_is_left_out(capsys):
    parser = Small(prog="p")
    verb = parser.add_subparsers().add_parser("v")
    verb.add_argument("--size", type=whole(1), help="how large")
    verb.add_argument("--pair", help="which two")
    verb.add_argument("--other", help="nothing special")
    with pytest.raises(SystemExit):
        parser.parse_args(["v", "--help"])
    printed = capsys.readouterr().out
    assert "how large (default: 3)" in printed and "which two (default: 1 2)" in printed
    assert "nothing special\n" in printed


def test_an_error_is_one_sentence(capsys):
    parser = Small(prog="p")
    parser.add_argument("--size", type=whole(1))
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--size", "0"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: argument --size: must be 1 or more: got 0; 'p --help' lists what there is\n"


def test_names_of_options():
    assert flag("train_files") == "--train" and listed(["max_tokens", "seed"]) == "--max-tokens, --seed"
