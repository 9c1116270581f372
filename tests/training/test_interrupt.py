"""The first Ctrl-C leaves a note, the second one ends, and afterwards all is as before."""

import os
import signal
import threading

import pytest

from minigrad.training.interrupt import finishing_first


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_press_leaves_a_note_and_the_second_ends(capfd):
    notes = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), finishing_first(lambda: notes.append(1), "the page"):
        press()
        assert notes == [1]
        press()
    assert notes == [1]
    assert "finishing the page" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_is_caught():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with finishing_first(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
