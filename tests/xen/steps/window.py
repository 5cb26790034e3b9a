"""Questions of UDP, some of them on their way at any time: python3 /steps/window.py ADDRESS PORT WARM SECONDS

Each answer brings the next question, and so does what did not come within a while. Whoever answers gives the question
back. What comes in the first WARM seconds does not count. It prints a line of JSON: {"answers", "ns", "late": questions
that had no answer in time}.
"""
import json
import socket
import sys
import time

WIDTH = 8  # questions on their way
PATIENCE = 0.2  # s


def ask(address, port, warm, seconds):
    answers = late = number = 0
    waiting = {}  # number of a question: when it is given up
    began = None  # what counts
    now = time.monotonic()
    due = now + warm
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((address, port))
        asking.settimeout(PATIENCE / 4)
        while began is None or now < began + seconds:
            if began is None and now >= due:
                began, answers, late = now, 0, 0
            for each in [each for each, end in waiting.items() if end < now]:
                late += 1
                del waiting[each]
            while len(waiting) < WIDTH:
                number += 1
                waiting[number] = now + PATIENCE
                asking.send(b"%d" % number)
            try:
                answers += waiting.pop(int(asking.recv(100)), None) is not None
            except TimeoutError:
                pass
            now = time.monotonic()
    return {"answers": answers, "ns": round((now - began) * 1e9), "late": late}


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
