"""An hour that --collect might have kept, always the same: python3 -m tests.dom0.hour FILE.svg"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "images", "dom0"))
from qubesfirewall import collector, picture  # noqa: E402

LAST = 29000000  # minute since 1970
# (qube, other end, octets down, octets up, first minute, last minute, every how many minutes)
STORY = (
    ("work", "deb.mirror.example", 38000000, 300000, 4, 31, 1),
    ("work", "github.com", 1500000, 900000, 0, 59, 7),
    ("work", "files.pythonhosted.org", 22000000, 200000, 35, 44, 1),
    ("work", "mail.work.example", 700000, 500000, 0, 59, 5),
    ("work", "", 400000, 300000, 0, 59, 1),
    ("personal", "cdn.film.example", 21000000, 400000, 15, 59, 1),
    ("personal", "www.news.example", 900000, 60000, 2, 14, 3),
    ("personal", "198.51.100.20", 300000, 200000, 2, 50, 9),
    ("chat", "chat.example", 200000, 150000, 0, 59, 2),
    ("chat", "voice.chat.example", 3000000, 2900000, 22, 38, 1),
    ("disp7731", "www.shop.example", 2500000, 120000, 40, 47, 1),
    ("disp7731", "img.shop.example", 7000000, 90000, 40, 47, 1),
    ("backup", "storage.example", 150000, 26000000, 46, 57, 1),
)


def sums():
    made = collector.Sums()
    for qube, end, down, up, first, last, every in STORY:
        for minute in range(first, last + 1, every):
            ebb = 4 + (minute * 7 + len(end)) % 5  # it never goes at one pace
            made.add(LAST - 59 + minute, "sys-pyfw", qube, end, down * ebb // 6, up * ebb // 6)
    made.add(LAST, "sys-pyfw", "sys-vpn", "203.0.113.77", 900000000, 1000)  # what is carried for personal: told once
    made.add(LAST, "sys-vpn", "personal", "cdn.film.example", 1, 1)
    return made


def drawn():
    return picture.draw(sums().minutes, time.gmtime)


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write(drawn())
