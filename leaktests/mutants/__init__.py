"""Tests of the tests: the rules broken in one place at a time, and whether the probes notice.

    rulefile    a role file as chains, rules and matches (pure)
    operators   the edits: what is deleted, weakened or widened (pure)
    settings    the same for routes and kernel settings (pure)
    scenes      the chains and qubes that the role files are tried in (pure)
    plugged     one qube in a namespace of its own, wired
    bench       our sockets on its links: what is sent, captured, delivered
    traffic     what is sent: the catalogue's shots by way, and flows from before the rules
    observed    what came out or was delivered, judged by `allowed()`
    needs       the flows without which a role is of no use
    messages    packets of such flows: answers, errors, neighbours (pure)
    trial       one mutant on one bench: caught, dead, or neither
    holders     who holds then: the search for what makes it redundant
    worker      a process of its own: bench and trials
    run         all mutants over the workers, and the result
    report      for people and programs

docs/mutants.md says what the words mean.
"""
