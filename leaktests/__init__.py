"""The leak-test suite: packets that must not get out, and the proof that they would be seen.

    engine      probes as data, how they are sent, heard and judged
    catalogue   the probes and faults, a file a topic; which of the catalogue's ids are tested
    report      what was found, for people and for programs

scapy builds the probes, and is imported only here. Everything else (taps, decoder, judge) is
netchain's own: `netchain.wire`.
"""
