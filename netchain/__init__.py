"""netchain: the network-qube chain that reaches Tor through a VPN, built, switched and proved.

The map (docs/architecture.md follows one `up` through it):

model     pure: names, chain, profile, addressing, allowed flows, observed state, plan
nft       typed values to nft text, the role files filled, read-back
vpn, tor  configuration rendered, services described, readiness asked
backends  where qubes live: network namespaces (netns), an in-memory fake
wire      frames decoded, judged against the model, captured
lab       the private internet in namespaces
apply     a plan run on a backend, proved, fail closed
commands  one verb a file; cli is the table of verbs
"""

__version__ = "0.1.0"
