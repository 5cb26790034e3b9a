"""A pass in machine code: from the rings of whose turn it is to where their packets leave, and rest.

    serve()  the pass for port/modules/rounds.py, and whether there may be more to do
    alone()  the pass, as far as all is in order and every packet a hit
    put()    packets that are hits, by the ways that are their fates

Where anything else is met it stops behind a whole step, and says at which: Python does what is not done, and goes on.
Twin: Forwarder._pass() with what that calls. What it needs of others (kernels, C functions, arrays) is handed to it.
"""
import micropython
from micropython import const

_OF_WORDS = const(4)  # place, in what alone() is given, of these words:
_SEEN = const(0)  # what look() or end() said
_MOST = const(1)  # turns in a pass
_MANY = const(2)  # 1: many slots go to the netvm lately
_DONE = const(3)  # 1: something was done, and it is not over with packets that nobody need read
_NUMBER = const(4)  # of whose turn it was
_TAKEN = const(5)  # packets taken | slots << 16; or what else a kernel has said
_LOOKED_UP = const(6)  # packets, up to the first miss
_GONE = const(7)  # packets that have left
_LEFT = const(8)  # 0, or what put() has said beside it
_COUNT = const(9)  # hits since Python has counted them
_WORK = const(10)  # of the turn that Python has to end
_LEAST_SLOTS = const(11)  # in a turn
_MOST_SLOTS = const(12)  # in one of who brings hits alone
_BURST = const(13)  # prices, see turns.py
_BURST_SLOT = const(14)
_OF = const(15)  # whose packets have failed
# addresses, two words each, the lower first
_CALM = const(16)  # octets by number: 1: the last turn had hits alone
_SCALARS = const(18)  # of kernels: the third says how many of the netvm's answers told of an error
_COPIES = const(20)  # how many operations towards clients there are
_OF_PACKETS = const(22)  # their rows
_CIRCLE = const(24)  # what circle.py is given
_GIVEN = const(26)  # turns in this pass, with the one that is not ended
_BEGUN = const(27)  # flows begun in the last turn,
_MOST_BEGUN = const(28)  # so many at most,
_OF_BEGUN = const(29)  # and the price of each
_HOW = const(30)  # how the pass ended, if it was serve()'s
_BEGAN = const(31)  # ns, two words each: when the pass's turns began,
_DUE = const(33)  # when _TALLY is
_KNOWN_TIME = const(35)  # an address: where known() finds the time, in ms
_RAN = const(37)  # 1: Python has begun flows in this pass, by _BEGIN
_LONGEST = const(38)  # ns from _BEGAN: later no turn begins, nor a flow but a turn's first
_AT_REST = const(39)  # 1: Python is to be told of the first pass in which something is done
_MAY_WAIT = const(40)  # 1: clients alone have something, and the uplink no room: no matter for Python
_WAITS = const(41)  # 1: so it is, and the netvm is to tell us of room; 0: of the last pass it is not true

# what alone() says
_WHOLE = const(0)  # the pass is over
_REST = const(1)  # turns go on in Python
_ANSWERS = const(2)  # take_back() has said _TAKEN
_HELD = const(3)  # the netvm holds pages of which it said that they are ours: _TAKEN
_PACKETS = const(4)  # _TAKEN packets of _NUMBER were taken; the first _GONE of them have left
_FAILED = const(5)  # _TAKEN packets for the client _OF have failed
_TURN = const(6)  # it is the turn of _NUMBER, whose ring begins with what is not in order

# of what look() and end() say
_SOME = const(0xFFFF)
_ANSWERED = const(0x10000)
_HOLDING = const(0x20000)
_WAITING = const(0x40000)
_ROOM = const(0x80000)
_MORE = const(0x100000)
_ASKED = const(0x200000)
_WHO = const(22)
_COMPLETED = const(256)  # slots taken back in a pass
_NS_PER_MS = const(1000000)
_PACKET = const(8)  # words; see net/rows.py
_FATE = const(6)
_LOOKED = const(4)  # end() need not look whether there is anything: it was looked just now, and there was nothing
_RESTS = const(4)  # of the circle's words


@micropython.viper
def put(all_arrays, to_uplink, to_client, at: int, first: int, end: int):
    """Packets that are hits, up to `end`, leave by the ways that are their fates: all before w[_GONE] have room.

    w[_LEFT]: what uplink_tx.put has said of the next ones, if Xen has granted only some of their pages. at: of w.
    """
    w = ptr32(at)
    packets = ptr32(w[_OF_PACKETS] | w[_OF_PACKETS + 1] << 32)
    while first < end:
        fate = packets[first * _PACKET + _FATE]
        behind = first + 1
        while behind < end and packets[behind * _PACKET + _FATE] == fate:
            behind += 1
        arrays = all_arrays[fate]
        if not arrays:
            break
        if fate:
            done = int(to_client(arrays[1], first, behind))
            if done < 0:
                break
        else:
            done = int(to_uplink(arrays[1], first, behind, 0 - 1))
            if done < 0 - 1:
                w[_LEFT] = done
                break
            if done < 0:
                break
            done += first
        first = done
        if done < behind:
            break
    w[_GONE] = first


@micropython.viper
def alone(t) -> int:
    """One pass, while no frame waits for room: how it ended, see above.

    t: rings.look, its words, rings.end, what that is given, the words above, arrays by number (what the kernels are
    given of an interface's rings), xen.ns, count(ns) (slots to the netvm are to be counted), circle.whose,
    uplink_rx.turn, client_tx.turn, known.known, what that is given, known's tables, rows, uplink_tx.put, client_rx.put,
    uplink_tx.take_back, xen.copy and the operations towards clients, rings.sending, client_rx.finish,
    circle.lone, circle.charge; None, or while somebody captures tapped.came, tapped.went; begin(number, i), 1: packet i
    of a client was a miss, and is none any more: its flow has begun; what came and went are given;
    strays(number, first, n): packets that nobody need read are gone, from this one on; the one behind them;
    rings.for_room.
    """
    (look, of_look, end, tables, of_words, arrays, clock, tally, whose, from_uplink, from_client, hits, of_hits,
     of_known, rows, to_uplink, to_client, take_back, copy, ops, sending, finish, lone, charge, came, went, begin,
     taps, strays, for_room) = t
    w = ptr32(int(of_words))
    calm = ptr8(w[_CALM] | w[_CALM + 1] << 32)
    copies = ptr32(w[_COPIES] | w[_COPIES + 1] << 32)
    w[_DONE] = 0
    w[_GIVEN] = 0
    w[_RAN] = 0
    w[_WAITS] = 0
    seen = int(look(of_look))
    w[_SEEN] = seen
    if seen & (_HOLDING | _WAITING):
        return _REST
    if seen & (_SOME | _ANSWERED):
        ns = int(clock())
        w[_BEGAN] = ns
        w[_BEGAN + 1] = ns >> 32
        known_time = ptr32(w[_KNOWN_TIME] | w[_KNOWN_TIME + 1] << 32)
        known_time[0] = ns // _NS_PER_MS
        if ns >= w[_DUE] | w[_DUE + 1] << 32:
            tally(ns)
        circle = w[_CIRCLE] | w[_CIRCLE + 1] << 32
        of_circle = ptr32(circle)
        has = ptr8(of_circle[10] | of_circle[11] << 32)
        only = 0
        if seen & _SOME == 1:
            only = 1
        due = 1
        while seen & _SOME or due and seen & _ANSWERED:
            if seen & _ANSWERED and (due or seen & _ROOM == 0):
                w[_SEEN] = seen & (_ANSWERED ^ 0xFFFFFFFF)
                w[_DONE] = 1
                n = int(take_back(arrays[0][3], _COMPLETED))
                s = ptr32(w[_SCALARS] | w[_SCALARS + 1] << 32)
                if n < 0 or n and s[2]:
                    w[_TAKEN] = n
                    return _ANSWERS
                if seen & _SOME and seen & _ROOM == 0:  # there may be by now
                    seen = int(look(of_look))
            due = 0
            if seen & _SOME == 0:
                break
            w[_SEEN] = seen & (_ANSWERED ^ 0xFFFFFFFF)
            roomy = 0
            if seen & (_ROOM | _WAITING) == _ROOM:
                roomy = 1
            if roomy == 0 and has[0] == 0:
                if w[_MAY_WAIT] == 0 or seen & _WAITING:
                    return _REST
                w[_WAITS] = 1
                break
            if only:
                if seen & _SOME > 1:
                    break
                number = seen >> _WHO & 0x3FF
                lone(circle, number)
            else:
                number = int(whose(circle, roomy))
                if number < 0 - 1:
                    return _REST
                if number < 0:
                    break
            w[_NUMBER] = number
            limit = w[_LEAST_SLOTS]
            if calm[number]:
                limit = w[_MOST_SLOTS]
            if number:
                taken = int(from_client(arrays[number][0], limit))
            else:
                taken = int(from_uplink(arrays[0][0], limit))
            w[_TAKEN] = taken
            w[_GIVEN] = w[_GIVEN] + 1
            if taken <= 0:
                if taken < 0 - 1:
                    return _HELD
                return _TURN
            work = w[_BURST] + (taken >> 16) * w[_BURST_SLOT]
            n = taken & 0xFFFF
            if came:
                came(taps, rows, number, n)
            last = int(hits(of_hits, of_known, 0, n, number))
            begun = 0
            while number and last < n and begun < w[_MOST_BEGUN]:
                if begun and int(clock()) - ns > w[_LONGEST] or int(begin(number, last)) == 0:
                    break
                begun += 1
                w[_RAN] = 1
                last = int(hits(of_hits, of_known, last, n, number))
            w[_BEGUN] = begun
            work += begun * w[_OF_BEGUN]
            w[_COUNT] = w[_COUNT] + last
            w[_LOOKED_UP] = last
            w[_GONE] = 0
            w[_LEFT] = 0
            calm[number] = 1
            if begun:
                calm[number] = 0
            if last:
                w[_DONE] = 1
                if came:
                    work += int(went(taps, rows, number, 0, last))
                put(arrays, to_uplink, to_client, of_words, 0, last)
            while last < n and w[_GONE] == last:
                first = int(strays(number, last, n))
                if first == last:
                    break
                if number:
                    work += w[_OF_BEGUN]
                w[_GONE] = first
                last = int(hits(of_hits, of_known, first, n, number))
                w[_COUNT] = w[_COUNT] + last - first
                w[_LOOKED_UP] = last
                if first < last:
                    w[_DONE] = 1
                    put(arrays, to_uplink, to_client, of_words, first, last)
            if w[_GONE] < n:
                w[_WORK] = work
                return _PACKETS
            charge(circle, number, work)
            if only and taken >> 16 == 1:  # a lone packet; what came since is seen by end(), behind its fence
                seen = 0
                break
            seen = int(look(of_look))
            if w[_GIVEN] >= w[_MOST] or seen & _SOME and int(clock()) - ns > w[_LONGEST]:
                break
    may = 1 + w[_MANY]
    if copies[0]:
        copy(ops, copies[0])
        copies[0] = 0
        number = int(sending(of_look))
        while number:
            n = int(finish(arrays[number][2]))
            if n:
                w[_OF] = number
                w[_TAKEN] = n
                return _FAILED
            number = int(sending(of_look))
    elif seen & (_SOME | _ANSWERED) == 0:
        may |= _LOOKED
    if w[_WAITS]:
        w[_DONE] = 1
        w[_WAITS] = 0
        w[_SEEN] = 1 | int(end(tables, _LOOKED))
        if w[_SEEN] == 1:
            said = int(for_room(of_look, tables[1]))
            if said < 0:
                w[_MAY_WAIT] = 0
            elif said:
                w[_WAITS] = 1
        return _WHOLE
    w[_SEEN] = int(end(tables, may))
    return _WHOLE


@micropython.viper
def serve(t) -> int:
    """alone(), and what is to follow: 0: nothing, 1: another pass, -1: Python goes on, where w[_HOW] says.

    -4: another pass, but a task may be ready, as Python has run, or is to be told that something was done.
    """
    w = ptr32(int(t[_OF_WORDS]))
    how = int(alone(t))
    if how:
        w[_HOW] = how
        return 0 - 1
    seen = w[_SEEN]
    if seen & (_HOLDING | _WAITING | _ASKED):
        return 0 - 1
    if w[_RAN] or w[_AT_REST] and w[_DONE]:
        return 0 - 4
    if w[_WAITS] == 0 and seen & (_SOME | _ANSWERED | _MORE):
        return 1
    circle = ptr32(w[_CIRCLE] | w[_CIRCLE + 1] << 32)
    words = ptr32(circle[0] | circle[1] << 32)
    words[_RESTS] = words[_RESTS] + 1 & 0xFFFF
    return 0
