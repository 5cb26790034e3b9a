"""Names in rules: who asks for them, what is known of them, and what a client's own questions teach.

    names.py      what the rules, the settings and the services see: Names
    view.py       what the list of one client is sealed with
    table.py      names that rules of attached clients use: their addresses, and when each is asked for again
    asking.py     the questions that are under way: to whom, from which port, how often
    stream.py     one question over TCP, where an answer is more than a datagram holds
    dns.py        the messages: a question, and what an answer says to it
    clients.py    attached clients: the names of their lists, and what all of them have learnt
    learnt.py     what one client was told about the names that it asked for itself
    wildcards.py  names in rules that stand for others

Nothing here waits, and nothing knows of rings, flows or the clock: firewall/naming.py joins it to those. Time is in ms.
An address admits new flows for a while; then it is past: no new flow, but those that it admitted go on as long as they
live (RuleList.still()).
"""
