"""One forbidden act, named by crime= on the command line: it must end the domain, saying what and where.

The acts in C are in port/test/crimes.c, which only the image for tests has.
"""
import loop
import xen


@micropython.viper
def _divide(a: int, b: int) -> int:
    return a // b


@micropython.viper
def _load(p: ptr8) -> int:
    return p[0]


def read_null():
    import crime

    crime.read_null()


def write_text():
    import crime

    crime.write_text()


def write_rodata():
    import crime

    crime.write_rodata()


def run_data():
    import crime

    crime.run_data(b"\xc3")  # ret, in a constant


def run_heap():
    import crime

    crime.run_data(bytearray(b"\xc3"))


def run_pages():
    import crime

    page = xen.mem(4096)
    page[0] = 0xC3
    crime.run_data(page)


def overflow_c_stack():
    import crime

    crime.overflow_stack()


def overflow_python_stack():
    def deeper(n):
        return deeper(n + 1) + 1

    deeper(0)


def viper_division():
    _divide(5, 0)


def viper_null():
    _load(0)


def exception_in_task():
    raise ValueError("nobody catches this")


def exception_in_service():
    def service():
        raise ValueError("nobody catches this either")

    loop.serve(service)


def heap_in_service():
    hoard = []

    def service():
        while True:
            hoard.append(bytearray(100000))

    loop.serve(service)


def failed_assert():
    assert xen.ns() == 0, "an invariant"


def crash():
    xen.crash("on purpose")


async def main(store, words):
    print("crime: %s" % words["crime"])
    globals()[words["crime"]]()
    await loop.Flag().wait()  # those in a service happen in the loop's next pass
