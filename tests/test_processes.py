"""Child processes: they answer, they are killed, they are seen to die."""

import os
import signal
import time

import pytest

from polymode.processes import ChildLost, ChildProcess


def serve(connection, greeting):
    """Greet, then do what each request says."""
    connection.send_bytes(greeting.encode())
    while True:
        request = connection.recv_bytes()
        if request == b"hang":
            time.sleep(60)
        elif request == b"end":
            os._exit(3)
        else:
            connection.send_bytes(request.upper())


@pytest.fixture
def child():
    child = ChildProcess("tests.test_processes:serve", "hello")
    assert child.receive(60) == b"hello"
    yield child
    child.close()


def test_a_child_answers_until_it_is_closed(child):
    child.send(b"one")
    assert child.receive(10) == b"ONE"
    child.close()
    child.close()
    assert child.process.poll() == -signal.SIGKILL


def test_a_child_that_does_not_answer_is_killed(child):
    child.send(b"hang")
    with pytest.raises(ChildLost, match="took longer than its time limit") as caught:
        child.receive(0.2)
    assert caught.value.timed_out
    assert child.process.poll() == -signal.SIGKILL


def test_a_child_that_ends_is_seen_with_its_status(child):
    child.send(b"end")
    with pytest.raises(ChildLost, match="ended its process with status 3") as caught:
        child.receive(10)
    assert not caught.value.timed_out


def test_nothing_is_left_behind_when_a_child_is_forgotten():
    child = ChildProcess("tests.test_processes:serve", "hello")
    process = child.process
    del child
    assert process.poll() == -signal.SIGKILL
